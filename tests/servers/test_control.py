"""pg_control as we read it and as the server itself tells it, of every major version."""

from __future__ import annotations

from threading import Event, Thread

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import HOT_STANDBY_SETTINGS, ControlData
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import control_data
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.servers import Server

# These functions read the file, as we do.
_TOLD = """
SELECT system.system_identifier::text, checkpoint.timeline_id, checkpoint.checkpoint_lsn::text,
       checkpoint.redo_lsn::text, checkpoint.next_oid::bigint, recovery.min_recovery_end_lsn::text,
       recovery.min_recovery_end_timeline, init.database_block_size, init.bytes_per_wal_segment,
       init.data_page_checksum_version <> 0
FROM pg_control_system() AS system, pg_control_checkpoint() AS checkpoint, pg_control_recovery() AS recovery,
     pg_control_init() AS init
"""
# Less than the standby has, which would stop otherwise.
_SETTINGS = {
    "max_connections": 17,
    "max_worker_processes": 5,
    "max_wal_senders": 6,
    "max_prepared_transactions": 2,
    "max_locks_per_transaction": 61,
}

_CHECKPOINTS = 20


def told(server: Server) -> tuple[object, ...]:
    """What the server says is in its pg_control."""
    [row] = server.sql(_TOLD)
    return row


def read(control: ControlData) -> tuple[object, ...]:
    """The same of what we read."""
    return (
        control.system_identifier,
        control.timeline,
        control.checkpoint_lsn,
        control.redo_lsn,
        control.next_oid,
        control.min_recovery_lsn,
        control.min_recovery_timeline,
        control.block_size,
        control.wal_segment_size,
        control.data_checksums,
    )


def settings_of(major: int) -> dict[str, int]:
    """Those of _SETTINGS that this version keeps there."""
    return {name: _SETTINGS[name] for name in HOT_STANDBY_SETTINGS if name != "max_wal_senders" or major >= 12}


def test_of_a_primary(primary: Server) -> None:
    primary.stop()
    shut_down = control_data(str(primary.data))
    assert shut_down.state == "shut down"
    primary.start({"wal_log_hints": "on", **{name: str(value) for name, value in _SETTINGS.items()}})
    primary.sql("CREATE TABLE IF NOT EXISTS anything ()")
    primary.sql("CHECKPOINT")
    control = control_data(str(primary.data))
    assert read(control) == told(primary)
    assert (control.state, control.settings, control.wal_log_hints) == (
        "in production",
        settings_of(primary.major),
        True,
    )
    assert read(control) != read(shut_down)
    primary.stop()
    primary.start()


def test_of_a_standby(fleet: Fleet, standby: Server) -> None:
    primary = fleet.primary(standby.major)
    primary.sql("CREATE TABLE of_a_standby AS SELECT generate_series(1, 1000) n")
    primary.sql("CHECKPOINT")
    [(lsn,)] = primary.sql("SELECT pg_current_wal_lsn()::text")
    standby.wait_for("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn)
    standby.sql("CHECKPOINT")  # a restart point
    control = control_data(str(standby.data))
    assert read(control) == told(standby)
    assert control.state == "in archive recovery"
    assert control.min_recovery_lsn != "0/0"
    assert control.min_recovery_timeline == 1
    standby.stop()
    assert control_data(str(standby.data)).state == "shut down in recovery"
    standby.start()
    # A server that was killed says what it said when it ran.
    before = control_data(str(standby.data))
    standby.kill()
    assert control_data(str(standby.data)) == before
    standby.start()


def test_while_it_is_written(primary: Server) -> None:
    """No read fails, and none sees a mixture, while a server writes it as often as it can."""
    session = primary.connect()
    written: list[bool] = []
    enough = Event()

    def write() -> None:
        with session.cursor() as cursor:
            while not enough.is_set():
                cursor.execute("CHECKPOINT")
                written.append(True)

    writer = Thread(target=write)
    writer.start()
    positions: list[int] = []
    while writer.is_alive() and (len(written) < _CHECKPOINTS or len(set(positions)) < 2):
        positions.append(parse_lsn(control_data(str(primary.data)).checkpoint_lsn))
    enough.set()
    writer.join()
    session.close()
    assert len(written) >= _CHECKPOINTS
    assert positions == sorted(positions)
    assert len(set(positions)) > 1
