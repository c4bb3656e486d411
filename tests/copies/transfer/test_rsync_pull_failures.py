# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls that fail: which are tried again, and what ends the others."""

from __future__ import annotations

import errno
import os
import signal
import threading

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.connection import Connection
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import rsync_pull as _rsync_pull
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.rsync_pull import RsyncPull
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import CONNECTS, PULLS, read_tree
from ansible_collections.pgfleet.standby.tests.waiting import BOUND, is_gone, wait_until


def has_ended(host):
    """Whether the program has ended that waits in a hook."""
    return is_gone((host.root / "waiting").read_text(encoding="utf-8").strip())


def refused(copying, shards):
    with pytest.raises(StandbyError) as error:
        copying.run(shards)
    return error.value


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
    assert lock.take(BOUND)
    lock.release()
