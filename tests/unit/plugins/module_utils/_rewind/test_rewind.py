# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a rewind with a pg_rewind that only pretends; the real one is tested on real servers."""

from __future__ import annotations

import os
import signal

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import permit
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import is_ours
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.sync import FileSystems
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind import rewind as _rewind
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.rewind import (
    require_rewindable,
    rewind,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._rewind.rewinding import (
    ANSWER,
    CLUSTER,
    THERE,
    Rewinding,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    BACKUP_ID,
    CONTROL_TEXT,
    IN_PRODUCTION,
    SYSTEM_IDENTIFIER,
    control_text,
    upstream,
)


def permitted(job, directory):
    return permit(job.backup, job.target, job.consent, directory)


@pytest.fixture
def rewinding(host):
    return Rewinding(host)


class TestExamine:
    def test_tells_what_a_rewind_would_do(self, rewinding, host):
        before = read_tree(host.pgdata.parent)
        rewindable = require_rewindable(rewinding.task())
        assert (rewindable.proof.timeline, rewindable.proof.fork, rewindable.proof.bytes) == (1, 0x1000000, 50 << 20)
        assert rewindable.kept == ("log", "postgresql.auto.conf", "postgresql.conf")
        assert rewindable.relation.kind == "diverged"
        assert read_tree(host.pgdata.parent) == before

    @pytest.mark.parametrize(
        ("control", "there", "code", "said"),
        [
            pytest.param({}, {"system_identifier": "1"}, "system_identifier_differs", "different clusters", id="other"),
            pytest.param({}, {"history": ((1, 0x9000000),)}, "not_diverged", "has not diverged", id="can follow"),
            pytest.param({}, {"timeline": 1, "lsn": 1, "history": ()}, "rewind_impossible", "already", id="ahead"),
            pytest.param(
                {"state": IN_PRODUCTION},
                {"history": ((1, 0x9000000),)},
                "rewind_impossible",
                "not known",
                id="crashed, perhaps diverged",
            ),
            pytest.param(
                {"state": IN_PRODUCTION},
                {},
                "rewind_impossible",
                "not shut down cleanly",
                id="crashed",
            ),
        ],
    )
    def test_refuses(self, rewinding, host, control, there, code, said):
        write_tree(host.pgdata, {"global/pg_control": control_text(**control)})
        error = rewinding.refused(upstream=upstream(**{**THERE, **there}))
        assert error.code == code
        assert said in error.msg

    def test_tells_all_reasons(self, rewinding, host):
        host.program("psql", f"#!/bin/sh\necho '{ANSWER}' | sed 's/\"on\"/\"off\"/'\n")
        write_tree(host.pgdata, {"global/pg_control": control_text(data_checksums=False)})
        error = rewinding.refused()
        assert error.code == "rewind_impossible"
        assert len(error.result["reasons"]) == 2
        assert ": (1) the cluster has neither " in error.msg
        assert " (2) full_page_writes is off on the upstream. Nothing was changed." in error.msg

    def test_refuses_a_running_server(self, rewinding, host):
        process = host.start("postgres", host.pgdata)
        assert rewinding.refused().code == "server_running"
        process.communicate()

    @pytest.mark.parametrize("names", [["global/pg_control"], list(CLUSTER)], ids=["foreign", "empty"])
    def test_refuses_what_is_no_cluster(self, rewinding, host, names):
        for name in names:
            (host.pgdata / name).unlink()
        error = rewinding.refused()
        assert error.code == "rewind_impossible"

    def test_refuses_a_place_that_is_no_database_s(self, rewinding, monkeypatch, host):
        monkeypatch.setattr(_rewind, "home_directories", lambda: [str(host.pgdata)])
        assert rewinding.refused().code == "path_dangerous"

    def test_refuses_no_time(self, rewinding):
        assert rewinding.refused(timeout=0).code == "option_out_of_range"


class TestRewind:
    def test_makes_a_standby_with_its_own_configuration(self, rewinding, host):
        outcome = rewinding.run()
        there = read_tree(host.pgdata)
        signal = there.pop("standby.signal")
        assert "standby" in signal
        assert there == {
            **{name: text for name, text in CLUSTER.items() if not name.startswith("pg_replslot/")},
            "base/data": "theirs\n",
            "postgresql.auto.conf": "work_mem = '8MB'\n",
        }
        assert outcome.kept == ("log", "postgresql.auto.conf", "postgresql.conf")
        assert outcome.left_behind == ()

    def test_keeps_the_directory_closed_meanwhile(self, rewinding, host):
        rewinding.run()
        assert rewinding.said("mode") == "702\n"
        assert '"phase": "rewinding"' in rewinding.said("state")
        assert rewinding.mode == 0o700
        assert not (host.state / "own").exists()

    def test_keeps_the_rights_of_the_group(self, rewinding, host):
        host.pgdata.chmod(0o750)
        rewinding.run()
        assert rewinding.said("mode") == "752\n"
        assert rewinding.mode == 0o750

    def test_is_ours_afterwards(self, rewinding):
        rewinding.run()
        found = rewinding.found()
        assert is_ours(found)
        assert found.clone["backup_id"] is None
        assert found.clone["system_identifier"] == SYSTEM_IDENTIFIER

    def test_stays_the_clone_that_it_was(self, rewinding, host):
        host.copy(overwrite="same_cluster")
        record = host.record
        write_tree(host.pgdata, {"global/pg_control": CONTROL_TEXT})
        rewinding.run()
        assert host.record == {**record, "digest": None, "at": host.record["at"]}
        assert permitted(host.job(), rewinding.found()).action == "none"
        assert record["backup_id"] == BACKUP_ID

    def test_is_durable_before_it_is_opened(self, rewinding, host, monkeypatch):
        events = []
        real = os.chmod

        def chmod(path, mode, **how):
            if path == str(host.pgdata):
                events.append(f"{mode:o}")
            real(path, mode, **how)

        monkeypatch.setattr(_rewind.os, "chmod", chmod)
        monkeypatch.setattr(FileSystems, "sync", lambda _disks: events.append("sync"))
        monkeypatch.setattr(FileSystems, "make_durable", lambda _disks: events.append("all of it"))
        monkeypatch.setattr(_rewind, "save_state", lambda _place, **state: events.append(state["phase"]))
        rewinding.run()
        assert events == ["rewinding", "702", "sync", "all of it", "700", "committed"]

    def test_what_its_own_configuration_would_do_is_overruled_before_any_start(self, rewinding, host):
        (host.pgdata / "postgresql.conf").write_text("recovery_target = immediate\n", encoding="utf-8")
        rewinding.run()
        assert "recovery_target = ''" in read_tree(host.pgdata)["postgresql.auto.conf"]

    def test_tells_what_is_left_behind(self, rewinding, host):
        host.fast.mkdir(parents=True)
        (host.pgdata / "pg_tblspc").mkdir()
        (host.pgdata / "pg_tblspc/16388").symlink_to(host.fast)
        rewinding.pretends("rm pg_tblspc/16388")
        assert rewinding.run().left_behind == (str(host.fast),)

    @pytest.mark.parametrize("then", ["exit 1", "kill -9 $$"])
    def test_a_failure_leaves_it_closed(self, rewinding, host, then):
        rewinding.pretends(then)
        with pytest.raises(StandbyError) as failed:
            rewinding.run()
        assert failed.value.code == "rewind_failed"
        assert "overwrite=same_cluster" in failed.value.msg
        assert rewinding.mode == 0o702
        assert host.record["phase"] == "rewinding"
        assert read_tree(host.state / "own")["postgresql.conf"] == "own"
        closed = read_tree(host.pgdata.parent)
        with pytest.raises(StandbyError, match="did not end") as again:
            rewinding.run()
        assert again.value.code == "rewind_unfinished"
        assert read_tree(host.pgdata.parent) == closed
        assert not is_ours(rewinding.found())

    def test_nobody_ends_it_half_way_who_does_not_end_pg_rewind(self, rewinding, host):
        # The parent of pg_rewind is the process that rewinds.
        rewinding.pretends("kill -TERM $PPID")
        before = signal.getsignal(signal.SIGTERM)
        rewinding.run()
        assert host.record["phase"] == "committed"
        assert (rewinding.found().state, rewinding.mode) == ("standby", 0o700)
        assert signal.getsignal(signal.SIGTERM) == before

    def test_tells_how_far_it_is(self, rewinding, host, tmp_path):
        rewinding.pretends("echo ' 1024/51200 kB (2%) copied'; echo '51200/51200 kB (100%) copied'")
        progress = Progress(str(tmp_path / "progress"))
        rewinding.run(progress=progress)
        told = progress.snapshot()
        assert (told["phase"], told["bytes"], told["bytes_done"]) == ("rewinding", 50 << 20, 50 << 20)

    @pytest.mark.parametrize("overwrite", ["same_cluster", "never"])
    def test_a_copy_by_delta_mends_it(self, rewinding, host, overwrite):
        rewinding.pretends("exit 1")
        with pytest.raises(StandbyError):
            rewinding.run()
        assert permitted(host.job(overwrite=overwrite), rewinding.found()).action == "delta"
        host.copy(overwrite=overwrite)
        assert is_ours(rewinding.found())
        assert rewinding.mode == 0o700

    def test_waits_for_nobody(self, rewinding, host):
        host.state.mkdir()
        lock = Lock(str(host.state / "lock"), {})
        assert lock.take()
        with pytest.raises(StandbyError) as failed:
            rewinding.run()
        assert failed.value.code == "clone_running"
        lock.release()
        assert rewinding.mode == 0o700
        rewinding.run()

    @pytest.mark.parametrize("recorded", [False, True])
    def test_a_server_that_starts_in_between_is_seen(self, rewinding, host, recorded):
        if recorded:
            host.copy(overwrite="same_cluster")
            write_tree(host.pgdata, {"global/pg_control": CONTROL_TEXT})
        task = rewinding.task()
        rewindable = require_rewindable(task)
        before = read_tree(host.pgdata), host.record if recorded else None
        process = host.start("postgres", host.pgdata)
        with pytest.raises(StandbyError) as failed:
            rewind(task, rewindable)
        process.communicate()
        assert failed.value.code == "server_running"
        assert (read_tree(host.pgdata), host.record if recorded else None) == before
        assert (host.state / "state.json").exists() == recorded
        assert rewinding.mode == 0o700

    def test_a_server_that_ran_in_between_is_seen(self, rewinding, host):
        task = rewinding.task()
        rewindable = require_rewindable(task)
        write_tree(host.pgdata, {"global/pg_control": control_text(checkpoint_lsn=0x2000000)})
        with pytest.raises(StandbyError, match="was changed by a server") as failed:
            rewind(task, rewindable)
        assert failed.value.code == "server_running"
        assert rewinding.mode == 0o700

    def test_a_mode_that_cannot_be_set_is_told(self, rewinding, monkeypatch):
        task = rewinding.task()
        rewindable = require_rewindable(task)

        def refuse(path):
            raise PermissionError(1, "No")

        monkeypatch.setattr(_rewind, "fsync_directory", refuse)
        with pytest.raises(StandbyError) as failed:
            rewind(task, rewindable)
        assert failed.value.code == "directory_not_writable"
