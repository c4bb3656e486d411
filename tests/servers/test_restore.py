"""restore_command as a server runs it: from a directory with an odd name, through its own shell, word for word."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.restore_command import restore_command
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.releases import RELEASES
from ansible_collections.pgfleet.standby.tests.servers.servers import as_user
from ansible_collections.pgfleet.standby.tests.waiting import wait_until
from hypothesis import given, settings
from hypothesis import strategies as st

# Notes its words, and fetches from a directory.
BARMAN = """\
#!/bin/sh
printf '%s\\0' "$@" >'{place}/words.new'
mv '{place}/words.new' '{place}/words'
while [ $# -gt 2 ]; do shift; done
cp "{place}/archive/$1" "$2" 2>/dev/null
"""
ODD = 'it\'s a "dir" $(touch x) `id` %p\\'
HOSTILE = {
    "barman_host": "o'brien@back up; %f",
    "barman_server": 'pg $(id) "%p" %%f',
    "barman_config": "/etc/bar man's `id`.conf \\",
}
WORDS = st.text(st.characters(exclude_characters="\0\n\r@", codec="utf-8"), min_size=1)


class Archive:
    """A directory of segments, a barman-wal-restore that takes them from there, and the standby that asks it."""

    def __init__(self, fleet: Fleet, major: int) -> None:
        self.place = fleet.place(f"r{major}")
        self.primary = fleet.primary(major)
        (self.place / "archive").mkdir()
        program = self.place / "barman-wal-restore"
        program.write_text(BARMAN.format(place=self.place), encoding="utf-8")
        program.chmod(0o755)
        self.standby = self.primary.copy(self.place / ODD)
        self.standby.path = f"{self.place}:{self.standby.path}"

    @property
    def spool(self) -> str:
        """Beside the data directory, as a clone has it."""
        return str(self.place / f".{ODD}.standby" / "spool")

    def wanted(self, params: dict[str, Any]) -> dict[str, str]:
        """The settings of a standby that has nothing but the archive."""
        with patch.dict(os.environ, {"PATH": self.standby.path}):
            command = restore_command({"restore_command": "auto", **params}, self.spool).text
        assert command is not None
        return {"restore_command": command, "recovery_target_timeline": "latest"}

    def expected(self, params: dict[str, Any]) -> list[str]:
        """The words that barman-wal-restore has to get, up to the file's name and place."""
        user, _at, host = params["barman_host"].partition("@")
        return [
            *("-U", user, "--spool-dir", self.spool, "--config", params["barman_config"]),
            *(host, params["barman_server"]),
        ]

    def words(self) -> list[str]:
        """Those that it got last."""
        path = self.place / "words"
        return path.read_bytes().decode().split("\0")[:-1] if path.exists() else []

    def wait_for(self, expected: list[str]) -> None:
        """The server asks for the next segment again and again."""
        wait_until(lambda: self.words()[:-2] == expected, "the server's question")

    def put(self) -> str:
        """Archive what the primary has written. Returns the position up to which that is."""
        [(lsn,)] = self.primary.sql("SELECT pg_switch_wal()::text")
        [(last,)] = self.primary.sql("SELECT pg_walfile_name(%s)", lsn)
        for segment in (self.primary.data / "pg_wal").glob("?" * 24):
            if segment.name <= last:
                shutil.copy(segment, self.place / "archive")
        as_user(self.place / "archive")
        return str(lsn)


@pytest.fixture(params=sorted(RELEASES))
def archive(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Archive]:
    """With a standby that runs on a directory with an odd name, and asks all the time: it must not run for long."""
    made = Archive(fleet, request.param)
    made.standby.make_standby(made.wanted(HOSTILE))
    made.standby.start({"wal_retrieve_retry_interval": "10ms"})
    yield made
    made.standby.kill()
    shutil.rmtree(made.place)


def test_a_segment_is_fetched(archive: Archive) -> None:
    archive.primary.sql("CREATE TABLE fetched AS SELECT 4711 AS number")
    lsn = archive.put()
    archive.standby.wait_for("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn)
    assert archive.standby.sql("SELECT number FROM fetched") == [(4711,)]
    archive.primary.sql("DROP TABLE fetched")
    archive.wait_for(archive.expected(HOSTILE))
    name, place = archive.words()[-2:]
    assert (len(name), place) in ((24, "pg_wal/RECOVERYXLOG"), (16, "pg_wal/RECOVERYHISTORY"))
    strangers = {path.name for path in archive.standby.data.iterdir()} - {
        path.name for path in archive.primary.data.iterdir()
    }
    assert strangers <= {"standby.signal", "recovery.conf", "postgresql.auto.conf"}


# From PostgreSQL 14 on a reload is enough for another restore_command.
@pytest.mark.parametrize("archive", [14, 18], indirect=True)
@settings(max_examples=40)
@given(user=WORDS, host=WORDS, server=WORDS, config=WORDS)
def test_any_words_arrive(archive: Archive, user: str, host: str, server: str, config: str) -> None:
    params = {"barman_host": f"{user}@{host}", "barman_server": server, "barman_config": config}
    archive.standby.edit("postgresql.auto.conf", archive.wanted(params))
    archive.standby.reload()
    archive.wait_for(archive.expected(params))
