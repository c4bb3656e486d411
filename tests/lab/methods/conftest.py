"""The stopped standby of a small cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clone_on_host import small_backup
from delta import BUILD, THERE, WORK, Small
from lab import Lab
from standby_host import HOST


@pytest.fixture(scope="module")
def kept(lab: Lab) -> Iterator[Small]:
    lab.reset(HOST)
    clone = Small.on(lab)
    assert isinstance(clone, Small)
    host = clone.host
    try:
        host.run(["rm", "-rf", WORK])
        host.run(["install", "-d", "-o", "postgres", WORK])
        lab.barman.run(["rm", "-rf", THERE])
        lab.barman.run(["install", "-d", "-o", "barman", THERE])
        oid, identifier = host.run(["bash", "-c", BUILD], user="postgres").stdout.strip().split("|")
        names = ("first", "second", "third")
        clone.backups = {name: small_backup(name, THERE, identifier, oid) for name in names}
        clone.keep()
        yield clone
    finally:
        lab.reset(HOST)
        host.run(["rm", "-rf", WORK, "/tmp/hasty", "/tmp/hasty.log"])
        lab.barman.run(["rm", "-rf", THERE])


@pytest.fixture
def small(kept: Small) -> Iterator[Small]:
    """The stopped standby of the first backup, and the second one to be brought to."""
    kept.restore()
    kept.options["backup"] = kept.backups["second"]
    yield kept
    kept.clear()
