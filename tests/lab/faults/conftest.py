"""A copy on the standby, and a backup with a manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from clone_on_host import Clone
from faulty_copy import OWN, halt
from first_and_second import TOP
from lab import Lab
from small_cluster import build_small, remove_small
from standby_host import BINDIR, DATA, STATE


@pytest.fixture(scope="module")
def installed(lab: Lab) -> Clone:
    return Clone.on(lab)


@pytest.fixture
def clone(installed: Clone) -> Iterator[Clone]:
    installed.empty()
    yield installed
    halt(installed)
    stop = [f"{BINDIR}/pg_ctl", "stop", "--mode=immediate", f"--pgdata={DATA}"]
    installed.host.run(stop, user="postgres", check=False)
    installed.empty()


@pytest.fixture(scope="module")
def with_manifest(installed: Clone) -> Iterator[dict[str, Any]]:
    """A backup by pg_basebackup, whose manifest has CRC32C checksums, where and as Barman would have it."""
    latest = installed.options["backup"]
    directory = f"{OWN}/made/{latest['backup_id']}"
    maps = [f"--tablespace-mapping={t['location']}={directory}/{t['oid']}" for t in latest["tablespaces"]]
    take = [f"{BINDIR}/pg_basebackup", "--host=primary", "--username=streaming_barman", f"--pgdata={directory}/data"]
    barman = installed.lab.barman
    try:
        barman.run(["mkdir", "-p", directory], user="barman")
        barman.run([*take, *maps, "--checkpoint=fast", "--wal-method=none", "--no-sync"], user="barman")
        label = barman.read(f"{directory}/data/backup_label")
        begin = label.partition("START WAL LOCATION: ")[2].split()[0]
        yield {**latest, "directory": directory, "begin_lsn": begin}
    finally:
        barman.run(["rm", "-rf", OWN])


@pytest.fixture(scope="module")
def first_and_second(lab: Lab) -> Iterator[list[Clone]]:
    """A clone of each of the small backups, of which the second is the newer."""
    clone = Clone.on(lab)
    remove_small(lab, clone.host)
    try:
        backups = build_small(lab, clone.host)
        yield [replace(clone, options={**clone.options, "backup": backup, "compress": "none"}) for backup in backups]
    finally:
        remove_small(lab, clone.host)
        clone.empty()
        clone.host.run(["rm", "-rf", STATE, TOP])


@pytest.fixture
def second(first_and_second: list[Clone]) -> Clone:
    first_and_second[1].empty()
    first_and_second[1].host.run(["rm", "-rf", TOP])
    first_and_second[1].host.run(["install", "--directory", "--mode=700", "--owner=postgres", TOP])
    return first_and_second[1]
