"""The WAL feed beside real servers: what their WAL begins with, and recoveries that take it out of the spool."""

from __future__ import annotations

import bz2
import gzip
import os
import pwd
import shutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_header import (
    HEADER_BYTES,
    page_magic,
    segment_error,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import segment_name
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import (
    default_state_directory,
    wal_spool_of,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import read_note
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.restore_command import spool_first
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed import feed as _feed
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.process import ended, kept_running
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed.request import FeedRequest, order_of
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.servers import Server, as_user
from ansible_collections.pgfleet.standby.tests.waiting import wait_until

# An ssh whose other end is this host.
SSH = """\
#!/bin/sh
while :; do
    case $1 in
    -[oliFp]) shift 2 ;;
    --) shift; break ;;
    -*) shift ;;
    *) break ;;
    esac
done
shift
exec sh -c "$*"
"""
ODD = 'it\'s a "dir" $(touch x) `id` %p\\'
# Notes what it is asked for, and fetches from a directory.
ORDINARY = """\
#!/bin/sh
echo "$1" >>'{place}/asked-for'
cp "{place}/ordinary/$1" "$2" 2>/dev/null
"""


def test_the_header_of_every_version_is_known(primary: Server) -> None:
    primary.sql("SELECT txid_current()")
    control = inspect(str(primary.data), str(primary.top / "no state")).control
    assert control is not None
    for path in (primary.data / "pg_wal").glob("?" * 24):
        head = path.read_bytes()[:HEADER_BYTES]
        if any(head):  # the next one is made before it is used; what is used again still has what it had
            magic = int.from_bytes(head[:2], "little")
            assert magic == page_magic(primary.major)
    [(name,)] = primary.sql("SELECT pg_walfile_name(pg_switch_wal())")
    head = (primary.data / "pg_wal" / name).read_bytes()[:HEADER_BYTES]
    expected = (control.wal_segment_size, control.system_identifier, page_magic(primary.major))
    assert segment_error(head, name, *expected) is None


def as_server_user(work: Callable[[], object]) -> None:
    """Do something as the user that the servers run as: what is made belongs to that user."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                account = pwd.getpwnam("nobody")
                os.setgroups([])
                os.setgid(account.pw_gid)
                os.setuid(account.pw_uid)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class Recovery:
    """A primary with an archive, a copy of it from before that, and a feed between them."""

    def __init__(self, fleet: Fleet, major: int, pack: Callable[[bytes], bytes] = bytes) -> None:
        self.place = fleet.place(f"f{major}")
        self.pack = pack
        self.primary = fleet.primary(major)
        for name in ("ordinary", "bin", "archive"):
            (self.place / name).mkdir()
        (self.place / "ordinary.sh").write_text(ORDINARY.format(place=self.place), encoding="utf-8")
        (self.place / "bin" / "ssh").write_text(SSH, encoding="utf-8")
        for program in ("ordinary.sh", "bin/ssh"):
            (self.place / program).chmod(0o755)
        self.standby = self.primary.copy(self.place / ODD)
        control = inspect(str(self.standby.data), f"{self.place}/none").control
        assert control is not None
        self.control = control
        [(self.first,)] = self.primary.sql("SELECT pg_walfile_name(%s)", control.redo_lsn)
        self.state = default_state_directory(str(self.standby.data))
        self.spool = Path(wal_spool_of(self.state))
        ordinary = f"{self.place}/ordinary.sh %f %p"
        self.settings = {
            "restore_command": spool_first(str(self.spool), ordinary),
            "recovery_target_timeline": "latest",
        }
        self.standby.make_standby(self.settings)
        self.archived: list[str] = []
        as_user(self.place)

    def archive(self, count: int, but: str = "") -> str:
        """Have the primary write so many segments, and archive them. Returns the position of the end."""
        self.primary.sql("CREATE TABLE IF NOT EXISTS fed (number int)")
        for number in range(count):
            self.primary.sql("INSERT INTO fed VALUES (%s)", number)
            [(lsn,)] = self.primary.sql("SELECT pg_switch_wal()::text")
        [(last,)] = self.primary.sql("SELECT pg_walfile_name(%s)", lsn)
        for path in sorted((self.primary.data / "pg_wal").glob("?" * 24)):
            if self.first <= path.name <= last and path.name not in self.archived:
                place = self.place / "archive" / path.name[:16]
                place.mkdir(exist_ok=True)
                (place / path.name).write_bytes(self.pack(path.read_bytes()))
                self.archived.append(path.name)
        as_user(self.place / "archive")
        return str(lsn)

    @property
    def backup(self) -> Backup:
        """As Barman would tell what the copy was made from."""
        return Backup(
            *("20261201T020000", "DONE", "pg"),
            version=self.primary.major * 10000,
            system_identifier=self.control.system_identifier,
            begin_wal=self.first,
            begin_lsn=self.control.redo_lsn,
        )

    def request(self, backup: Backup | None, bound: int | None = None) -> FeedRequest:
        return FeedRequest("pg", BarmanHost("barman"), str(self.standby.data), self.state, backup, None, bound)

    def begin(self) -> str:
        """The segment with which a feed begins that only knows the data directory."""
        order = order_of(self.request(None), ["/archive"])
        return segment_name(order.timeline, order.lsn, self.control.wal_segment_size)

    def feed(self, bound: int | None = None) -> None:
        """Start a feed."""
        request = self.request(self.backup, bound)

        def start() -> None:
            os.environ["PATH"] = f"{self.place}/bin:{os.environ['PATH']}"
            kept_running(order_of(request, [str(self.place / "archive")]), request.identity, False)

        as_server_user(start)

    def end(self) -> None:
        as_server_user(lambda: ended(self.state, False))

    def told(self) -> dict[str, object]:
        return read_note(_feed.note_of(self.state)) or {}

    def held(self) -> list[str]:
        return sorted(path.name for path in self.spool.glob("?" * 24))

    def start(self, **settings: str) -> None:
        self.standby.start({"wal_retrieve_retry_interval": "10ms", **settings})

    def wait_for(self, lsn: str) -> None:
        self.standby.wait_for("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn)

    def by_ordinary_command(self) -> set[str]:
        """What the ordinary command was asked for, of what the archive has."""
        path = self.place / "asked-for"
        return set(path.read_text(encoding="utf-8").split() if path.exists() else []) & set(self.archived)

    def close(self) -> None:
        self.standby.kill()
        self.end()
        shutil.rmtree(self.place)


PACKED: dict[int, Callable[[bytes], bytes]] = {10: bytes, 13: gzip.compress, 15: bytes, 18: bz2.compress}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_feed, "_PAUSE_SECONDS", 0.01)


@pytest.fixture(params=sorted(PACKED))
def recovery(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Recovery]:
    made = Recovery(fleet, request.param, PACKED[request.param])
    yield made
    made.close()


# Between two looks the feed pauses for seconds.
often_18 = pytest.mark.parametrize(
    "recovery",
    [pytest.param(major, marks=() if major == max(PACKED) else pytest.mark.long) for major in sorted(PACKED)],
    indirect=True,
)
only_15 = pytest.mark.parametrize("recovery", [15], indirect=True)


def test_a_server_replays_all_out_of_the_spool(recovery: Recovery) -> None:
    lsn = recovery.archive(5)
    recovery.feed()
    wait_until(lambda: recovery.held() == recovery.archived, f"{recovery.archived}, {recovery.told()}")
    recovery.start()
    recovery.wait_for(lsn)
    assert recovery.by_ordinary_command() == set()
    assert recovery.standby.sql("SELECT count(*) FROM fed") == recovery.primary.sql("SELECT count(*) FROM fed")
    recovery.end()
    assert not recovery.spool.exists()
    # Without the spool the very same command is the ordinary one.
    lsn = recovery.archive(1)
    name = recovery.archived[-1]
    shutil.copy(recovery.primary.data / "pg_wal" / name, recovery.place / "ordinary")
    as_user(recovery.place / "ordinary")
    recovery.wait_for(lsn)
    assert recovery.by_ordinary_command() == {name}


@only_15
def test_a_spool_that_holds_little_is_filled_as_the_server_empties_it(recovery: Recovery) -> None:
    lsn = recovery.archive(20)
    bound = 4
    recovery.feed(bound * recovery.control.wal_segment_size)
    wait_until(lambda: recovery.told().get("waits_for") == "server")
    assert recovery.held() == recovery.archived[: bound - 1]
    most = bound - 1

    def is_replayed() -> bool:
        nonlocal most
        most = max(most, len(recovery.held()))
        return recovery.standby.sql("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn) == [(True,)]

    recovery.start()  # the ordinary command finds nothing, and the server asks again
    wait_until(is_replayed)
    assert most <= bound


@only_15
def test_a_damaged_segment_comes_by_the_ordinary_command(recovery: Recovery) -> None:
    lsn = recovery.archive(5)
    damaged = recovery.archived[2]
    shutil.copy(recovery.primary.data / "pg_wal" / damaged, recovery.place / "ordinary")
    as_user(recovery.place / "ordinary")
    path = recovery.place / "archive" / damaged[:16] / damaged
    path.write_bytes(bytes(512) + path.read_bytes()[512:])
    recovery.feed()
    wait_until(lambda: recovery.told().get("waits_for") == "archive")
    assert list(recovery.told()["refused"]) == [damaged]  # type: ignore[call-overload]
    assert damaged not in recovery.held()
    recovery.start()
    recovery.wait_for(lsn)
    assert recovery.by_ordinary_command() == {damaged}


@often_18
def test_it_ends_when_the_server_streams(recovery: Recovery) -> None:
    recovery.archive(2)
    recovery.feed()
    wait_until(lambda: recovery.told().get("waits_for") == "archive")
    conninfo = f"host={recovery.primary.top} port={recovery.primary.port} user=postgres"
    recovery.standby.make_standby({**recovery.settings, "primary_conninfo": conninfo})
    recovery.start()
    wait_until(lambda: recovery.told().get("ended") == "streaming")


@often_18
def test_it_ends_when_the_server_is_promoted(recovery: Recovery) -> None:
    lsn = recovery.archive(2)
    recovery.feed()
    recovery.start()
    recovery.wait_for(lsn)
    recovery.standby.promote()
    wait_until(lambda: recovery.told().get("ended") == "promoted")


def test_a_directory_tells_itself_where_its_replay_goes_on(recovery: Recovery) -> None:
    lsn = recovery.archive(3)
    assert recovery.begin() == recovery.first
    recovery.feed()
    recovery.start()
    recovery.wait_for(lsn)
    # A restartpoint moves the beginning: what lies before it is not needed any more.
    recovery.primary.sql("CHECKPOINT")
    recovery.wait_for(recovery.archive(1))
    recovery.standby.sql("CHECKPOINT")
    recovery.standby.stop()
    control = inspect(str(recovery.standby.data), recovery.state).control
    assert control is not None
    [(expected,)] = recovery.primary.sql("SELECT pg_walfile_name(%s)", control.redo_lsn)
    assert recovery.begin() == expected > recovery.first


def test_a_backup_label_outranks_the_control_file(recovery: Recovery) -> None:
    """The checkpoint of a file that was copied late is not where replay has to begin."""
    late = "0000000100000007000000AA"
    recovery.standby.put("backup_label", f"START WAL LOCATION: 7/AA000028 (file {late})\nSTART TIMELINE: 1\n")
    assert recovery.begin() == late
    (recovery.standby.data / "backup_label").unlink()
    assert recovery.begin() == recovery.first
