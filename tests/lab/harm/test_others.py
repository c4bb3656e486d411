"""What is not the standby's, or cannot be removed, stays, and so does the cluster around it."""

from __future__ import annotations

import pytest
from bed import Bed
from harm_of import assert_harmless
from situations import Row, rows


@pytest.mark.parametrize("row", [*rows("others")], ids=lambda row: row.situation)
def test_no_harm_comes_of_it(bed: Bed, row: Row) -> None:
    assert_harmless(bed, row)
