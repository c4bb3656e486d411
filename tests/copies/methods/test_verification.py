# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is verified, and what a difference leads to."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.result import result_of
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.verification import Verification
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.rsync_pull import RsyncPull
from ansible_collections.pgfleet.standby.tests.copies.methods.whole_copy import (
    CONTROL,
    FAST_FILE,
    TABLE,
    assert_cannot_be_started,
    assert_copied,
    flip,
    refused,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import DATA, PULLS_A_SHARD


class TestVerification:
    @pytest.mark.parametrize(
        ("verify", "has_manifest", "verified"),
        [
            ("none", True, "size"),
            ("size", True, "size"),
            ("manifest", False, "size"),
            ("manifest", True, "manifest"),
            ("checksum", False, "checksum"),
            ("checksum", True, "checksum"),
        ],
    )
    def test_says_what_it_was(self, host, verify, has_manifest, verified):
        if has_manifest:
            host.write_manifest()
        outcome = host.copy(verify=verify)
        assert (outcome.verified, outcome.sent) == (verified, outcome.bytes)
        assert_copied(host)

    def test_says_what_it_was_if_the_manifest_knows_no_tablespace(self, host):
        """As one that `barman generate-manifest` has made."""
        host.write_manifest(tablespaces=False)
        outcome = host.copy()
        assert (outcome.verified, outcome.by_size) == ("size", (str(host.fast),))
        [warning] = result_of(host.job(), outcome)["warnings_to_show"]
        assert str(host.fast) in warning

    # What learns of a file that has arrived, and then compares it.
    COMPARES = pytest.mark.parametrize(
        ("verify", "unit", "name", "code"),
        [
            ("manifest", Verification, "check", "manifest_mismatch"),
            ("checksum", RsyncPull, "differing", "verification_failed"),
        ],
        ids=["manifest", "checksum"],
    )

    @staticmethod
    def before_comparing(monkeypatch, unit, name, work):
        real = getattr(unit, name)
        monkeypatch.setattr(unit, name, lambda *given: work() or real(*given))

    @pytest.mark.parametrize("verify", ["size", "checksum"])
    def test_without_the_manifest_needs_nothing_that_can_compute_its_checksums(self, host, verify):
        host.write_manifest("CRC32C")
        host.copy(verify=verify)
        assert_copied(host)

    @COMPARES
    @pytest.mark.parametrize("tree", ["pgdata", "fast"])
    def test_sends_a_file_once_more_that_has_changed_here(self, host, monkeypatch, verify, unit, name, code, tree):
        host.write_manifest()
        damaged = getattr(host, tree) / {"pgdata": TABLE, "fast": FAST_FILE}[tree]
        left = [damaged]

        def work():
            if left and damaged.exists():
                flip(left.pop())

        self.before_comparing(monkeypatch, unit, name, work)
        outcome = host.copy(verify=verify, jobs=1)
        assert left == []
        assert (outcome.verified, outcome.sent) == (verify, outcome.bytes + damaged.stat().st_size)
        assert_copied(host)

    @COMPARES
    def test_fails_when_that_does_not_help(self, host, monkeypatch, verify, unit, name, code):
        host.write_manifest()
        damaged = host.pgdata / TABLE

        def work():
            if damaged.exists() and damaged.read_text(encoding="utf-8") == DATA[TABLE]:
                flip(damaged)

        self.before_comparing(monkeypatch, unit, name, work)
        error = refused(host, verify=verify, jobs=1)
        assert (error.code, error.result["differences"]) == (code, [str(damaged)])
        assert_cannot_be_started(host)

    @pytest.mark.parametrize(
        ("verify", "code"),
        [("none", None), ("size", None), ("checksum", None), ("manifest", "manifest_mismatch")],
    )
    @pytest.mark.parametrize("damaged", ["data: base/1/2619", "tablespace: PG_15_202209061/5/16390"])
    def test_knows_damage_in_the_backup_by_its_manifest_alone(self, host, verify, code, damaged):
        tree, _colon, path = damaged.partition(": ")
        host.write_manifest()
        flip(getattr(host, tree) / path)
        if code is None:
            assert host.copy(verify=verify).action == "clone"
            return
        error = refused(host, verify=verify)
        here = {"data": host.pgdata, "tablespace": host.fast}[tree] / path
        assert (error.code, error.result["differences"]) == (code, [str(here)])
        assert_cannot_be_started(host)

    def test_refuses_pg_control_that_is_not_as_promised(self, host):
        host.write_manifest()
        flip(host.data / CONTROL, 8191)  # behind what its own checksum is about
        error = refused(host)
        assert error.code == "manifest_mismatch"
        assert CONTROL in error.msg
        assert_cannot_be_started(host)

    @pytest.mark.parametrize("verify", ["none", "size", "manifest", "checksum"])
    def test_finds_what_is_too_much(self, host, verify):
        # The file arrives, but somebody writes into the directory while the copy runs.
        host.hook(f'case $command in {PULLS_A_SHARD} : >"{host.pgdata}/base/planted" ;; esac')
        error = refused(host, verify=verify)
        assert error.code == "verification_failed"
        assert error.result["differences"] == [f"{host.pgdata}/base/planted: not in the backup"]
        assert_cannot_be_started(host)
