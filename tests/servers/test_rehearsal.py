"""The rehearsal of a standby's start: what makes a real server refuse is told in its words, and nothing is left."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg2
import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal import cluster as _cluster
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal import rehearse as _rehearse
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal import server as _server
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.cluster import Standby
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.scratch import Scratch
from ansible_collections.pgfleet.standby.tests.servers.rehearsal_harms import (
    HARMLESS,
    HARMS,
    IN_QUICK_RUNS,
    MAJORS,
    OF_HOST,
    Files,
    Harm,
)
from ansible_collections.pgfleet.standby.tests.servers.rehearsals import Host
from ansible_collections.pgfleet.standby.tests.waiting import wait_until


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    # The user that servers run as may not come to the interpreter of the tests.
    monkeypatch.setattr(sys, "executable", shutil.which("python3", path="/usr/bin:/usr/local/bin"))
    made = Host(Path(tempfile.mkdtemp(prefix="pgfleet-")))
    monkeypatch.setattr(tempfile, "tempdir", str(made.base))
    yield made
    shutil.rmtree(made.top)


@pytest.fixture(scope="session")
def templates() -> Iterator[Path]:
    """What initdb makes, once for each version."""
    top = Path(tempfile.mkdtemp(prefix="pgfleet-"))
    top.chmod(0o777)
    yield top
    shutil.rmtree(top)


@pytest.fixture
def quick(templates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clusters are copies of one that initdb has made before: it takes the most time by far."""

    def initdb(made: Callable[[Standby, Scratch], None], standby: Standby, scratch: Scratch) -> None:
        template = templates / str(standby.major)
        if not template.exists():
            made(standby, scratch)
            shutil.copytree(scratch.data, template)
        else:
            shutil.copytree(template, scratch.data)

    monkeypatch.setattr(_rehearse, "initdb", partial(initdb, _cluster.initdb))


def of_each(harms: tuple[Harm, ...]) -> pytest.MarkDecorator:
    """Each with each of its versions: the newest every time, the others in long runs."""
    return pytest.mark.parametrize(
        ("harm", "major"),
        [
            pytest.param(
                harm, major, id=f"{harm.name}-{major}", marks=[] if major in IN_QUICK_RUNS else pytest.mark.long
            )
            for harm in harms
            for major in harm.majors
        ],
    )


@of_each(HARMS)
@pytest.mark.usefixtures("quick")
def test_what_a_server_does_not_start_with_is_told_in_its_words(host: Host, harm: Harm, major: int) -> None:
    harm.files.write(host.backup, host.top)
    host.give()
    before = host.everything()
    [refusal] = host.rehearse(host.standby(major)).refusals
    assert refusal.code == "server_would_not_start"
    assert [word for word in harm.words if word not in refusal.found] == []
    assert str(host.base) not in refusal.found  # it speaks of the standby's places
    assert host.everything() == before


@of_each(HARMLESS)
@pytest.mark.usefixtures("quick")
def test_what_a_standby_starts_with_is_no_problem(host: Host, harm: Harm, major: int) -> None:
    harm.files.write(host.backup, host.top)
    host.give()
    before = host.everything()
    rehearsed = host.rehearse(host.standby(major))
    assert rehearsed.refusals == ()
    said = " ".join([*(warning.found for warning in rehearsed.warnings), *rehearsed.not_shown])
    assert [word for word in harm.words if word not in said] == []
    assert bool(said) == bool(harm.words)
    assert host.everything() == before


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("major", MAJORS)
def test_a_healthy_configuration_starts(host: Host, major: int, checksums: bool) -> None:
    Files().write(host.backup, host.top)
    host.give()
    before = host.everything()
    rehearsed = host.rehearse(host.standby(major, checksums=checksums))
    assert (rehearsed.refusals, rehearsed.warnings, rehearsed.not_shown) == ((), (), ())
    assert host.everything() == before


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"PGDATESTYLE": "ISO", "PGDATA": "/nowhere", "LC_ALL": "nosuch"}, ""),
        ({"PGDATESTYLE": "nosuch"}, 'invalid value for parameter "DateStyle": "nosuch"'),
    ],
    ids=["harmless", "harmful"],
)
def test_the_server_has_the_environment_that_the_standby_will_have(
    host: Host, environment: dict[str, str], words: str
) -> None:
    Files().write(host.backup, host.top)
    host.give()
    refusals = host.rehearse(host.standby(18, environment=environment)).refusals
    assert [words in refusal.found for refusal in refusals] == ([True] if words else [])


