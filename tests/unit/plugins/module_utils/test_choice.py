# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._choice import choose, obstacles
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import backup


@pytest.mark.parametrize(
    "usable",
    [
        pytest.param({}, id="rsync"),
        pytest.param({"type": "full", "mode": "postgres"}, id="postgres"),
        pytest.param({"version": 120000}, id="PostgreSQL 12"),
        pytest.param({"version": 190001}, id="PostgreSQL 19"),
        pytest.param({"compression": ""}, id="no compression"),
        pytest.param({"tablespaces": ()}, id="no tablespaces"),
    ],
)
def test_nothing_speaks_against_a_plain_backup(usable):
    assert obstacles(backup(**usable)) == []


@pytest.mark.parametrize(
    ("unusable", "reasons"),
    [
        ({"status": "FAILED"}, ["its status is FAILED, not DONE"]),
        ({"status": "FAILED", "error": "no space"}, ["its status is FAILED, not DONE (no space)"]),
        ({"status": "WAITING_FOR_WALS"}, ["its status is WAITING_FOR_WALS, not DONE"]),
        ({"status": "STARTED", "type": None, "mode": None, "version": None}, ["its status is STARTED, not DONE"]),
        ({"type": "incremental"}, ["it is of type incremental; supported are rsync and full"]),
        ({"mode": "rsync-exclusive"}, ["it was taken by method rsync-exclusive; supported are rsync and postgres"]),
        ({"compression": "gzip"}, ["it is compressed (gzip)"]),
        ({"encryption": "gpg"}, ["it is encrypted (gpg)"]),
        ({"version": 90624}, ["it is of PostgreSQL 9; supported are 10 and later"]),
        ({"version": None}, ["it is of PostgreSQL None; supported are 10 and later"]),
        (
            {"type": "snapshot", "mode": "snapshot", "compression": "zstd"},
            [
                "it is of type snapshot; supported are rsync and full",
                "it was taken by method snapshot; supported are rsync and postgres",
                "it is compressed (zstd)",
            ],
        ),
    ],
    ids=lambda value: ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_every_obstacle_is_told(unusable, reasons):
    assert obstacles(backup(**unusable)) == reasons


class Catalogue:
    """Backups by id, newest first, and the record of which of them were looked at."""

    def __init__(self, **details):
        self.details = {name: backup(backup_id=name, **fields) for name, fields in details.items()}
        self.listed = [backup(backup_id=name, status=full.status, mode=None) for name, full in self.details.items()]
        self.asked = []

    def choose(self, wanted):
        return choose(self.listed, wanted, "pg", self.detail)

    def detail(self, name):
        self.asked.append(name)
        return self.details[name]


def test_latest_is_the_newest_backup_and_needs_no_other():
    catalogue = Catalogue(new={}, old={})
    assert catalogue.choose("latest") == (catalogue.details["new"], ())
    assert catalogue.asked == ["new"]


def test_latest_passes_over_what_cannot_be_cloned_and_says_why():
    catalogue = Catalogue(running={"status": "STARTED"}, packed={"compression": "gzip"}, good={}, old={})
    chosen, skipped = catalogue.choose("latest")
    assert chosen.backup_id == "good"
    assert skipped == (
        ("running", ["its status is STARTED, not DONE"]),
        ("packed", ["it is compressed (gzip)"]),
    )
    assert catalogue.asked == ["packed", "good"]


def test_an_id_chooses_that_backup_though_others_are_newer():
    catalogue = Catalogue(new={}, old={})
    assert catalogue.choose("old") == (catalogue.details["old"], ())
    assert catalogue.asked == ["old"]


@pytest.mark.parametrize(
    ("catalogue", "wanted", "code", "said"),
    [
        pytest.param(Catalogue(), "latest", "no_usable_backup", "its catalogue is empty", id="empty"),
        pytest.param(
            Catalogue(a={"status": "FAILED"}, b={"compression": "gzip"}),
            "latest",
            "no_usable_backup",
            r"a: its status is FAILED, not DONE; b: it is compressed \(gzip\)",
            id="none usable",
        ),
        pytest.param(Catalogue(a={}), "b", "backup_unknown", "no backup 'b'", id="unknown id"),
        pytest.param(
            Catalogue(a={}, b={"encryption": "gpg"}),
            "b",
            "backup_unsupported",
            r"Backup b: it is encrypted \(gpg\)",
            id="id of an unusable one",
        ),
    ],
)
def test_refuses_with_every_reason(catalogue, wanted, code, said):
    with pytest.raises(StandbyError, match=said) as refused:
        catalogue.choose(wanted)
    assert refused.value.code == code


def test_the_reasons_are_data_too():
    with pytest.raises(StandbyError) as refused:
        Catalogue(a={"status": "FAILED"}).choose("latest")
    assert refused.value.result["passed_over"] == [{"backup_id": "a", "reasons": ["its status is FAILED, not DONE"]}]
