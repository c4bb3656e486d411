"""Barman's versions that no Debian release of the labs has, each with a backup that it took itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from conftest import BINDIR, DATA, HOST
from lab import STATE as LAB_STATE
from onhost import Clone
from podman import LabError
from upstream import OwnBarman, Upstream, own_barman

pytestmark = pytest.mark.long

# What the image has, the path of its command, and how the backup is taken.
VERSIONS = {
    "3.11.1": ("/opt/barmans/3.11.1/bin/barman", "postgres"),
    "3.16.2": ("/opt/barmans/3.16.2/bin/barman", "rsync"),
    "3.19.1": ("/opt/barman/bin/barman", "postgres"),
}
# What the tests of each version have shown: docs/versions.md is made of it.
RECORDS = LAB_STATE / "barmans"


@dataclass
class OwnClone(Clone):
    """The host's clone of the own upstream; its WAL comes from the own Barman."""

    PORT: ClassVar[str] = "6000"
    barman: OwnBarman | None = None

    def start_settings(self) -> dict[str, str]:
        assert self.barman is not None
        barman = f"{self.barman.executable} -c {self.barman.conf}"
        return {**super().start_settings(), "restore_command": f"ssh barman@barman {barman} get-wal own %f >%p"}

    def assert_starts(self) -> None:
        code, log = self.try_to_start()
        assert code == 0, log

    def stop(self) -> None:
        stop = [f"{BINDIR}/pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={DATA}"]
        self.host.run(stop, user="postgres", check=False)


@dataclass
class Tried:
    """A version, a clone on the host that asks it, and what has been proven so far."""

    version: str
    method: str
    barman: OwnBarman
    upstream: Upstream
    clone: OwnClone
    proven: dict[str, str] = field(default_factory=dict)

    def ask(self, module: str, **options: object) -> dict[str, object]:
        """A module that asks Barman, on the host as its database user."""
        asked = {
            "barman_host": "barman@barman",
            "barman_server": "own",
            "barman_config": self.barman.conf,
            "barman_executable": self.barman.executable,
        }
        return self.clone.module(module, **asked, **options)


@pytest.fixture(scope="module", params=VERSIONS)
def tried(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[Tried]:
    version, (executable, method) = request.param, VERSIONS[request.param]
    record = RECORDS / f"{version}.json"
    record.unlink(missing_ok=True)
    barman = OwnBarman(upstream.lab, f"{HOST}-{version}", executable)
    if not upstream.lab.barman.exists(executable):
        raise LabError(f"this lab has no Barman {version}; make lab-down lab")
    clone = OwnClone(upstream.lab, upstream.host, barman=barman)
    clone._install()
    with own_barman(barman, method):
        tried = Tried(version, method, barman, upstream, clone)
        yield tried
        clone.stop()
        RECORDS.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"barman": version, "method": method, "proven": tried.proven}, indent=2) + "\n")


def test_it_tells_of_its_server(tried: Tried) -> None:
    told = tried.ask("barman_server_info")
    assert told["barman_version"] == tried.version, told
    assert told["server"]["basebackups_directory"] == f"{tried.barman.directory}/base", told
    tried.proven["server"] = "yes"


def test_it_lists_and_one_is_chosen(tried: Tried) -> None:
    newest = tried.ask("barman_backup_info", backup_id="latest")
    assert [backup["status"] for backup in newest["backups"]] == ["DONE"], newest
    chosen = newest["selected"]
    assert (chosen["mode"], chosen["compression"]) == (
        "postgres" if tried.method == "postgres" else "rsync-concurrent",
        None,
    )
    identifier = tried.upstream.sql("SELECT system_identifier FROM pg_control_system()")
    assert (chosen["system_identifier"], chosen["version"] // 10000) == (identifier, 15)
    tried.proven.update({"list": "yes", "show": "yes", "choose": "yes"})
    tried.clone.options = {"barman_host": "barman@barman", "data_directory": DATA, "backup": chosen}


def test_a_clone_has_every_row(tried: Tried) -> None:
    tried.clone.empty()
    done = tried.clone.run()
    assert done.get("action") == "clone", done
    tried.clone.assert_starts()
    assert tried.upstream.contents(tried.clone.PORT) == tried.upstream.contents()
    tried.proven["clone"] = "yes"
