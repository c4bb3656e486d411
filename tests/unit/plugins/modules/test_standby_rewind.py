# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import signal
import threading

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock
from ansible_collections.pgfleet.standby.plugins.modules import standby_rewind
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._rewind.rewinding import THERE, Rewinding
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import upstream
from ansible_collections.pgfleet.standby.tests.waiting import wait_until


@pytest.fixture
def rewinding(host):
    return Rewinding(host)


@pytest.fixture
def ask(host, run, rewinding, monkeypatch):
    """The module, with an upstream that says who it is; ``asked`` tells as whom it was asked."""
    asked = host.root / "asked"  # by another process

    def identify(keywords):
        with asked.open("a", encoding="utf-8") as file:
            file.write(f"{keywords['user']}\n")
        return upstream(**THERE)

    monkeypatch.setattr(standby_rewind, "identify", identify)

    def module(check_mode=False, **changed):
        return run(
            "standby_rewind",
            check_mode,
            **{
                "data_directory": f"{host.pgdata}/",
                "pg_bindir": str(host.programs),
                "upstream_conninfo": "host=n1 user=replicator dbname=other",
                "application_name": "n2",
                "rewind_user": "rewinder",
                **changed,
            },
        )

    module.asked = lambda: asked.read_text(encoding="utf-8").split() if asked.exists() else []
    return module


def test_rewind(host, ask, rewinding):
    result = ask()
    assert result["changed"] is True
    assert result["rewound_to"] == {"timeline": 1, "lsn": "0/1000000"}
    assert result["bytes"] == 50 << 20
    assert result["kept"] == ["log", "postgresql.auto.conf", "postgresql.conf"]
    assert result["left_behind"] == []
    assert result["seconds"] >= 0
    assert result["diff"]["before"].startswith("it went on to ")
    assert "a standby of primary:5432 on timeline 2" in result["diff"]["after"]
    assert (host.pgdata / "standby.signal").exists()
    assert host.record["data_directory"] == str(host.pgdata)


def test_each_role_does_its_own(ask, rewinding):
    ask(replication_user="streamer")
    assert ask.asked() == ["streamer"]
    assert "user=rewinder" in rewinding.said("argv")
    assert "dbname=postgres" in rewinding.said("argv")
    assert "dbname=other" not in rewinding.said("argv")


def test_without_a_role_of_its_own_it_is_the_one_that_streams(ask, rewinding):
    ask(replication_user="streamer", rewind_user=None)
    assert "user=streamer" in rewinding.said("argv")


def test_check_mode_changes_nothing_and_tells_the_same(host, ask, rewinding):
    before = read_tree(host.pgdata.parent)
    told = ask(check_mode=True)
    assert read_tree(host.pgdata.parent) == before
    assert rewinding.said("argv").count("--dry-run") == rewinding.said("argv").count("--target-pgdata")
    done = ask()
    same = ("changed", "rewound_to", "reason", "bytes", "kept", "diff")
    assert [told[name] for name in same] == [done[name] for name in same]


def test_what_can_be_seen_here_is_refused_before_the_upstream_is_asked(host, ask):
    process = host.start("postgres", host.pgdata)
    assert ask()["error_code"] == "server_running"
    process.communicate()
    assert ask.asked() == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"data_directory": "/nowhere"}, "rewind_impossible"),
        ({"upstream_conninfo": "host=n1 password=Geh3im"}, "conninfo_password"),
        ({"restore_command": "two\nlines"}, "setting_invalid"),
        ({"timeout": 0}, "option_out_of_range"),
        ({"pg_bindir": "/nowhere"}, "postgresql_not_installed"),
    ],
)
def test_refusals(host, ask, changed, code):
    before = read_tree(host.pgdata.parent)
    result = ask(**changed)
    assert (result["failed"], result["error_code"]) == (True, code)
    assert "Geh3im" not in str(result)
    assert read_tree(host.pgdata.parent) == before


def test_all_reasons_come_along(host, ask):
    (host.programs / "pg_rewind").unlink()
    result = ask()
    assert result["error_code"] == "rewind_impossible"
    assert result["reasons"] == [f"there is no {host.programs}/pg_rewind"]


class TestByItself:
    """The rewind is a process of its own: it ends for nobody who only waits for it."""

    @pytest.fixture
    def held(self, host, rewinding):
        """A pg_rewind that goes on when it is let go."""
        go = host.root / "go"
        os.mkfifo(go)
        rewinding.pretends(f"echo '512/51200 kB (1%) copied'; read -r line <'{go}'")
        yield lambda: go.write_text("\n", encoding="utf-8")
        with contextlib.suppress(OSError):  # nobody waits any more
            os.close(os.open(go, os.O_WRONLY | os.O_NONBLOCK))

    def test_who_does_not_wait_is_told_how_far_it_is(self, ask, host, rewinding, held):
        seen = ask(attach_timeout=0)
        assert (seen["changed"], seen["finished"]) == (True, False)
        wait_until(lambda: ask(attach_timeout=0)["progress"].get("percent") == 1.0)
        assert ask(attach_timeout=0)["progress"]["phase"] == "rewinding"
        held()
        done = ask(attach_run=seen["run"])
        assert (done["finished"], done["rewound_to"]["timeline"], rewinding.mode) == (True, 1, 0o700)

    def test_another_call_waits_for_the_one_that_runs(self, ask, rewinding, held):
        ask(attach_timeout=0)
        running = threading.Timer(0, held)
        running.start()
        assert ask()["finished"] is True
        running.join()
        assert rewinding.said("argv").count("--target-pgdata") == 2  # the dry run, and the one

    def test_to_another_upstream_is_another_rewind(self, ask, held):
        ask(attach_timeout=0)
        refused = ask(upstream_conninfo="host=other")
        assert refused["error_code"] == "clone_running"
        assert "A rewind to n1" in refused["msg"]
        held()
        ask()

    def test_one_that_was_killed_is_told_of_and_not_begun_again(self, ask, host, held):
        seen = ask(attach_timeout=0)
        wait_until(lambda: ask(attach_timeout=0)["progress"]["phase"] == "rewinding")
        os.kill(Lock.holder(str(host.state / "runner"))["pid"], signal.SIGKILL)
        held()
        wait_until(lambda: Lock.holder(str(host.state / "lock")) is None)
        assert ask(attach_run=seen["run"])["error_code"] == "rewind_unfinished"
        assert ask()["error_code"] == "rewind_unfinished"
