# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils import _transfer
from ansible_collections.pgfleet.standby.plugins.module_utils._clone_state import Lock
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Entry
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import Shard, Transfer
from ansible_collections.pgfleet.standby.plugins.module_utils._transport import Calibration
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "target"
    path.mkdir()
    return path


@pytest.fixture
def shards(host, target):
    """One for each of five files."""
    files = {f"file {number}": str(number) * 1000 for number in range(5)}
    write_tree(host.root / "source", files)

    def of(name):
        status = os.stat(host.root / "source" / name)
        return Shard(str(host.root / "source"), str(target), (Entry("f", status.st_size, status.st_mtime_ns, name),))

    return [of(name) for name in files]


@pytest.fixture
def transfer(host, tmp_path):
    with open(tmp_path / "fd", "w", encoding="utf-8") as stream:
        yield lambda **changed: Transfer(
            **{
                "source": host.source,
                "jobs": 2,
                "lock_fd": stream.fileno(),
                "calibration": Calibration(["none"]),
                **changed,
            }
        )


@pytest.fixture
def impatient(monkeypatch):
    """Waits of retries are recorded, not waited for."""
    waits = []
    monkeypatch.setattr(_transfer, "time", SimpleNamespace(sleep=waits.append, monotonic=time.monotonic))
    return waits


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_copies_everything(host, transfer, shards, target, jobs):
    transfer(jobs=jobs).run(shards)
    assert read_tree(target) == read_tree(host.root / "source")
    assert len(host.calls()) == len(shards)


def test_of_nothing_asks_nobody(host, transfer):
    transfer().run([])
    assert host.calls() == []


@pytest.mark.parametrize(("bwlimit", "jobs", "share"), [(1000, 4, "250"), (3, 4, "1")])
def test_shares_the_bandwidth(host, transfer, shards, target, bwlimit, jobs, share):
    host.program("rsync", f"#!/bin/sh\nprintf '%s\\n' \"$@\" >>{host.root}/rsync\n")
    transfer(bwlimit=bwlimit, jobs=jobs).run(shards)
    lines = (host.root / "rsync").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "bwlimit" in line] == [f"--bwlimit={share}"] * len(shards)


@pytest.mark.parametrize(
    ("compare", "text"), [("--ignore-times", "right"), ("--checksum", "right"), ("--size-only", "wrong")]
)
def test_compares_as_it_is_told(transfer, host, target, compare, text):
    write_tree(host.root / "source", {"file": "right"})
    write_tree(target, {"file": "wrong"})
    transfer().run([Shard(str(host.root / "source"), str(target), (Entry("f", 5, 0, "file"),), compare)])
    assert read_tree(target) == {"file": text}


class TestRetries:
    def fails(self, host, times, rc=255):
        host.hook(f'echo x >>"{host.root}/tries"; [ $(wc -l <"{host.root}/tries") -gt {times} ] || exit {rc}')

    def test_what_can_help(self, host, transfer, shards, target, impatient):
        self.fails(host, 2)
        copying = transfer(jobs=1)
        copying.run(shards)
        assert (copying.retries, impatient) == (2, [2, 4])
        assert read_tree(target) == read_tree(host.root / "source")

    def test_give_up(self, host, transfer, shards, impatient):
        self.fails(host, 99)
        with pytest.raises(StandbyError, match="failed at attempt 5: the connection failed") as refused:
            transfer(jobs=1).run(shards)
        assert refused.value.code == "ssh_failed"
        assert impatient == [2, 4, 8, 16]

    @pytest.mark.parametrize(
        ("hook", "code"),
        [
            ("echo 'Host key verification failed.' >&2; exit 255", "ssh_host_key"),
            ("echo 'barman@backup: Permission denied (publickey).' >&2; exit 255", "ssh_auth"),
            ("echo 'bash: rsync: command not found' >&2; exit 127", "rsync_missing_remote"),
        ],
    )
    def test_not_what_cannot(self, host, transfer, shards, impatient, hook, code):
        host.hook(hook)
        with pytest.raises(StandbyError, match="attempt 1") as refused:
            transfer(jobs=1).run(shards)
        assert (refused.value.code, impatient) == (code, [])


class TestFailure:
    def test_of_a_missing_file_is_a_failure(self, transfer, shards, target):
        gone = shards[0].files[0]._replace(path="absent")
        with pytest.raises(StandbyError) as refused:
            transfer().run([Shard(shards[0].source, str(target), (gone,)), *shards])
        assert (refused.value.code, refused.value.result["rc"]) == ("backup_files_missing", 23)
        assert "No such file" in refused.value.msg

    def test_ends_the_other_workers(self, host, transfer, shards):
        # One transfer fails while the other is stuck in the middle of its own.
        host.hook(f"""
if mkdir "{host.root}/first" 2>/dev/null; then
    trap 'echo ended >"{host.root}/ended"; exit 1' TERM
    while :; do sleep 0.05; done
fi
while [ ! -d "{host.root}/first" ]; do sleep 0.05; done
echo 'Host key verification failed.' >&2; exit 255
""")
        started = time.monotonic()
        with pytest.raises(StandbyError) as refused:
            transfer().run(shards)
        assert refused.value.code == "ssh_host_key"
        assert time.monotonic() - started < 10
        wait_until((host.root / "ended").exists)

    def test_of_our_own_is_never_taken_for_an_end(self, host, transfer, shards, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(StandbyError) as refused:
            transfer().run(shards)
        assert refused.value.code == "copy_failed"

    def test_shows_no_more_than_the_beginning_of_a_flood(self, host, transfer, shards):
        host.hook("yes 'Host key verification failed.' | head -c 1000000 >&2; exit 255")
        with pytest.raises(StandbyError) as refused:
            transfer(jobs=1).run(shards)
        assert len(refused.value.result["stderr"]) <= 64 << 10


def test_the_lock_outlives_a_killed_run_until_its_last_rsync_has_ended(host, shards):
    host.state.mkdir()
    for fifo in ("started", "go on"):
        os.mkfifo(host.root / fifo)
    host.hook(f'echo >"{host.root}/started"; read -r go <"{host.root}/go on"')
    child = os.fork()
    if child == 0:
        try:
            with Lock(str(host.state), 0) as lock:
                Transfer(host.source, 1, lock.fd, Calibration(["none"])).run(shards[:1])
        finally:
            os._exit(1)
    (host.root / "started").read_text(encoding="utf-8")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with pytest.raises(StandbyError) as refused, Lock(str(host.state), 0):
        pass
    assert refused.value.code == "clone_running"
    (host.root / "go on").write_text("\n", encoding="utf-8")
    with Lock(str(host.state), 30) as lock:
        assert lock.fd >= 0


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
