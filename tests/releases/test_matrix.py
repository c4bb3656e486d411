"""Every kind of backup, by every Barman, copied by every method: docs/kinds.md is made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import RELEASES, STATE, in_lab
from matrix import KINDS, NO_KEEP, Barman, Copy, Source, expected, try_all

pytestmark = pytest.mark.long

RECORDS = STATE / "matrix"


@dataclass
class Tried:
    """A release's lab with something to back up, and what the tests have found there."""

    source: Source
    copies: list[Copy]
    contents: list[str]
    basebackup: str = ""

    @property
    def barmans(self) -> list[Barman]:
        return [Barman(self.source, name) for name in ("debian", *self.source.lab.release.barmans)]

    def differences(self, barman: Barman) -> list[str]:
        """What is not as it has to be, after everything has been tried and recorded."""
        version = tuple(map(int, barman.version.split(".")))
        record = RECORDS / f"{barman.version}.json"
        record.unlink(missing_ok=True)
        barman.make()
        try:
            server = self.copies[0].module("barman_server_info", **barman.asked("rsync"))
            found = try_all(barman, self.copies, self.contents)
        finally:
            barman.remove()
        kept = {it.keep for it in found.values()} - {None}
        kinds = {name: asdict(it) for name, it in found.items()}
        self._write(record, barman, keep=", ".join(sorted(map(str, kept))), kinds=kinds)
        release = self.source.lab.release
        unlike = [
            f"Barman {barman.version}, {name}: {found[name]}"
            for name, kind in KINDS.items()
            if found[name].cells != expected(kind, version, release.postgres)
        ]
        keep = {"yes" if version >= (2, 14) else NO_KEEP}
        unlike += [] if kept == keep else [f"Barman {barman.version} keeps: {kept}"]
        return unlike + ([] if server.get("barman_version") == barman.version else [str(server)])

    def _write(self, record: Path, barman: Barman, **found: Any) -> None:
        release = self.source.lab.release
        [version, *_nothing] = self.source.sql("SHOW server_version")
        about = {
            "barman": barman.version,
            "from": release.debian if barman.name == "debian" else "PyPI",
            "postgresql": version.split()[0],
            "basebackup": self.basebackup,
        }
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({**about, **found}, indent=2) + "\n")


@pytest.fixture(scope="module", params=list(RELEASES.values()), ids=list(RELEASES))
def tried(request: pytest.FixtureRequest) -> Iterator[Tried]:
    with in_lab(request.param, standbys=2) as lab:
        source = Source(lab)
        source.start()
        copies = [Copy(lab, host) for host in lab.standbys]
        for copy in copies:
            copy.install()
        yield Tried(source, copies, source.contents())


def test_without_barman(tried: Tried) -> None:
    """pg_basebackup knows no kinds."""
    copy = tried.copies[0]
    copy.empty()
    upstream = {"host": "barman", "port": "5440", "user": "barman", "dbname": "postgres"}
    options = {"data_directory": copy.data, "upstream_conninfo": upstream, "application_name": copy.host.name}
    result = copy.module("standby_basebackup", **options)
    assert result.get("action") == "clone", result
    assert copy.contents() == tried.contents
    copy.empty()
    tried.basebackup = "works"


def test_every_kind_by_every_method(tried: Tried) -> None:
    unlike = [line for barman in tried.barmans for line in tried.differences(barman)]
    assert unlike == [], "\n".join(unlike)
    assert tried.source.contents() == tried.contents
