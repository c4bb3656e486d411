"""A standby that is waited for in steps while it replays, and what the play shows of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import standby_keywords
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text
from ansible_collections.pgfleet.standby.plugins.modules.standby_info import work
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.releases import RELEASES, programs_of
from ansible_collections.pgfleet.standby.tests.servers.servers import SUPERUSER, Server, as_user
from ansible_collections.pgfleet.standby.tests.waiting import BOUND, wait_until

SEGMENTS = 5
MAJOR_OF_PLAY = 17
# Each segment of the archive has a gate, a named pipe, in which it has to be let through. What is not in the archive is
# streamed.
RESTORE = "[ -e {archive}/%f ] || exit 1; read go < {gates}/%f && cp {archive}/%f %p"
STREAMS = "SELECT count(*) = 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"
LINE = re.compile(r"standby_info replaying, ([0-9.]+) (kB|MB) behind, .*consistent since \d\d:\d\d")
UNITS = {"kB": 1 << 10, "MB": 1 << 20}

PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Wait
      pgfleet.standby.standby_info: "{{ options }}"
      register: standby
      failed_when: not standby.ready
    - name: Tell
      ansible.builtin.debug:
        msg: "finished={{ standby.finished }}, ready={{ standby.ready }}"
"""


@dataclass
class Late:
    """A standby that replays as much as it is let. ``segments`` are the names of those in the archive and their ends.

    It was not consistent at ``unready_at``, in seconds since 1970.
    """

    primary: Server
    server: Server
    gates: Path
    segments: list[tuple[str, str]]
    unready_at: float = 0.0

    def asks_for(self, number: int) -> bool:
        """Whether the server asks for that segment now. It gets it then."""
        with suppress(OSError):
            gate = os.open(self.gates / self.segments[number][0], os.O_WRONLY | os.O_NONBLOCK)
            try:
                return os.write(gate, b"go\n") > 0
            finally:
                os.close(gate)
        return False

    def answers(self) -> bool:
        with suppress(psycopg2.OperationalError):
            self.server.connect().close()
            return True
        return False

    def start(self) -> None:
        """It becomes consistent with the first segment."""
        self.server.start(wait=False)
        self.unready_at = time.time()
        wait_until(lambda: self.asks_for(0) or self.answers())
        self.server.wait_until_ready()

    def replay(self, number: int) -> None:
        """Let it replay that segment, for which it may ask more than once."""
        end = self.segments[number][1]
        replayed = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        wait_until(lambda: self.asks_for(number) or self.server.sql(replayed, end) == [(True,)])
        self.server.wait_for(replayed, end)

    def options(self, **more: Any) -> dict[str, Any]:
        """Those of the module."""
        return {
            "data_directory": str(self.server.data),
            "pg_bindir": str(programs_of(self.server.major)),
            "upstream_conninfo": self.primary.conninfo,
            "wait": "ready",
            "timeout": int(BOUND),
            "login_user": SUPERUSER,
            **more,
        }

    def step(self, waited: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
        """A call of the module, which is given what it may be given as JSON."""
        unset = ("state_directory", "replication_user", "upstream_password", "passfile", "slot_name", "min_replay_lsn")
        others = {"upstream_connection": "required", "max_lag_bytes": None, "login_db": "postgres"}
        handed = json.loads(json.dumps(waited))
        return work({**dict.fromkeys(unset), **others, **self.options(waited=handed, **more)}, False)


@pytest.fixture(params=sorted(RELEASES))
def late(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Late]:
    primary = fleet.primary(request.param)
    place = fleet.place(f"w{request.param}")
    archive, gates = place / "archive", place / "gates"
    archive.mkdir()
    gates.mkdir()
    server = primary.copy(place / "data")
    segments = []
    for _segment in range(SEGMENTS):
        primary.sql("SELECT txid_current()")
        [(name, end)] = primary.sql("SELECT pg_walfile_name(lsn), lsn::text FROM pg_switch_wal() AS lsn")
        shutil.copy(primary.data / "pg_wal" / name, archive)
        os.mkfifo(gates / name)
        segments.append((name, end))
    conninfo = conninfo_text(standby_keywords(primary.conninfo, None, "late"))
    restore = RESTORE.format(archive=archive, gates=gates)
    server.make_standby(
        {"primary_conninfo": conninfo, "restore_command": restore, "recovery_target_timeline": "latest"}
    )
    server.edit("postgresql.auto.conf", {"wal_retrieve_retry_interval": "10ms"})
    if server.major >= 15:
        # Else it asks for a segment before it replays the last record of the one before.
        server.edit("postgresql.auto.conf", {"recovery_prefetch": "off"})
    as_user(place)
    made = Late(primary, server, gates, segments)
    try:
        made.start()
        yield made
    finally:
        server.kill()
        for name, _end in segments:
            # A command that still waits there ends.
            os.close(os.open(gates / name, os.O_RDWR | os.O_NONBLOCK))
        shutil.rmtree(place)


def test_every_step_tells_how_far_it_is_and_the_last_that_it_streams(late: Late) -> None:
    told, waited = [], None
    for number in range(1, SEGMENTS):
        step = late.step(waited, attach_timeout=0)
        assert (step["finished"], step["ready"]) == (False, False), step["reasons"]
        told.append(step["progress"])
        waited = step["waited"]
        late.replay(number)
    late.server.wait_for(STREAMS)
    done = late.step(waited)
    assert (done["finished"], done["ready"]) == (True, True), done["reasons"]
    assert "progress" not in done
    behind = [progress["behind"] for progress in told]
    assert behind == sorted(set(behind), reverse=True)
    assert [(progress["phase"], progress["still"]) for progress in told] == [("replaying", 0.0)] * len(told)
    assert [progress["rate"] is not None and progress["rate"] > 0 for progress in told] == [False, True, True, True]
    [since] = {progress["consistent_since"] for progress in told}
    assert late.unready_at <= since <= time.time()


def test_the_time_in_which_it_is_handed_nothing_is_that_of_all_steps(late: Late) -> None:
    steps = [late.step(None, attach_timeout=0)]
    for _step in range(2):
        steps.append(late.step(steps[-1]["waited"], attach_timeout=0))
    still = [step["progress"]["still"] for step in steps]
    assert still == sorted(set(still))
    assert len({step["waited"]["moved_at"] for step in steps}) == 1
    ended = late.step(steps[-1]["waited"], timeout=0)
    assert (ended["finished"], ended["ready"]) == (True, False)
    for number in range(1, SEGMENTS):
        late.replay(number)


@pytest.mark.parametrize("major", sorted(RELEASES))
def test_one_with_a_delay_has_to_have_received_it(fleet: Fleet, major: int) -> None:
    primary = fleet.primary(major)
    server = primary.copy(fleet.place(f"d{major}") / "data")
    conninfo = conninfo_text(standby_keywords(primary.conninfo, None, "delayed"))
    server.make_standby({"primary_conninfo": conninfo, "recovery_min_apply_delay": "1d"})
    try:
        server.start()
        server.wait_for(STREAMS)
        primary.sql("CREATE TABLE of_later ()")
        primary.sql("DROP TABLE of_later")
        done = Late(primary, server, server.top, []).step(None)
        assert (done["ready"], done["finished"], done["instance"]["delayed"]) == (True, True, True), done["reasons"]
        assert done["lag_bytes"] > 0
    finally:
        server.kill()
        shutil.rmtree(server.top)


@pytest.mark.parametrize("late", [MAJOR_OF_PLAY], indirect=True)
def test_a_play_shows_how_far_it_is_while_it_waits(late: Late, tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    (tmp_path / "vars.json").write_text(json.dumps({"options": late.options(progress_interval=1)}), encoding="utf-8")
    python = f"ansible_python_interpreter={sys.executable}"
    argv = ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", python, "-e", "@vars.json", "play.yml"]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0"}
    shown: list[str] = []
    with subprocess.Popen(
        argv, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as playing:
        net = threading.Timer(BOUND, playing.kill)
        net.start()
        try:
            number = 1
            for text in playing.stderr or ():
                shown.append(text)
                # Each line of the play lets the standby replay another segment.
                if "standby_info" in text and number < SEGMENTS:
                    late.replay(number)
                    number += 1
            said = playing.stdout.read() if playing.stdout else ""
        finally:
            net.cancel()
    assert "finished=True, ready=True" in said, said + "".join(shown)
    assert playing.returncode == 0, said
    lines = [LINE.search(text) for text in shown if "standby_info replaying" in text]
    behind = [float(line.group(1)) * UNITS[line.group(2)] for line in lines if line is not None]
    assert len(behind) >= SEGMENTS - 1, shown
    assert behind == sorted(set(behind), reverse=True)