@pytest.mark.parametrize(
    ("segments", "smallest", "starts"),
    [(64, 80, False), (64, 128, True), (1, 2, True), (16, 80, True), (16, 31, False)],
)
@pytest.mark.parametrize("major", [11, 18])
def test_the_size_of_wal_segments_is_the_backups(
    host: Host, major: int, segments: int, smallest: int, starts: bool
) -> None:
    Files(f"min_wal_size = {smallest}MB\n").write(host.backup, host.top)
    host.give()
    refusals = host.rehearse(host.standby(major, segment_size=segments << 20)).refusals
    assert [refusal.code for refusal in refusals] == ([] if starts else ["server_would_not_start"])
    assert starts or "min_wal_size" in refusals[0].found


@of_each(OF_HOST)
@pytest.mark.usefixtures("quick")
def test_a_configuration_of_the_hosts_own_is_read_where_it_is(host: Host, harm: Harm, major: int) -> None:
    """The backup brings files of the same names, which the server will not read."""
    Files("no_such = 1\n").write(host.backup, host.top)
    own = host.top / "etc"
    own.mkdir()
    harm.files.write(own, host.top)
    host.give()
    before = host.everything()
    refusals = host.rehearse(host.standby(major, config_directory=str(own))).refusals
    said = " ".join(refusal.found for refusal in refusals)
    assert [word for word in harm.words if word not in said] == []
    assert bool(said) == bool(harm.words)
    assert host.everything() == before


@pytest.mark.parametrize(
    ("conf", "told"), [("", ""), ("\nno_such = 1\n", "no_such")], ids=["that starts", "that does not"]
)
@pytest.mark.usefixtures("quick")
def test_a_backups_configuration_takes_the_place_of_the_hosts(host: Host, conf: str, told: str) -> None:
    """The host's own is left as it is; it names its places, which stay."""
    Files(f"include_dir 'conf.d'\nhba_file = '/nowhere/pg_hba.conf'\n{conf}").write(host.backup, host.top)
    own = host.top / "etc"
    own.mkdir()
    hba = f"hba_file = '{own}/pg_hba.conf'\ndata_directory = '{host.data}'\nno_such_of_mine = 1\n"
    Files(hba, {"conf.d/mine.conf": "work_mem = 5MB\n"}).write(own, host.top)
    host.give()
    before = host.everything()
    refusals = host.rehearse(host.standby(18, config_directory=str(own), from_backup=True)).refusals
    assert [told in refusal.found and str(own) in refusal.found for refusal in refusals] == ([True] if told else [])
    assert host.everything() == before


@pytest.mark.usefixtures("quick")
def test_beside_a_server_that_works_memory_is_not_tried(host: Host) -> None:
    Files("shared_buffers = 7TB\n").write(host.backup, host.top)
    host.give()
    rehearsed = host.rehearse(host.standby(18, beside_another=True))
    assert rehearsed.refusals == ()
    assert ["memory" in reason for reason in rehearsed.not_shown] == [True]


@pytest.mark.usefixtures("quick")
def test_a_port_that_somebody_else_takes_is_given_up(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    Files().write(host.backup, host.top)
    host.give()
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = iter([other.getsockname()[1], _server.free_port()])
        monkeypatch.setattr(_rehearse, "free_port", lambda: next(ports))
        assert host.rehearse(host.standby(18)).refusals == ()
    assert list(ports) == []


@pytest.mark.usefixtures("quick")
def test_a_configuration_that_includes_a_file_of_the_data_directory_is_not_judged(host: Host) -> None:
    Files(more={"extra.conf": "work_mem = 5MB\n"}).write(host.backup, host.top)
    own = host.top / "etc"
    own.mkdir()
    Files(f"include '{host.data}/extra.conf'\n").write(own, host.top)
    host.give()
    with pytest.raises(StandbyError) as failed:
        host.rehearse(host.standby(18, config_directory=str(own)))
    assert failed.value.code == "rehearsal_failed"


def is_free(lock: Path) -> bool:
    """Whether no process holds it, the server's included."""
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_of_a_rehearsal_that_is_killed_nothing_stays(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends by itself and takes its sockets away; the next rehearsal removes the rest. Nobody was let in."""
    Files().write(host.backup, host.top)
    host.give()
    look = _server._look

    def stay(*given: object) -> int | None:
        look(*given)  # type: ignore[arg-type]
        wait_until(lambda: False)
        return None

    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(_server, "_look", stay)
            host.rehearse(host.standby(18))
        finally:
            os._exit(1)
    wait_until(lambda: any("standby" in file.read_text() for file in host.base.glob("*/data/postmaster.pid")))
    [lock] = host.sockets.glob("*.lock")
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(host=str(host.sockets), port=int(lock.name.split(".")[3]), user="postgres", dbname="postgres")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    wait_until(lambda: list(host.sockets.iterdir()) == [])
    [left] = host.base.iterdir()
    wait_until(lambda: is_free(left / "rehearsal.lock"), "the end of the server")
    assert not (left / "data" / "postmaster.pid").exists()
    assert host.rehearse(host.standby(18)).refusals == ()
    assert list(host.base.iterdir()) == []
