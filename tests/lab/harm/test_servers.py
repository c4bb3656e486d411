"""A server that runs on the directory, whatever it answers and wherever it is seen from, is left as it is."""

from __future__ import annotations

import pytest
from bed import Bed
from harm_of import assert_harmless
from situations import Row, rows


@pytest.mark.parametrize("row", [*rows("running"), *rows("hidden")], ids=lambda row: row.situation)
def test_no_harm_comes_of_it(bed: Bed, row: Row) -> None:
    assert_harmless(bed, row)
