"""Every safeguard of the table removed, one at a time, each in a copy of this tree."""

from __future__ import annotations

from typing import Final

import pytest

from tests.ablations.copies import Tree
from tests.ablations.table import Safeguard, expected_red, safeguards
from tests.ablations.trial import tried
from tests.support.project.tree import ROOT, tracked_files

_ROWS: Final = safeguards()


@pytest.mark.long
@pytest.mark.parametrize("safeguard", _ROWS, ids=[row.name for row in _ROWS])
def test_a_safeguard_that_is_gone_is_missed(safeguard: Safeguard) -> None:
    """Without it, in a copy of this tree, each of its tests fails, and fails by itself."""
    trial = tried(safeguard, expected_red(safeguard, _ROWS), Tree(ROOT, tracked_files()))
    assert list(trial.complaints) == [], trial.printed
