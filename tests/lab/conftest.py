"""Fixtures for tests on the lab's real hosts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from held import Held
    from story import Story
    from upstream import Upstream

HERE = Path(__file__).resolve().parent
# What tests in the folders here import by its name: the helpers beside this file, and the lab's own program.
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "molecule" / "lab")]

from lab import Lab  # noqa: E402 - the lab is a program beside us, not an installed package
from play import Playbook  # noqa: E402
from standby_host import HOST, ROOT  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: run by `make long` and not by `make test`, which has an hour")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with the most plays come first: they take longest, and whoever began one last would end alone."""
    plays = Counter(item.path for item in items if "playbook" in getattr(item, "fixturenames", ()))
    items.sort(key=lambda item: -plays[item.path])


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab.load()


@pytest.fixture(scope="session")
def playbook(lab: Lab) -> Playbook:
    return Playbook(lab.inventory, ROOT / "molecule" / "default" / "inventory")


@pytest.fixture
def empty(lab: Lab) -> Iterator[None]:
    """The standby of the test as it was installed, before and after."""
    lab.reset(HOST)
    yield
    lab.reset(HOST)


@pytest.fixture
def hold(lab: Lab) -> Iterator[Held]:
    """Holds copies on the test's standby."""
    from held import held  # it needs what is above

    with held(lab.host(HOST)) as hold:
        yield hold


@pytest.fixture(scope="module")
def story(lab: Lab, playbook: Playbook) -> Iterator[Story]:
    """The host's year; what is there stays from test to test."""
    from story import Story  # it needs what is above

    lab.reset(HOST)
    yield Story(lab, lab.host(HOST), playbook)
    lab.reset(HOST)


@pytest.fixture
def bare(story: Story) -> None:
    """Nothing is there, and nothing runs."""
    story.lab.reset(HOST)


@pytest.fixture
def healthy(story: Story) -> None:
    """A standby that streams."""
    story.heal()


@pytest.fixture(scope="module")
def upstream(lab: Lab, playbook: Playbook) -> Iterator[Upstream]:
    """A small primary of our own on the standby's host."""
    from upstream import own_upstream  # it needs what is above

    with own_upstream(lab, playbook) as upstream:
        yield upstream
