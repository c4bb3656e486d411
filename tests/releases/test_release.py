"""The whole play on each Debian release: the tests of one release follow from each other."""

from __future__ import annotations

import re

import pytest
from play import said_of
from standby import Standby


def needed(output: str) -> str:
    """What the changed settings needed, as the play's own task told."""
    told = re.search(r'"(reload|restart)_required": true', output)
    return told.group(1) if told else ""


def test_check_mode_tells_the_plan_and_changes_nothing(standby: Standby) -> None:
    before = standby.places()
    run = standby.play("--check", "--diff")
    assert (run.rc, said_of("n1", run)) == (0, "clone"), run.output
    assert " planned " in run.output, run.output
    assert standby.places() == before
    standby.proven["plan"] = "yes"


def test_an_empty_host_becomes_a_standby(standby: Standby) -> None:
    standby.becomes("clone")
    standby.follow()
    assert standby.sql("SELECT pg_is_in_recovery()") == "t"
    assert standby.contents(standby.host) == standby.contents(standby.lab.primary)
    standby.proven.update({"clone": "yes", "second run": "nothing to do"})


@pytest.mark.parametrize(
    ("setting", "drift", "since"),
    [
        ("primary_conninfo", "SET primary_conninfo = 'host=127.0.0.1 port=1'", 13),
        # PostgreSQL takes up another one at a reload since 14.
        ("restore_command", "RESET restore_command", 14),
    ],
    ids=["primary_conninfo", "restore_command"],
)
def test_a_setting_that_somebody_changed(standby: Standby, setting: str, drift: str, since: int) -> None:
    expected = "reload" if standby.lab.release.postgres >= since else "restart"
    standby.sql(f"ALTER SYSTEM {drift}")
    if expected == "reload":
        standby.sql("SELECT pg_reload_conf()")
    else:
        # Only then does the server use what the file says.
        standby.restart()
    started = standby.started
    run = standby.becomes("settings")
    assert needed(run.output) == expected, run.output
    assert (standby.started == started) == (expected == "reload")
    standby.follow()
    standby.proven[setting] = expected


def test_a_stopped_standby_is_started(standby: Standby) -> None:
    standby.stop()
    standby.becomes("start")
    standby.follow()
    standby.proven["start"] = "yes"
