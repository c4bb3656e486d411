# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose server it is, judged from tables of processes; and what the kernel tells of real ones."""

from __future__ import annotations

import itertools
import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import PidFile
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import postmaster as _postmaster
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.postmaster import (
    Found,
    Work,
    _judge,
    _Process,
    _read_titles,
    _Surroundings,
    is_child_of,
    look_for_server,
)

BOOT = 1_800_000_000
HOST = _Surroundings(sees_all=True, booted=BOOT)
CONTAINER = _Surroundings(sees_all=False, booted=BOOT)
SHARED_VOLUME = _Surroundings(sees_all=False, booted=BOOT, volume=True)
NFS = _Surroundings(sees_all=True, booted=BOOT, shared="nfs4")
DAY = 86400


def noted(pid, started=BOOT + 60):
    return PidFile(pid, 5432, "/run/postgresql", "ready", "localhost", started)


def works(pid, parent=1):
    return _Process(pid, parent, True, pid)


def hidden(pid, own_pid=None):
    """A server process of the directory's owner that may not be looked at; its number in a container is another."""
    return _Process(pid, 1, None, own_pid or pid)


@pytest.mark.parametrize(
    ("pid_file", "processes", "around", "found"),
    [
        pytest.param(None, [], HOST, Found(), id="nothing"),
        pytest.param(noted(7), [works(7)], HOST, Found(noted(7)), id="by its pid file"),
        pytest.param(noted(7), [works(7), works(8, 7)], HOST, Found(noted(7)), id="and its children"),
        pytest.param(None, [works(7)], HOST, Found(PidFile(7)), id="without its pid file"),
        pytest.param(None, [works(3, 7), works(7, 2)], HOST, Found(PidFile(7)), id="the parent, whatever its number"),
        pytest.param(None, [works(9, 1)], HOST, Found(PidFile(9)), id="a session that has lost its postmaster"),
        pytest.param(noted(7), [works(9)], HOST, Found(PidFile(9)), id="with the pid file of another"),
        # A pid namespace of its own: the file has the number of there, which here is another process or none.
        pytest.param(noted(1), [works(9)], HOST, Found(PidFile(9)), id="in a container, seen from the host"),
        pytest.param(noted(7), [hidden(7)], HOST, Found(noted(7)), id="it may not be looked at"),
    ],
)
def test_a_server(pid_file, processes, around, found):
    assert _judge(pid_file, processes, around) == found


@pytest.mark.parametrize(
    ("pid_file", "around"),
    [
        pytest.param(None, HOST, id="without a pid file"),
        pytest.param(noted(7), HOST, id="on a host that sees all its processes"),
        pytest.param(noted(7), CONTAINER, id="in a container with a file system of its own"),
        pytest.param(noted(1, BOOT - 2 * DAY), HOST, id="in a container, before the host was booted"),
        pytest.param(noted(7, BOOT - 2 * DAY), SHARED_VOLUME, id="on a volume, before the host was booted"),
    ],
)
def test_a_server_that_is_dead_for_certain(pid_file, around):
    for others in ([], [hidden(9)], [hidden(9, 4)]):
        assert _judge(pid_file, others, around) == Found()


@pytest.mark.parametrize(
    ("pid_file", "processes", "around", "said"),
    [
        pytest.param(noted(1), [], HOST, "as a server in a container does", id="the first process of a container"),
        pytest.param(noted(1, None), [], HOST, "as a server in a container does", id="of no known age"),
        pytest.param(noted(1, BOOT - 60), [], HOST, "in a container", id="by a clock that was wrong at boot"),
        pytest.param(noted(7), [], SHARED_VOLUME, "another container may use the volume", id="a shared volume"),
        pytest.param(noted(7), [], NFS, "another host may use the directory, which is on nfs4", id="a shared disk"),
        pytest.param(noted(7, 0), [], NFS, "another host", id="a shared disk, before this host was booted"),
        pytest.param(
            noted(7), [hidden(9, 7)], HOST, "which may be process 9", id="a hidden server of that number there"
        ),
    ],
)
def test_a_doubt(pid_file, processes, around, said):
    found = _judge(pid_file, processes, around)
    assert found.server is None
    assert said in found.doubt


def test_a_process_in_the_directory_is_never_overlooked():
    """Whatever the file says, and from wherever one looks."""
    files = [None, *(noted(pid, at) for pid in (1, 7, 9) for at in (None, 0, BOOT + 60))]
    others = [[], [hidden(3)], [works(11, 7)]]
    for pid_file, around, more in itertools.product(files, (HOST, CONTAINER, SHARED_VOLUME, NFS), others):
        found = _judge(pid_file, [works(7), *more], around)
        assert found.server is not None, (pid_file, around, more)
        assert found.server.pid == 7, (pid_file, around, more)


def test_without_any_sign_of_a_server_there_is_no_doubt():
    for around in (HOST, CONTAINER, SHARED_VOLUME, NFS):
        assert _judge(None, [], around) == Found()


