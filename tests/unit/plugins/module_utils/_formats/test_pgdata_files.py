# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import (
    parse_backup_label,
    parse_history,
    parse_pid_file,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import LABEL

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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(PID_FILE, (27533, 54555, "/var/run/postgresql", "ready", "localhost", 1795262540), id="running"),
        pytest.param("-4711\n/d\n1\n5432\n\n", (4711, 5432, None, None, None, 1), id="single-user, no socket"),
        pytest.param("4711\n/d\n1\n", (4711, None, None, None, None, 1), id="starting"),
        pytest.param("4711\n/d\n1\n\n/s\n", (4711, None, "/s", None, None, 1), id="no port yet"),
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
        pytest.param("1\t0/5000000\tno recovery target specified\n", ((1, 0x5000000),), id="one"),
        pytest.param("1\t0/5000000\tx\n\n2\t1/A\tbefore 2000-01-01\n", ((1, 0x5000000), (2, 0x10000000A)), id="two"),
        pytest.param("# 1\t0/1\n1\t0/2\tx\n", ((1, 0x2),), id="comment"),
        # What a lagging standby of PostgreSQL 18 wrote that had seen another one's promotion, and was promoted then.
        pytest.param("1\t0/50000A0\tno\n2\t0/5000000\tno\n", ((1, 0x5000000), (2, 0x5000000)), id="backwards"),
        pytest.param("1\t0/3\tx\n2\t0/9\tx\n3\t0/5\tx\n", ((1, 0x3), (2, 0x5), (3, 0x5)), id="backwards later"),
    ],
)
def test_history(text, found):
    assert parse_history(text) == found
