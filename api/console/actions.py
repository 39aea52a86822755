"""What is done at the console: the API's own handler, behind a form that says what will happen.

A form bears an idempotency key of its own, so that it has one effect, however often it is sent; who
sends it says why, and that is kept in the audit log with what became of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import orjson

from api.console.page import page
from api.console.visit import Shown, Visit, see_other
from api.console.words import new_key
from api.http.problems import FORM_STALE, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.console.visit import Handler
    from api.contract.route import Route
    from store.write.group_commit import Answer

Subject: TypeAlias = Callable[[Visit], Awaitable[Shown]]

_API: Final = "/api/v1"
_CONSOLE: Final = "/console"
_REFUSED: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing to do: `of` is the API's operation, `subject` reads what it is done to.

    `template` asks for what the operation needs, and `back` is where it is seen afterwards; with
    `reveals` what the operation answers is shown instead, this once.
    """

    of: Route[Visit]
    title: str
    template: str
    subject: Subject
    back: str
    path: str = ""
    is_grave: bool = False
    reveals: str = ""
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The operation's id."""
        return self.of.operation_id

    def routes(self) -> tuple[Route[Visit], Route[Visit]]:
        """The form, and what it is sent to."""
        path = self.path or console_path(self.of.path)
        scope = self.of.scope
        return (
            page(path, self.form, scope, self.title),
            page(path, self.perform, scope, self.title, method="POST"),
        )

    async def form(self, visit: Visit) -> Answer:
        """What will happen, and what is to be said."""
        return await self._form(visit, 200, dict(self.given), "")

    async def perform(self, visit: Visit) -> Answer:
        """Do it, and show what became of it; or the form again, with what was wrong with it."""
        if visit.idempotency_key is None:
            raise Problem(FORM_STALE, "the form has lost its key: open it again")
        visit.action, visit.target = self.of, self._target(visit)
        visit.form = {**self.given, **visit.form}
        handler: Handler = self.of.handler  # type: ignore[assignment]  # a visit is a call
        try:
            assert visit.reason, "an empty one is refused"
            answer = await handler(visit)
        except Problem as problem:
            key = visit.form.get("key", "") if problem.kind.retryable else ""
            return await self._form(visit, problem.kind.status, visit.form, problem.detail, key)
        if answer.status >= _REFUSED:
            detail = orjson.loads(answer.body)["detail"]
            return await self._form(visit, answer.status, visit.form, detail)
        if self.reveals:
            return visit.page(
                self.reveals, action=self, answer=orjson.loads(answer.body), back=self._back(visit)
            )
        return see_other(f"{self._back(visit)}?done={self.name}")

    async def _form(
        self, visit: Visit, status: int, form: Mapping[str, str], refused: str, key: str = ""
    ) -> Answer:
        return visit.page(
            self.template,
            status,
            action=self,
            form=form,
            refused=refused,
            key=key or new_key(),
            subject=await self.subject(visit),
            back=self._back(visit),
        )

    def _target(self, visit: Visit) -> str:
        """The operation's own address, where the API has one."""
        if "{" not in self.of.path:
            return self.of.path
        path = visit.canonical_path
        is_apis = self.of.path.startswith(_API)
        return _API + path.removeprefix(_CONSOLE) if is_apis else path

    def _back(self, visit: Visit) -> str:
        return self.back.format_map(visit.request.match_info)


def console_path(api_path: str) -> str:
    """Where the console has what the API has there."""
    return _CONSOLE + api_path.removeprefix(_API)
