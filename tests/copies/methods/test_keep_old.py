# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy that keeps what it would overwrite."""

from __future__ import annotations

import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import begin as _begin
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import overwrite as _overwrite
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import keep_old as _keep_old
from ansible_collections.pgfleet.standby.tests.copies.methods.whole_copy import (
    CONTROL,
    SIZE,
    SIZE_FAST,
    assert_cannot_be_started,
    assert_copied,
    everything_below,
    refused,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    DATA,
    PULLS,
    read_tree,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import control_text


class TestKeepOld:
    """What would be overwritten is renamed aside, and the copy is one into an empty directory."""

    @pytest.fixture(params=["delta", "replace"])
    def old(self, request):
        """A cluster with a tablespace and its WAL elsewhere, and a file of its own."""
        host = request.getfixturevalue("host")
        self.wal = host.root / "standby" / "wal"
        host.copy(backup=host.second_backup(), waldir=str(self.wal))
        write_tree(self.wal, {"000000010000000000000009": "w"})
        write_tree(host.pgdata, {"base/1/4711": "x"})
        if request.param == "replace":
            write_tree(host.pgdata, {CONTROL: control_text(system_identifier=1)})
        host.request = {"overwrite": "always", "keep_old": True, "waldir": str(self.wal)}
        self.before = {name: read_tree(host.pgdata.parent / name) for name in ("pgdata", "fast", "wal")}
        host.forget_calls()
        return host

    @staticmethod
    def everything_but_the_record(host):
        places = [place for place in host.pgdata.parent.iterdir() if place != host.state]
        return {place.name: everything_below(place) for place in places}

    def assert_kept(self, host):
        top = host.pgdata.parent
        links = {"pg_tblspc/16388": f"-> {top}/fast.old", "pg_wal": f"-> {top}/wal.old"}
        assert read_tree(top / "pgdata.old") == {**self.before["pgdata"], **links}
        assert read_tree(top / "fast.old") == self.before["fast"]
        assert read_tree(top / "wal.old") == self.before["wal"]

    def assert_copied(self, host):
        assert (host.pgdata / "pg_wal").readlink() == self.wal
        (host.pgdata / "pg_wal").unlink()
        assert_copied(host)

    def test_keeps_the_old_cluster_as_it_was(self, old):
        outcome = old.copy(**old.request)
        kept = tuple(f"{old.pgdata.parent}/{name}.old" for name in ("pgdata", "fast", "wal"))
        assert (outcome.action, outcome.sent, outcome.kept_old) == ("clone", SIZE + SIZE_FAST, kept)
        assert (outcome.left_behind, old.record["kept_old"]) == ((), list(kept))
        self.assert_kept(old)
        self.assert_copied(old)

    def test_leaves_what_the_backup_does_not_use_to_the_old_cluster(self, old):
        before = read_tree(old.fast)
        outcome = old.copy(**{**old.request, "waldir": None}, backup=old.backup(tablespaces=()))
        assert outcome.kept_old == (f"{old.pgdata}.old",)
        assert outcome.left_behind == (str(old.fast), str(self.wal))
        assert read_tree(old.fast) == before
        assert (old.pgdata.parent / "pgdata.old/pg_tblspc/16388").readlink() == old.fast

    def test_a_second_run_keeps_nothing_more(self, old):
        old.copy(**old.request)
        outcome = old.copy(**old.request)
        assert (outcome.action, outcome.kept_old) == ("none", ())
        self.assert_kept(old)

    def test_is_recorded_before_anything_is_renamed(self, old, monkeypatch):
        seen = []

        def keep(keep_plan):
            seen.append({name: old.record[name] for name in ("phase", "moves", "links", "kept_old")})
            assert (old.pgdata / CONTROL).exists()
            raise StandbyError(Refusal("interrupted", "ended", "run again"))

        with monkeypatch.context() as patched:
            patched.setattr(_begin, "rename_aside", keep)
            assert refused(old, **old.request).code == "interrupted"
        top = old.pgdata.parent
        assert seen == [
            {
                "phase": "keeping",
                "moves": [[f"{top}/{name}", f"{top}/{name}.old"] for name in ("pgdata", "fast", "wal")],
                "links": {"pg_tblspc/16388": f"{top}/fast.old", "pg_wal": f"{top}/wal.old"},
                "kept_old": [f"{top}/{name}.old" for name in ("pgdata", "fast", "wal")],
            }
        ]
        # Nothing has happened yet: the cluster is whole, and still needs consent.
        assert {name: read_tree(top / name) for name in self.before} == self.before
        assert refused(old, waldir=str(self.wal)).code == "data_directory_cluster"
        assert old.copy(**old.request).action == "clone"
        self.assert_kept(old)

    @pytest.mark.parametrize(
        ("name", "number"), [*(("rename", number) for number in range(1, 6)), ("symlink", 1), ("symlink", 2)]
    )
    def test_goes_on_where_it_was_interrupted(self, old, monkeypatch, name, number):
        """Whether the next run wants to keep anything or not: what has begun to move is kept as a whole."""
        real, calls = getattr(os, name), []

        def interrupted(source, target, **named):
            if not str(target).startswith(str(old.pgdata.parent)) or ".old" not in str(target):
                return real(source, target, **named)
            calls.append(target)
            if len(calls) == number:
                raise KeyboardInterrupt
            return real(source, target, **named)

        with monkeypatch.context() as patched:
            patched.setattr(os, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                old.copy(**old.request)
        request = old.request
        if (name, number) != ("rename", 1):
            assert_cannot_be_started(old)
            request = {"waldir": str(self.wal)}
        told, outcome = _overwrite.preview(old.job(**request)), old.copy(**request)
        assert (outcome.action, outcome.left_behind, len(outcome.kept_old)) == ("clone", (), 3)
        assert outcome.kept_old == told.kept_old
        self.assert_kept(old)
        self.assert_copied(old)

    def test_of_a_resumed_copy_is_told(self, old):
        old.hook(f"case $command in {PULLS} rm -f {old.data}/pg_xact/0000 ;; esac")
        assert refused(old, **old.request).code == "backup_files_missing"
        old.healthy()
        write_tree(old.data, {"pg_xact/0000": DATA["pg_xact/0000"]})
        outcome = old.copy(waldir=str(self.wal))
        assert (outcome.action, len(outcome.kept_old)) == ("resume", 3)
        self.assert_kept(old)
        self.assert_copied(old)

    def test_waits_for_nobody_who_has_started_a_half_kept_cluster(self, old, monkeypatch):
        def fail(*_given):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(_keep_old, "_point", fail)
            with pytest.raises(KeyboardInterrupt):
                old.copy(**old.request)
        top, record = old.pgdata.parent, old.record
        before = self.everything_but_the_record(old)
        server = old.start("postgres", top / "pgdata.old")
        error = refused(old, **old.request)
        server.communicate()
        assert (error.code, f"{top}/pgdata.old" in error.msg) == ("server_running", True)
        assert (self.everything_but_the_record(old), old.record) == (before, record)

    @pytest.mark.parametrize("name", ["pgdata", "fast", "wal"])
    def test_is_refused_before_anything_changes(self, old, name):
        top = old.pgdata.parent
        write_tree(top / f"{name}.old", {"precious": "x"})
        before = self.everything_but_the_record(old)
        assert refused(old, **old.request).code == "keep_old_exists"
        assert self.everything_but_the_record(old) == before
