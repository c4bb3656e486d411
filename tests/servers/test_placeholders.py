"""A percent sign in a command: what servers take for a placeholder, and what one that is none does to a standby."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import require_valid
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.placeholders import unknown_placeholder
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.requested_settings import requested_settings
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.releases import RELEASES, programs_of
from ansible_collections.pgfleet.standby.tests.servers.servers import Server
from ansible_collections.pgfleet.standby.tests.waiting import wait_until
from hypothesis import given, settings
from hypothesis import strategies as st

# Brings nothing and says so, as for a segment that is not in the archive.
STRAY = "date +%s; exit 1"


def standby_of(fleet: Fleet, major: int, name: str, command: str) -> Server:
    """A standby that has nothing but this command, and asks for the next segment at once."""
    standby = fleet.primary(major).copy(fleet.place(name) / "data")
    standby.make_standby({"restore_command": command, "recovery_target_timeline": "latest"})
    return standby


@pytest.mark.parametrize("major", sorted(RELEASES))
def test_no_parser_looks_at_it(major: int) -> None:
    """So the table has to: the server's own program takes the setting, of every version that has it by name."""
    if major >= 12:
        require_valid(str(programs_of(major)), {"restore_command": STRAY, "archive_cleanup_command": "%s"})
    with pytest.raises(StandbyError) as refused:
        requested_settings("host=p", STRAY, {})
    assert refused.value.code == "command_placeholder_unknown"


@pytest.mark.parametrize("major", [15, 18])
def test_a_stray_one_ends_the_server_from_16_on(fleet: Fleet, major: int) -> None:
    standby = standby_of(fleet, major, f"stray{major}", STRAY)
    if major < 16:
        standby.start()
        standby.wait_for("SELECT pg_is_in_recovery()")
        standby.kill()
        return
    standby.start(wait=False)
    wait_until(lambda: not standby.running, "the end of the server")
    log = standby.log.read_text(encoding="utf-8", errors="replace")
    assert 'invalid value for parameter "restore_command"' in log
    assert 'unexpected placeholder "%s"' in log


@pytest.fixture(scope="module")
def asking(fleet: Fleet) -> Any:
    """A standby of 18 that asks its archive all the time."""
    standby = standby_of(fleet, 18, "asking", "exit 1")
    standby.start({"wal_retrieve_retry_interval": "1ms"})
    yield standby
    standby.kill()


def is_taken(command: str) -> bool:
    """Whether the table refuses nothing of it."""
    return unknown_placeholder("restore_command", command) is None


@settings(max_examples=25)
@given(command=st.text(alphabet="%fprx", max_size=8).filter(is_taken))
def test_what_the_table_takes_the_server_takes(asking: Server, command: str) -> None:
    """The server of 18 runs every command that is not refused: it writes what it was told where we can see it."""
    seen = asking.top / "seen"
    seen.unlink(missing_ok=True)
    asking.edit("postgresql.auto.conf", {"restore_command": f"echo '{command}' >{seen}; exit 1"})
    asking.reload()
    wait_until(lambda: seen.exists() or not asking.running, "the command")
    assert asking.running
