# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import ControlData
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata_parse import (
    parse_backup_label,
    parse_control,
    parse_history,
    parse_pid_file,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    CONTROL_TEXT,
    LABEL,
    SETTINGS,
    SYSTEM_IDENTIFIER,
)

PID_FILE = """\
27533
/tmp/data
1795262540
54555
/var/run/postgresql
localhost
  2418974         4
ready   
"""  # noqa: W291 - as the server pads it

CONTROL_FIELDS = [
    "Database system identifier",
    "Database cluster state",
    "Latest checkpoint's TimeLineID",
    "Latest checkpoint location",
    "Database block size",
    "Bytes per WAL segment",
    "Data page checksum version",
    "Latest checkpoint's NextOID",
    "Latest checkpoint's REDO location",
    "Min recovery ending loc's timeline",
    "Minimum recovery ending location",
    "wal_log_hints setting",
    "max_connections setting",
    "max_prepared_xacts setting",
]


def test_control_data():
    assert parse_control(CONTROL_TEXT) == ControlData(
        system_identifier=SYSTEM_IDENTIFIER,
        state="shut down",
        timeline=1,
        checkpoint_lsn="0/17414C8",
        block_size=8192,
        wal_segment_size=16 << 20,
        data_checksums=True,
        settings=SETTINGS,
        redo_lsn="0/17414C8",
        min_recovery_lsn="0/0",
        min_recovery_timeline=0,
        next_oid=13572,
        wal_log_hints=False,
    )


def test_control_data_without_checksums():
    off = CONTROL_TEXT.replace("checksum version:           1", "checksum version:           0")
    assert parse_control(off).data_checksums is False


@pytest.mark.parametrize("field", CONTROL_FIELDS)
def test_control_data_is_whole_or_nothing(field):
    text = "".join(line for line in CONTROL_TEXT.splitlines(keepends=True) if not line.startswith(field))
    assert text != CONTROL_TEXT
    with pytest.raises(StandbyError, match="pg_controldata printed no") as refused:
        parse_control(text)
    assert refused.value.code == "control_data_unreadable"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(PID_FILE, (27533, 54555, "/var/run/postgresql"), id="running"),
        pytest.param("-4711\n/d\n1\n5432\n\n", (4711, 5432, None), id="single-user, no socket"),
        pytest.param("4711\n/d\n1\n", (4711, None, None), id="starting"),
        pytest.param("4711\n/d\n1\n\n/s\n", (4711, None, "/s"), id="no port yet"),
        pytest.param("", None, id="empty"),
        pytest.param("garbage\n", None, id="garbage"),
    ],
)
def test_pid_file(text, found):
    assert parse_pid_file(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(LABEL, ("0/3000028", "000000010000000000000003", 1), id="whole"),
        pytest.param(LABEL.replace("\n", "\r\n"), ("0/3000028", "000000010000000000000003", 1), id="CRLF"),
        pytest.param(LABEL.replace("TIMELINE", ""), ("0/3000028", "000000010000000000000003", None), id="no timeline"),
    ],
)
def test_backup_label(text, found):
    assert parse_backup_label(text) == found


@pytest.mark.parametrize("text", ["", "LABEL: x\n", f"LABEL: {LABEL.splitlines()[0]}\n"], ids=["empty", "none", "fake"])
def test_backup_label_has_to_tell_where_replay_begins(text):
    with pytest.raises(StandbyError) as refused:
        parse_backup_label(text)
    assert refused.value.code == "backup_label_invalid"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("", (), id="empty"),
        pytest.param("1\t0/5000000\tno recovery target specified\n", ((1, "0/5000000"),), id="one"),
        pytest.param("1\t0/5000000\tx\n\n2\t1/A\tbefore 2000-01-01\n", ((1, "0/5000000"), (2, "1/A")), id="two"),
        pytest.param("# 1\t0/1\n1\t0/2\tx\n", ((1, "0/2"),), id="comment"),
    ],
)
def test_history(text, found):
    assert parse_history(text) == found
