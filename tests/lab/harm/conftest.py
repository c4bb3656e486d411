"""A small cluster that streams, for all rows of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bed import Bed, made_bed
from lab import Lab


@pytest.fixture(scope="module")
def streaming_bed(lab: Lab) -> Iterator[Bed]:
    with made_bed(lab) as bed:
        yield bed


@pytest.fixture
def bed(streaming_bed: Bed) -> Iterator[Bed]:
    """Nothing is there but the upstream, before and after."""
    streaming_bed.clear()
    yield streaming_bed
    streaming_bed.clear()
