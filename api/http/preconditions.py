"""Conditions on a request: `If-Match` and `If-None-Match` (RFC 9110, section 13).

The one validator there is is an account's version. A GET is judged by the tag of its own
answer, once it has one. A payment or a transfer names, in `If-Match`, versions of the account
it debits, which is what its effect depends on; the core decides on them under the row's lock.
Nothing else has a version: there no tag can match, so that nobody believes in a protection
that is not there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.http.problems import PRECONDITION_FAILED, PRECONDITION_INVALID, Problem
from store.write.group_commit import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multidict import MultiMapping

    from payments.account import Account

IF_MATCH: Final = "If-Match"
IF_NONE_MATCH: Final = "If-None-Match"

_TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\uffff]*"'
# Empty members of a list are to be skipped (section 5.6.1.2). Possessive and anchored at both
# ends of each member, so that the scan of a hostile header is linear.
_TAGS: Final = re.compile(rf"[ \t,]*+{_TAG}(?:[ \t]*+,[ \t,]*+{_TAG})*+[ \t,]*+")
_EACH_TAG: Final = re.compile(_TAG)
# As `entity_tag` writes it, and within what the column holds.
_VERSION: Final = re.compile(r'"([1-9][0-9]{0,18})"')
_OK: Final = 200
_WEAK: Final = "W/"


@dataclass(frozen=True, slots=True)
class _Tags:
    """The entity tags of a field, as they were written; `whatever` stands for `*`."""

    whatever: bool
    tags: frozenset[str]

    def match_strongly(self, tag: str | None) -> bool:
        """Whether the bytes are those named: a weak tag promises that of nothing."""
        return self.whatever or (tag in self.tags and not str(tag).startswith(_WEAK))

    def match_weakly(self, tag: str | None) -> bool:
        """Whether what is named is as good."""
        return self.whatever or tag in {each.removeprefix(_WEAK) for each in self.tags}


def entity_tag(account: Account) -> str:
    """The strong tag of every representation of the account as it is: its version."""
    return f'"{account.version}"'


def accepted_versions(headers: MultiMapping[str]) -> frozenset[int] | None:
    """The versions that may be debited; None for any (without the header, or `*`).

    Raises Problem (400) for a header that is no list of tags.
    """
    wanted = _sent(headers, IF_MATCH)
    if wanted is None or wanted.whatever:
        return None
    return frozenset(int(found[1]) for tag in wanted.tags if (found := _VERSION.fullmatch(tag)))


def refuse_if_match(headers: MultiMapping[str]) -> None:
    """Raise Problem (412) for a tag where there is nothing it could match; `*` matches all."""
    wanted = _sent(headers, IF_MATCH)
    if wanted is not None and not wanted.match_strongly(None):
        raise Problem(PRECONDITION_FAILED, f"nothing here has a version that {IF_MATCH} could name")


def conditional(sent: MultiMapping[str], answer: Answer) -> Answer:
    """The answer to a GET, or 304 to who has it already. Raises Problem (412).

    Failures come before conditions (section 13.2.1), and so do not get here.
    """
    if answer.status != _OK or (IF_MATCH not in sent and IF_NONE_MATCH not in sent):
        return answer
    tag = answer.headers.get("ETag")
    wanted, known = _sent(sent, IF_MATCH), _sent(sent, IF_NONE_MATCH)
    if wanted is not None and not wanted.match_strongly(tag):
        headers = {} if tag is None else {"ETag": tag}
        raise Problem(PRECONDITION_FAILED, f"it is at {tag or 'no version'} now", headers=headers)
    if known is not None and known.match_weakly(tag):
        return Answer(304, {} if tag is None else {"ETag": tag}, b"")
    return answer


def _sent(headers: MultiMapping[str], name: str) -> _Tags | None:
    values: Sequence[str] = headers.getall(name, ())
    if not values:
        return None
    text = ",".join(values).strip(" \t")
    if text == "*":
        return _Tags(whatever=True, tags=frozenset())
    if not _TAGS.fullmatch(text):
        raise Problem(PRECONDITION_INVALID, f'{name} must be * or tags in quotes like "7"')
    return _Tags(whatever=False, tags=frozenset(_EACH_TAG.findall(text)))
