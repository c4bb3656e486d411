# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order a copy writes, so that nothing that is not whole can be started."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import begin as _begin
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import commit as _commit
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import inspect as _inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import sync as _sync
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import control_data
from ansible_collections.pgfleet.standby.tests.copies.methods.whole_copy import CONTROL, assert_copied
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    DATA,
    PULLS,
    PULLS_A_SHARD,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.waiting import FOR_EVER


class TestOrder:
    """What there is of the copy at each moment, as the programs see it that are started meanwhile."""

    WITNESS = """\
#!/bin/sh
cd '{pgdata}' 2>/dev/null || cd /
there=
grep -q '"phase": "copying"' '{state}/state.json' 2>/dev/null && there="$there recorded"
[ ! -e global/pg_control ] || there="$there control"
[ ! -L pg_tblspc/16388 ] || there="$there link"
[ ! -e standby.signal ] || there="$there signal"
[ ! -e postgresql.auto.conf ] || grep -q recovery_target postgresql.auto.conf || there="$there settings"
[ ! -e stranger ] || there="$there stranger"
echo "$1:$there" >>'{root}/seen'
"""
    FINISHED = "recorded link signal settings"
    OLD = "control link signal stranger"

    @pytest.fixture
    def seen(self, host, monkeypatch):
        """Each kind of moment when it came first."""
        monkeypatch.setattr(_sync, "_PAUSE", FOR_EVER)
        host.write_manifest("CRC32C")  # the kind that takes a program to compare
        witness = host.program("witness", self.WITNESS.format(pgdata=host.pgdata, state=host.state, root=host.root))

        def looking(*place):
            subprocess.run([witness, "look"], check=True)
            return control_data(*place)

        def moments(**changed):
            told = f"""case $command in
                {PULLS_A_SHARD} {witness} pull ;; {PULLS} {witness} fetch ;; *) {witness} ask ;;
            esac"""
            host.hook(told)
            monkeypatch.setattr(_sync, "_syncfs", lambda _handle: subprocess.run([witness, "sync"], check=True))
            host.program("pg_verifybackup", f"#!/bin/sh\nexec {witness} verify\n")
            for unit in (_commit, _inspect):
                monkeypatch.setattr(unit, "control_data", looking)
            host.copy(jobs=1, **changed)
            return list(dict.fromkeys((host.root / "seen").read_text(encoding="utf-8").splitlines()))

        return moments

    def test_of_a_copy_into_an_empty_directory(self, seen):
        assert seen() == [
            "ask:",
            "fetch:",
            "pull: recorded",
            "verify: recorded",
            f"sync: {self.FINISHED}",
            f"fetch: {self.FINISHED}",
            f"look: {self.FINISHED}",
            f"verify: {self.FINISHED}",
        ]

    def test_of_a_copy_over_a_cluster(self, older, seen):
        write_tree(older.pgdata, {"stranger": "x", "postgresql.auto.conf": DATA["postgresql.auto.conf"]})
        assert seen(overwrite="same_cluster") == [
            f"look: {self.OLD}",
            f"ask: {self.OLD}",
            f"fetch: {self.OLD}",
            "verify: recorded",
            "pull: recorded",
            f"sync: {self.FINISHED}",
            f"fetch: {self.FINISHED}",
            f"look: {self.FINISHED}",
            f"verify: {self.FINISHED}",
        ]

    def test_over_a_cluster_the_record_is_first_and_a_durable_end_of_pg_control_second(self, older, monkeypatch):
        write_tree(older.pgdata, {"stranger": "x"})
        synced = []

        def fsync_directory(path):
            synced.append(path)
            assert older.record["phase"] == "copying"
            assert not (older.pgdata / CONTROL).exists()
            assert (older.pgdata / "stranger").exists()

        monkeypatch.setattr(_begin, "fsync_directory", fsync_directory)
        older.copy(overwrite="same_cluster")
        assert synced == [str(older.pgdata / "global")]
        assert_copied(older)
