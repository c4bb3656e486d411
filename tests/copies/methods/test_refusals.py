# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before any change, and failures on the way."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import sync as _sync
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock
from ansible_collections.pgfleet.standby.tests.copies.methods.whole_copy import (
    TABLE,
    assert_cannot_be_started,
    assert_copied,
    flip,
    refused,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    CONNECTS,
    PULLS_A_SHARD,
    broken_sync,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.waiting import FOR_EVER, is_gone, wait_until


class TestRefusals:
    """Whatever is refused: nothing was changed."""

    @pytest.fixture(autouse=True)
    def _untouched(self, host):
        write_tree(host.root / "standby", {"beside": "x"})
        yield
        assert not host.pgdata.exists()
        assert not host.fast.exists()
        assert not (host.state / "state.json").exists()

    def test_checksums_that_nothing_here_can_compute(self, host):
        host.write_manifest("CRC32C")
        error = refused(host)
        assert error.code == "verifier_missing"
        assert "CRC32C" in error.msg

    @pytest.mark.parametrize(
        ("damage", "code"),
        [
            pytest.param(lambda host: (host.data / TABLE).unlink(), "backup_inconsistent", id="a file is gone"),
            pytest.param(lambda host: os.truncate(host.data / TABLE, 5), "backup_inconsistent", id="a file is short"),
            pytest.param(lambda host: flip(host.data / "backup_manifest", 200), "manifest_invalid", id="its manifest"),
        ],
    )
    def test_a_backup_that_does_not_hold_what_its_manifest_promises(self, host, damage, code):
        host.write_manifest()
        damage(host)
        assert refused(host).code == code

    def test_a_backup_that_cannot_be_listed(self, host):
        assert refused(host, backup=host.backup(directory="/nowhere")).code == "backup_files_missing"

    def test_a_barman_host_that_cannot_be_reached(self, host):
        host.hook("echo 'Host key verification failed.' >&2; exit 255")
        assert refused(host).code == "ssh_host_key"

    def test_a_barman_host_without_rsync(self, host):
        host.hook("case $command in *rsync*) echo 'sh: rsync: not found' >&2; exit 127 ;; esac")
        assert refused(host).code == "rsync_missing_remote"

    def test_a_compression_that_one_end_does_not_have(self, host):
        host.hook("case $command in *version*) echo 'rsync  version 3.1.3'; exit ;; esac")
        assert refused(host, compress="zstd").code == "compress_unsupported"

    def test_a_copy_whose_last_processes_still_write(self, host):
        host.state.mkdir()
        other = Lock(str(host.state / "lock"), {"pid": 1})
        other.take()
        error = refused(host, lock_timeout=0.1)
        other.release()
        assert error.code == "clone_running"
        assert "after 0.1 seconds" in error.msg


class TestFailures:
    def test_of_the_line_are_tried_again_and_counted(self, host, impatient):
        host.hook(f'case $command in {PULLS_A_SHARD} mkdir "{host.root}/once" 2>/dev/null && exit 255 ;; esac')
        outcome = host.copy(jobs=1)
        assert (outcome.retries, len(impatient)) == (1, 1)
        assert_copied(host)

    def test_of_a_connection_while_nothing_was_sent_are_mended_before_the_end(self, host, monkeypatch):
        host.hook(f'case $command in {CONNECTS} echo $$ >"{host.root}/master" ;; esac')

        def kill_the_connection(_handle):
            pid = int((host.root / "master").read_text(encoding="utf-8"))
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: is_gone(pid))

        monkeypatch.setattr(_sync, "_PAUSE", FOR_EVER)
        monkeypatch.setattr(_sync, "_syncfs", kill_the_connection)
        host.copy(jobs=1)
        assert host.connects() == 2
        assert_copied(host)

    def test_of_a_worker_that_cannot_connect_end_the_copy(self, host):
        host.hook(
            f"case $command in {CONNECTS} mkdir '{host.root}/once' 2>/dev/null"
            " || { echo 'Permission denied (publickey).' >&2; exit 255; } ;;"
            f" {PULLS_A_SHARD} exec sleep {FOR_EVER} ;; esac"
        )
        assert refused(host, jobs=2).code == "ssh_auth"
        assert_cannot_be_started(host)

    def test_of_the_disk_end_it_at_once(self, host, impatient):
        program = host.program("rsync", FULL_RSYNC.format(real=shutil.which("rsync")))
        error = refused(host)
        assert (error.code, impatient) == ("disk_full", [])
        assert_cannot_be_started(host)
        program.unlink()
        assert host.copy().action == "resume"
        assert_copied(host)

    def test_of_a_sync_leave_what_cannot_be_started_nor_trusted(self, host, monkeypatch):
        with monkeypatch.context() as patched:
            patched.setattr(_sync, "_syncfs", broken_sync)
            assert refused(host).code == "disk_error"
        assert_cannot_be_started(host)
        flip(host.pgdata / TABLE)
        assert host.copy().action == "resume"
        assert_copied(host)

    def test_of_a_disk_end_the_copy_at_once_and_are_on_record_before_it_hears_of_them(self, host, monkeypatch):
        """A run that is killed at that moment leaves nothing that the next one trusts."""
        host.hook(f"case $command in {PULLS_A_SHARD} sleep {FOR_EVER} ;; esac")
        monkeypatch.setattr(_sync, "_PAUSE", 0.01)
        heard = []

        def failed(self):
            heard.append(host.record["boot_id"])
            raise self._failure

        def lost_a_write(handle):
            if host.record and host.record["digest"]:
                broken_sync(handle)

        monkeypatch.setattr(_sync, "_syncfs", lost_a_write)
        monkeypatch.setattr(_sync.Syncing, "_require_no_failure", failed)
        assert refused(host).code == "disk_error"
        assert heard == [""]
        assert host.record["boot_id"] == ""


# The disk is full as soon as a shard is pulled.
FULL_RSYNC = """\
#!/bin/sh
case $* in
*--inplace*) echo 'rsync: [receiver] write failed on "x": No space left on device (28)' >&2; exit 11 ;;
esac
exec {real} "$@"
"""