@pytest.fixture
def worker(host, tmp_path):
    """A real process in a directory."""
    started = []

    def start(name, cwd):
        process = host.start(name, cwd)
        started.append(process)
        return process

    yield start
    for process in started:
        process.communicate()


@pytest.fixture
def pgdata(tmp_path):
    place = tmp_path / "pgdata"
    place.mkdir()
    return place


@pytest.mark.parametrize("name", ["postgres", "postmaster", "edb-postgres"])
def test_a_server_by_each_of_its_names(worker, pgdata, name):
    process = worker(name, pgdata)
    assert look_for_server(str(pgdata)).server == PidFile(process.pid)


def test_a_server_through_another_path_of_its_directory(worker, pgdata, tmp_path):
    """A link stands for a bind mount here: the paths have nothing in common, device and inode are the same."""
    (tmp_path / "elsewhere").symlink_to(pgdata)
    process = worker("postgres", pgdata)
    assert look_for_server(str(tmp_path / "elsewhere")).server == PidFile(process.pid)


def test_a_server_whose_directory_was_renamed(worker, pgdata, tmp_path):
    process = worker("postgres", pgdata)
    pgdata.rename(tmp_path / "pgdata.old")
    assert look_for_server(str(tmp_path / "pgdata.old")).server == PidFile(process.pid)


def test_a_server_of_another_directory_at_the_same_path(worker, pgdata, tmp_path):
    """As that of a container, whose path is the same text."""
    worker("postgres", pgdata)
    pgdata.rename(tmp_path / "pgdata.old")
    pgdata.mkdir()
    assert look_for_server(str(pgdata)) == Found()


def test_a_server_that_may_not_be_looked_at(worker, pgdata, monkeypatch):
    process, stat = worker("postgres", pgdata), os.stat

    def forbidden(path, *rest, **more):
        if str(path) == f"/proc/{process.pid}/cwd":
            raise PermissionError(13, "Permission denied")
        return stat(path, *rest, **more)

    monkeypatch.setattr(_postmaster.os, "stat", forbidden)
    assert look_for_server(str(pgdata)) == Found(), "another directory's, as there is no postmaster.pid"
    (pgdata / "postmaster.pid").write_text(f"{process.pid}\n", encoding="utf-8")
    assert look_for_server(str(pgdata)).server == PidFile(process.pid)


def test_a_directory_that_is_not_there(tmp_path):
    assert look_for_server(str(tmp_path / "absent")) == Found()


def test_where_this_test_runs_is_seen(tmp_path):
    around = _postmaster._surroundings(tmp_path.stat())
    assert around.booted > 1_000_000_000
    assert around.volume == (tmp_path.stat().st_dev != os.stat("/").st_dev)


@pytest.mark.parametrize(
    ("kind", "shared"),
    [("ext4", None), ("xfs", None), ("zfs", None), ("tmpfs", None), ("overlay", None), ("fuse.bindfs", None),
     ("nfs", "nfs"), ("nfs4", "nfs4"), ("cifs", "cifs"), ("ceph", "ceph"), ("gfs2", "gfs2"),
     ("fuse.glusterfs", "fuse.glusterfs")],
)  # fmt: skip
def test_a_file_system_that_other_hosts_may_use(pgdata, monkeypatch, kind, shared):
    device = pgdata.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    lines = f"22 1 0:5 / /proc rw - proc proc rw\n36 35 {number} /x /y rw,noatime master:1 - {kind} source rw\n"
    real = _postmaster.read_small
    monkeypatch.setattr(_postmaster, "read_small", lambda path: lines if path == "/proc/self/mountinfo" else real(path))
    assert _postmaster._surroundings(pgdata.stat()).shared == shared


def test_who_has_started_whom():
    assert _postmaster._own_pid(os.getpid()) > 0
    assert is_child_of(os.getpid(), os.getppid())
    assert not is_child_of(os.getpid(), os.getpid())
    assert not is_child_of(1 << 30, os.getpid())


SEGMENT = "000000010000000000000005"


@pytest.mark.parametrize(
    ("titles", "work"),
    [
        ([], Work()),
        (["postgres: 15/main: checkpointer ", "postgres: 15/main: background writer "], Work()),
        ([f"postgres: 15/main: startup recovering {SEGMENT}"], Work(f"recovering {SEGMENT}")),
        ([f"postgres: startup process   waiting for {SEGMENT}"], Work(f"waiting for {SEGMENT}")),
        (
            [f"postgres: startup recovering {SEGMENT}", "postgres: walreceiver streaming 0/5000148"],
            Work(f"recovering {SEGMENT}", "streaming 0/5000148"),
        ),
        (["postgres: wal receiver process   streaming 0/5000148"], Work(None, "streaming 0/5000148")),
        (["postgres: walreceiver "], Work()),
    ],
)
def test_what_the_titles_of_its_processes_tell(titles, work):
    assert _read_titles(titles) == work
