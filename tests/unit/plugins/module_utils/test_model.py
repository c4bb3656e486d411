# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._model import (
    Backup,
    ControlData,
    DataDir,
    Tablespace,
    as_dict,
    backup_from,
)

OURS, OTHER = "7710590273953624155", "1"
CONTROL = ControlData(OURS, "shut down", 1, "0/3000060", 8192, 16 << 20, False)
BACKUP = Backup(
    "20261121T114827", "DONE", "pg", type="rsync", version=150018, tablespaces=(Tablespace("fast", 16385, "/srv/fast"),)
)


@pytest.mark.parametrize(
    ("content", "major"), [("15", 15), ("9.6", 9), ("18\n", None), ("", None), (None, None), ("x", None)]
)
def test_the_major_version_in_pg_version(content, major):
    assert DataDir("/srv/pg", "standby", version=content).major == major


def test_a_backup_comes_back_from_json():
    assert backup_from(json.loads(json.dumps(as_dict(BACKUP)))) == BACKUP


def test_what_a_later_version_adds_to_a_backup_is_passed_over():
    assert backup_from({**as_dict(BACKUP), "colour": "green"}) == BACKUP


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, TypeError),
        ({**as_dict(BACKUP), "tablespaces": [{"name": "fast"}]}, KeyError),
        ({**as_dict(BACKUP), "tablespaces": [{"name": "fast", "oid": "x", "location": "/"}]}, ValueError),
    ],
)
def test_what_is_no_backup_is_an_error(given, error):
    with pytest.raises(error):
        backup_from(given)


@pytest.mark.parametrize(("version", "major"), [(150018, 15), (100023, 10), (None, None)])
def test_the_major_version_of_a_backup(version, major):
    assert replace(BACKUP, version=version).major == major


@pytest.mark.parametrize(
    ("backup", "staged"),
    [
        ({}, False),
        ({"type": "full"}, False),
        ({"type": "incremental"}, True),
        ({"type": "full", "encryption": "gpg"}, True),
    ],
)
def test_whether_barman_has_to_make_a_plain_copy_first(backup, staged):
    assert replace(BACKUP, **backup).staged == staged


@pytest.mark.parametrize(
    ("state", "pid", "identifier", "kind"),
    [
        ("standby", None, OURS, "standby"),
        ("standby", 7, OURS, "standby"),
        ("standby", None, OTHER, "other_standby"),
        ("cluster", None, OURS, "former_primary"),
        ("cluster", 7, OURS, "primary"),
        ("cluster", None, OTHER, "other_cluster"),
        ("cluster", 7, OTHER, "other_primary"),
        ("cluster", 7, None, "cluster"),
        ("pristine", None, OURS, "former_primary"),
        ("pristine", 7, OURS, "primary"),
        ("pristine", None, OTHER, "pristine"),
        ("pristine", 7, None, "pristine"),
        ("incomplete", None, OURS, "incomplete"),
    ],
)
def test_the_kind_of_a_directory_seen_from_a_cluster(state, pid, identifier, kind):
    pgdata = DataDir("/srv/pg", state, version="15", control=CONTROL, pid=pid)
    assert pgdata.kind(identifier) == kind
    assert pgdata.running == (pid is not None)


def test_without_pg_control_a_directory_is_of_no_cluster():
    assert DataDir("/srv/pg", "standby", version="15").kind(OURS) == "standby"
