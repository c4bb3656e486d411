# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy into an empty directory, and a run after it."""

from __future__ import annotations

import stat

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._methods import rsync as _rsync
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import rsync_pull as _rsync_pull
from ansible_collections.pgfleet.standby.tests.copies.methods.whole_copy import (
    COPIED,
    SIZE,
    SIZE_FAST,
    assert_copied,
    everything_below,
    refused,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import TABLESPACE, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import BACKUP_ID


class TestWholeCopy:
    def test_brings_every_file_and_says_so(self, host):
        outcome = host.copy()
        assert (outcome.action, outcome.files) == ("clone", len(COPIED) + len(TABLESPACE))
        assert (outcome.bytes, outcome.sent, outcome.retries) == (SIZE + SIZE_FAST, SIZE + SIZE_FAST, 0)
        assert outcome.received > 0
        assert (outcome.before, outcome.left_behind) == ("it is absent", ())
        assert_copied(host)

    def test_makes_the_directories_that_were_empty(self, host):
        host.copy()
        for name in ("base/empty", "pg_notify", "pg_wal/archive_status", "pg_replslot"):
            assert (host.pgdata / name).is_dir()

    @pytest.mark.parametrize(("there", "files", "directories"), [(0o600, 0o600, 0o700), (0o640, 0o640, 0o750)])
    @pytest.mark.parametrize("host_state", ["fresh", "over a cluster of the other kind"])
    def test_gives_the_group_the_access_that_the_backup_gives_it(self, host, there, files, directories, host_state):
        wal = host.root / "standby" / "wal"
        host.write_manifest()
        if host_state != "fresh":
            (host.data / "PG_VERSION").chmod(0o640 if there == 0o600 else 0o600)
            host.copy(backup=host.second_backup(), waldir=str(wal))
        (host.data / "PG_VERSION").chmod(there)
        host.copy(waldir=str(wal), overwrite="same_cluster")
        modes = {
            path: stat.S_IMODE(path.stat().st_mode)
            for top in (host.pgdata, host.fast, wal)
            for path in [top, *top.rglob("*")]
            if not path.is_symlink()
        }
        assert modes == {path: directories if path.is_dir() else files for path in modes}
        assert stat.S_IMODE(host.state.stat().st_mode) == 0o700

    def test_keeps_what_is_the_owners_alone_and_what_can_be_run(self, host):
        """A key that the group may read keeps the server from starting, and archive_command may be a script there."""
        write_tree(host.data, {"server.key": "k", "archive.sh": "#!/bin/sh\n"})
        for name, mode in {"PG_VERSION": 0o640, "server.key": 0o600, "archive.sh": 0o755}.items():
            (host.data / name).chmod(mode)
        host.copy()
        found = {name: stat.S_IMODE((host.pgdata / name).stat().st_mode) for name in ("server.key", "archive.sh")}
        assert found == {"server.key": 0o600, "archive.sh": 0o750}

    def test_keeps_times(self, host):
        host.copy()
        assert (host.pgdata / "base/1/1259").stat().st_mtime_ns == 1_700_000_000_123_456_789

    def test_goes_into_an_empty_mount_point(self, host):
        (host.pgdata / "lost+found").mkdir(parents=True)
        (host.fast / "lost+found").mkdir(parents=True)
        assert host.copy().action == "clone"
        assert (host.pgdata / "lost+found").is_dir()
        assert (host.fast / "lost+found").is_dir()

    def test_puts_the_wal_elsewhere(self, host):
        wal = host.root / "standby" / "wal"
        host.copy(waldir=str(wal))
        assert (host.pgdata / "pg_wal").readlink() == wal
        assert (wal / "archive_status").is_dir()

    @pytest.mark.parametrize("jobs", [1, 5])
    def test_takes_any_number_of_workers(self, host, jobs):
        host.copy(jobs=jobs)
        assert_copied(host)
        assert host.connects() <= jobs

    def test_of_a_backup_without_tablespaces(self, host):
        assert host.copy(backup=host.backup(tablespaces=())).files == len(COPIED)
        assert not host.fast.exists()

    def test_verifies_host_keys_on_every_connection(self, host):
        host.copy()
        connections = [call for call in host.calls() if call[0] != "-G"]
        assert len(connections) >= 4
        for call in connections:
            assert call[:6] == ["-T", "-x", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]

    def test_sends_all_it_asks_over_the_connections_that_it_opened(self, host):
        host.copy(jobs=1)
        shared = [" ".join(call[6:10]) for call in host.calls() if call[0] != "-G"]
        assert shared[0] == "-o ControlMaster=yes -o ControlPath=ssh-0"
        assert set(shared[1:]) == {"-o ControlMaster=no -o ControlPath=ssh-0"}

    def test_records_what_was_copied(self, host):
        host.copy()
        record = host.record
        assert (record["phase"], record["backup_id"], record["server"]) == ("committed", BACKUP_ID, "pg")
        assert (record["data_directory"], record["targets"]) == (str(host.pgdata), [str(host.fast)])

    def test_tells_its_phases(self, host, monkeypatch):
        entered = []
        real = _rsync.Progress.enter
        monkeypatch.setattr(
            _rsync.Progress,
            "enter",
            lambda progress, phase, total=0: entered.append((phase, total)) or real(progress, phase, total),
        )
        host.copy(verify="checksum")
        total = SIZE + SIZE_FAST
        assert entered == [("copying", total), ("verifying", total), ("syncing", 0), ("committing", 0)]

    def test_measures_nothing_that_cannot_pay_on_a_fast_link(self, host, monkeypatch):
        asked = []
        monkeypatch.setattr(_rsync_pull, "are_worth_measuring", lambda queue: True)
        monkeypatch.setattr(_rsync_pull, "take_samples", lambda queue, count: asked.append(count) or ([], queue))
        monkeypatch.setattr(_rsync.Connection, "rate", lambda connection: 1e9)
        assert (host.copy(compress="auto").compress, asked) == ("lz4", [1])

    def test_does_not_measure_the_link_for_a_small_copy(self, host, monkeypatch):
        monkeypatch.setattr(_rsync.Connection, "rate", lambda connection: pytest.fail("it was measured"))
        assert host.copy(compress="auto").compress == "lz4"

    @pytest.mark.parametrize(("compress", "chosen"), [("auto", "zstd"), ("none", "none"), ("lz4", "lz4")])
    def test_measures_what_compression_pays_when_it_is_to_choose(self, host, monkeypatch, compress, chosen):
        measured = []

        def take_samples(queue, count):
            [data] = [shard for shard in queue if shard.root.oid is None]
            samples = [Shard(data.root, [position]) for position in range(count)]
            rest = [Shard(data.root, data.positions[count:]), *(shard for shard in queue if shard is not data)]
            return samples, rest

        monkeypatch.setattr(_rsync_pull, "are_worth_measuring", lambda queue: True)
        monkeypatch.setattr(_rsync_pull, "take_samples", take_samples)
        monkeypatch.setattr(_rsync.Connection, "rate", lambda connection: 0)
        monkeypatch.setattr(_rsync_pull, "chosen_by", lambda choices, samples: measured.extend(samples) or "zstd")
        assert host.copy(compress=compress).compress == chosen
        assert measured == (["lz4", "none", "zstd"] if compress == "auto" else [])
        assert_copied(host)


class TestSecondRun:
    def test_changes_nothing_and_does_not_even_ask_barman(self, host):
        host.copy()
        before = everything_below(host.pgdata), everything_below(host.fast), host.record
        host.forget_calls()
        outcome = host.copy()
        assert (outcome.action, outcome.files, outcome.sent) == ("none", 0, 0)
        assert "a standby of PostgreSQL 15" in outcome.before
        assert host.calls() == []
        assert (everything_below(host.pgdata), everything_below(host.fast), host.record) == before

    def test_records_what_was_kept_although_a_record_was_lost(self, older):
        older.copy(overwrite="same_cluster", keep_old=True)
        older.change_record(phase="committing")
        assert older.copy().action == "none"
        assert older.record["kept_old"] == [f"{older.pgdata}.old", f"{older.fast}.old"]

    def test_of_another_backup_is_refused(self, older):
        before = everything_below(older.pgdata)
        assert refused(older).code == "data_directory_cluster"
        assert everything_below(older.pgdata) == before

    def test_records_a_commit_whose_record_was_lost(self, host):
        host.copy()
        committed = host.record
        host.change_record(phase="committing")
        assert host.copy().action == "none"
        assert {**host.record, "at": None} == {**committed, "at": None}
