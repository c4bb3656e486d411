# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
import time
from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._commands import connection as _connection
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.connection import Connection
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import rsync_pull as _rsync_pull
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import workers as _workers
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.rsync_pull import RsyncPull, Wire
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    CONNECTS,
    PULLS,
    read_tree,
    root_of,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.processes import is_gone, wait_until

PAGE = 8192
PAGES = "".join(f"{row:8}" for row in range(10 * PAGE // 8))
# An rsync at this end that notes what it is to do and which files it is to bring. ``before`` and ``after`` are shell
# code; the one at the far end, which is the same program in these tests, is left alone.
RSYNC = """\
#!/bin/sh
[ "$1" != --server ] || exec {real} "$@"
for word; do
    echo "$word"
    case $word in --files-from=*) tr '\\0' '|' <"${{word#*=}}"; echo ;; esac
done >>'{root}/rsync'
{before}
{real} "$@" || exit
{after}
"""


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The longest that each wait may last; nothing is waited for."""
    recorded = []
    clock = SimpleNamespace(sleep=recorded.append, monotonic=time.monotonic)
    for unit in (_workers, _connection):
        monkeypatch.setattr(unit, "time", clock)
        monkeypatch.setattr(unit, "random", SimpleNamespace(uniform=lambda low, high: high))
    return recorded


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "target"
    path.mkdir()
    return path


@pytest.fixture
def source(host):
    """Five files."""
    write_tree(host.root / "source", {f"file {number}": str(number) * 1000 for number in range(5)})
    return host.root / "source"


@pytest.fixture
def root(source, target):
    return root_of(source, target)


@pytest.fixture
def shards(root):
    """One for each file."""
    return [Shard(root, [position]) for position in range(len(root.files))]


@pytest.fixture
def transfer(host, tmp_path, monkeypatch):
    """Makes transfers by so many workers, in a scratch directory."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    made = []
    with open("lock", "w", encoding="utf-8") as lock:

        def make(workers=2, **changed):
            connections = [Connection(host.source, f"ssh-{number}") for number in range(workers)]
            made.extend(connections)
            return RsyncPull(connections, lock.fileno(), Progress("progress.json"), **changed)

        yield make
        for connection in made:
            connection.close()


@pytest.fixture
def rsync(host):
    """Watches the rsyncs at this end; returns their arguments and names so far, a line each."""

    def watch(before="", after=""):
        real = shutil.which("rsync")
        host.program("rsync", RSYNC.format(real=real, root=host.root, before=before, after=after))
        return lambda: (host.root / "rsync").read_text(encoding="utf-8").splitlines()

    return watch


def refused(copying, shards):
    with pytest.raises(StandbyError) as error:
        copying.run(shards)
    return error.value


def has_ended(host):
    """Whether the program has ended that waits in a hook."""
    return is_gone((host.root / "waiting").read_text(encoding="utf-8").strip())


class TestCopy:
    @pytest.mark.parametrize("workers", [1, 2, 9])
    def test_brings_everything_by_one_connection_for_each_worker(self, host, transfer, shards, source, target, workers):
        copying = transfer(workers)
        copying.run(shards)
        assert read_tree(target) == read_tree(source)
        assert (copying.literal, copying.progress.retries) == (5000, 0)
        assert 1 <= host.connects() <= min(workers, 5)
        assert len(host.calls()) == host.connects() + 5

    def test_of_nothing_asks_nobody(self, host, transfer):
        transfer().run([])
        assert host.calls() == []

    def test_tells_of_every_shard_that_has_arrived(self, transfer, shards, target):
        arrived = []

        def finished(shard):
            assert all((target / path).exists() for path in shard.paths)
            arrived.append(shard)

        transfer(finished=finished).run(shards)
        assert sorted(shard.positions[0] for shard in arrived) == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("group_access", [False, True])
    def test_gives_files_the_mode_of_the_tree(self, transfer, source, target, group_access):
        root = root_of(source, target, group_access=group_access)
        transfer().run([Shard(root, range(5))])
        assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {0o640 if group_access else 0o600}

    @pytest.mark.parametrize(
        ("there", "basis", "sent"),
        [
            pytest.param(None, False, len(PAGES), id="no file"),
            pytest.param(PAGES[:PAGE] + "x" * PAGE + PAGES[2 * PAGE :], True, PAGE, id="another page"),
            pytest.param(PAGES, True, 0, id="the same file"),
            pytest.param(PAGES[: 4 * PAGE], True, 6 * PAGE, id="half a file"),
            pytest.param("x" * len(PAGES), False, len(PAGES), id="a wrong file that is to be sent whole"),
        ],
    )
    def test_sends_of_a_file_what_differs_whatever_its_size_and_time(self, host, transfer, target, there, basis, sent):
        write_tree(host.root / "source", {"table": PAGES})
        if there is not None:
            write_tree(target, {"table": there})
        root = root_of(host.root / "source", target)
        copying = transfer()
        copying.run([Shard(root, [0], basis)])
        assert (target / "table").read_text(encoding="utf-8") == PAGES
        assert (target / "table").stat().st_mtime_ns == root.files.times[0]
        assert copying.literal == sent

    def test_goes_on_writing_into_a_file_that_is_there(self, host, transfer, target):
        """A second copy of a large file would need the room twice."""
        write_tree(host.root / "source", {"table": PAGES})
        write_tree(target, {"table": "x"})
        there = (target / "table").stat().st_ino
        transfer().run([Shard(root_of(host.root / "source", target), [0], basis=True)])
        assert (target / "table").stat().st_ino == there

    @pytest.mark.parametrize(
        ("wire", "workers", "told"),
        [
            ({"bwlimit": 1000}, 4, "--bwlimit=250"),
            ({"bwlimit": 3}, 4, "--bwlimit=1"),
            ({"io_timeout": 7}, 2, "--timeout=7"),
            ({"compress": "zstd"}, 2, "--compress-choice=zstd"),
            ({"remote_rsync": "nice rsync"}, 2, "--rsync-path=nice rsync"),
        ],
        ids=str,
    )
    def test_tells_every_rsync_how_the_bytes_are_to_travel(self, transfer, shards, rsync, wire, workers, told):
        lines = rsync(before="exit 0")
        transfer(workers, wire=Wire(**wire)).run(shards)
        assert lines().count(told) == len(shards)

    def test_does_not_limit_or_compress_of_its_own_accord(self, transfer, shards, rsync):
        lines = rsync()
        transfer().run(shards)
        assert [line for line in lines() if line.startswith(("--bwlimit", "--compress", "--rsync-path"))] == []

    def test_follows_the_progress(self, transfer, shards):
        copying = transfer(1)
        copying.progress.enter("copying", 5000)
        at = []
        copying.progress.at = lambda worker, count: at.append((worker, count))
        copying.run(shards)
        assert {worker for worker, _count in at} == {0}
        assert max(count for _worker, count in at) == 1000
        assert copying.progress.snapshot()["bytes_done"] == 5000


class TestSamples:
    @pytest.fixture
    def chosen(self, monkeypatch):
        """What was measured; zstd is said to be the best."""
        measured = {}
        monkeypatch.setattr(
            _rsync_pull, "chosen_by", lambda choices, samples: measured.update(samples, choices=choices) or "zstd"
        )
        return measured

    def test_are_copied_each_by_its_compression_and_the_rest_by_the_best(self, transfer, shards, rsync, target, chosen):
        lines = rsync()
        copying = transfer(1)
        copying.run_with_samples(("lz4", "none", "zstd"), shards[:3], shards[3:])
        assert [line for line in lines() if "compress-choice" in line or line.startswith("./")] == [
            "--compress-choice=lz4",
            "./file 0|",
            "./file 1|",
            *(line for number in (2, 3, 4) for line in ("--compress-choice=zstd", f"./file {number}|")),
        ]
        assert copying.wire.compress == "zstd"
        assert len(read_tree(target)) == 5

    def test_are_measured_in_bytes_on_the_wire_and_seconds(self, transfer, shards, chosen):
        copying = transfer()
        copying.run_with_samples(("lz4", "none", "zstd"), shards[:3], shards[3:])
        assert chosen.pop("choices") == ("lz4", "none", "zstd")
        assert {name: sample.bytes for name, sample in chosen.items()} == {"lz4": 1000, "none": 1000, "zstd": 1000}
        assert chosen["lz4"].received < 1000 < chosen["none"].received
        assert all(sample.seconds > 0 for sample in chosen.values())

    def test_that_cannot_be_had_fail_the_copy(self, host, transfer, shards, chosen):
        host.hook(f"case $command in {PULLS} echo 'Host key verification failed.' >&2; exit 255 ;; esac")
        with pytest.raises(StandbyError) as error:
            transfer().run_with_samples(("lz4", "none"), shards[:2], shards[2:])
        assert (error.value.code, chosen) == ("ssh_host_key", {})


class TestDifferences:
    NAMES = ("plain", "two words", "-rf", "#hash", "line\nfeed", "back\\slash", "\\#012", "umlaut-ä")

    def test_are_found_by_contents_alone_and_nothing_is_changed(self, host, transfer, target):
        source = host.root / "source"
        write_tree(source, {**dict.fromkeys(self.NAMES, "right"), "same": "right"})
        write_tree(target, {**dict.fromkeys(self.NAMES, "wrong"), "same": "right"})
        root = root_of(source, target)
        before = read_tree(target)
        copying = transfer()
        copying.connections[0].open()
        assert sorted(copying.differing(0, Shard(root, range(len(root.files))))) == sorted(self.NAMES)
        assert read_tree(target) == before

    def test_are_none_where_there_are_none(self, transfer, root):
        copying = transfer()
        copying.run([Shard(root, range(5))])
        assert copying.differing(0, Shard(root, range(5))) == []


class TestRetries:
    @pytest.fixture
    def fails(self, host, rsync):
        """The next so many rsyncs fail as they do when ssh has failed.

        Of an ssh that really fails rsync tells its code, or its own code 12 if ssh has closed its end but not ended.
        """
        tries = host.root / "tries"
        return lambda times: rsync(before=f"echo x >>'{tries}'; [ $(wc -l <'{tries}') -gt {times} ] || exit 255")

    def test_of_what_breaks_off_are_counted(self, fails, transfer, shards, source, target, waits):
        fails(2)
        copying = transfer(1)
        copying.run(shards)
        assert (copying.progress.retries, waits) == (2, [2, 4])
        assert read_tree(target) == read_tree(source)

    def test_come_to_an_end(self, fails, transfer, shards, waits):
        fails(99)
        error = refused(transfer(1), shards)
        assert error.code == "ssh_failed"
        assert "failed at attempt 8: the connection failed" in error.msg
        assert waits == [2, 4, 8, 16, 30, 30, 30]

    def test_open_the_connection_again(self, host, transfer, shards, source, target):
        host.hook(f"""case $command in
            {CONNECTS} echo $$ >"{host.root}/master" ;;
            {PULLS} mkdir "{host.root}/once" 2>/dev/null && {{ kill -9 $(cat "{host.root}/master"); exit 255; }} ;;
        esac""")
        transfer(1).run(shards)
        assert host.connects() == 2
        assert read_tree(target) == read_tree(source)

    @pytest.mark.parametrize(
        ("basis", "again"),
        [
            pytest.param(False, "./file 2|./file 4|", id="files that were not there"),
            pytest.param(True, "./file 0|./file 1|./file 2|./file 3|./file 4|", id="files that were there"),
        ],
    )
    def test_ask_for_what_is_not_complete(self, host, transfer, root, rsync, source, target, basis, again):
        """Of files that were there size and time prove nothing: not everything has to be of this copy."""
        broken = f'rm "{target}/file 2"; : >"{target}/file 4"; exit 30'
        lines = rsync(after=f'! mkdir "{host.root}/once" 2>/dev/null || {{ {broken}; }}')
        copying = transfer(1)
        copying.run([Shard(root, range(5), basis)])
        names = [line for line in lines() if line.startswith("./")]
        assert copying.literal == (2000 if basis else 5000)
        assert names == ["./file 0|./file 1|./file 2|./file 3|./file 4|", again]
        assert lines().count("--no-whole-file") == 1 + basis
        assert read_tree(target) == read_tree(source)

    @pytest.mark.parametrize(
        ("hook", "code"),
        [
            ("echo 'Host key verification failed.' >&2; exit 255", "ssh_host_key"),
            ("echo 'barman@backup: Permission denied (publickey).' >&2; exit 255", "ssh_auth"),
            ("echo 'bash: rsync: command not found' >&2; exit 127", "rsync_missing_remote"),
        ],
    )
    def test_are_not_made_where_they_cannot_help(self, host, transfer, shards, waits, hook, code):
        host.hook(f"case $command in {PULLS} {hook} ;; esac")
        error = refused(transfer(1), shards)
        assert (error.code, waits) == (code, [])
        assert "attempt 1:" in error.msg


class TestFailure:
    def test_is_what_a_missing_file_is(self, transfer, shards, source):
        (source / "file 0").unlink()
        error = refused(transfer(), shards)
        assert (error.code, error.result["rc"]) == ("backup_files_missing", 23)
        assert "No such file" in error.msg

    def test_of_a_full_disk_is_told_at_once(self, transfer, shards, rsync, waits):
        full = 'rsync: [receiver] write failed on "x": No space left on device (28)'
        rsync(before=f"echo '{full}' >&2; exit 11")
        error = refused(transfer(), shards)
        assert (error.code, error.result["rc"], waits) == ("disk_full", 11, [])
        assert error.result["stderr"].startswith(full)

    def stuck(self, host, then):
        """One transfer does that while the other is stuck in the middle of its own."""
        host.hook(f"""case $command in {PULLS}
            if mkdir "{host.root}/first" 2>/dev/null; then
                echo $$ >"{host.root}/new"
                mv "{host.root}/new" "{host.root}/waiting"
                while :; do sleep 0.05; done
            fi
            while [ ! -e "{host.root}/waiting" ]; do sleep 0.01; done
            {then} ;;
        esac""")

    def test_ends_the_other_workers(self, host, transfer, shards, waits):
        self.stuck(host, "echo 'Host key verification failed.' >&2; exit 255")
        arrived = []
        assert refused(transfer(finished=arrived.append), shards).code == "ssh_host_key"
        wait_until(lambda: has_ended(host))
        assert (arrived, waits) == ([], [])

    def test_is_a_signal_that_ends_this_process(self, host, transfer, shards, monkeypatch):
        self.stuck(host, "while :; do sleep 0.05; done")

        def interrupt(_number, _frame):
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGUSR1, interrupt)

        def send():
            wait_until((host.root / "waiting").exists)
            os.kill(os.getpid(), signal.SIGUSR1)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                transfer().run(shards)
        finally:
            sender.join()
            signal.signal(signal.SIGUSR1, before)
        wait_until(lambda: has_ended(host))

    def test_of_a_worker_to_start_ends_those_that_have(self, host, transfer, shards, monkeypatch):
        self.stuck(host, "exit 255")
        real = threading.Thread.start

        def start(thread):
            if host.connects():
                wait_until((host.root / "waiting").exists)
                raise KeyboardInterrupt
            real(thread)
            wait_until(host.connects)

        monkeypatch.setattr(threading.Thread, "start", start)
        with pytest.raises(KeyboardInterrupt):
            transfer().run(shards)
        wait_until(lambda: has_ended(host))

    @pytest.mark.parametrize(
        ("failure", "code"),
        [
            (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
            (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
            (OSError(errno.EIO, "Input/output error"), "disk_error"),
            (ValueError("our own mistake"), "copy_failed"),
        ],
    )
    def test_of_our_own_is_never_taken_for_an_end(self, transfer, shards, monkeypatch, failure, code):
        def write_names(_path, _names):
            raise failure

        monkeypatch.setattr(_rsync_pull, "write_names", write_names)
        error = refused(transfer(), shards)
        assert error.code == code
        assert str(failure) in error.msg

    def test_shows_no_more_than_the_beginning_of_a_flood(self, host, transfer, shards):
        flood = "yes 'Host key verification failed.' | head -c 1000000 >&2; exit 255"
        host.hook(f"case $command in {PULLS} {flood} ;; esac")
        assert len(refused(transfer(1), shards).result["stderr"]) <= 64 << 10


def test_the_lock_outlives_a_killed_run_until_its_last_rsync_has_ended(host, shards, tmp_path):
    for fifo in ("started", "go on"):
        os.mkfifo(host.root / fifo)
    host.hook(f'case $command in {PULLS} echo >"{host.root}/started"; read -r go <"{host.root}/go on" ;; esac')
    lock = Lock(str(tmp_path / "lock"), {})
    child = os.fork()
    if child == 0:
        try:
            os.chdir(tmp_path)
            lock.take()
            RsyncPull([Connection(host.source, "ssh-0")], lock.fd, Progress("progress.json")).run(shards[:1])
        finally:
            os._exit(1)
    (host.root / "started").read_text(encoding="utf-8")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not lock.take()
    (host.root / "go on").write_text("\n", encoding="utf-8")
    assert lock.take(30)
    lock.release()
