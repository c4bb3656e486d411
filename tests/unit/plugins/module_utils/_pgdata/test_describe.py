# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import describe, is_ours
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    RECORD,
    REWINDING,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import data_directory as found


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        pytest.param(found("standby", record=RECORD), True, id="committed"),
        pytest.param(found("standby", record={**RECORD, "phase": "committing"}), True, id="the record was lost"),
        pytest.param(found("standby", record={**RECORD, "system_identifier": None}), True, id="identifier unknown"),
        pytest.param(found("standby", record={**RECORD, "phase": "copying"}), False, id="copying"),
        pytest.param(found("standby", record={**RECORD, "data_directory": "/x"}), False, id="of another directory"),
        pytest.param(found("standby", record={**RECORD, "system_identifier": "1"}), False, id="another cluster"),
        pytest.param(found("standby"), False, id="no record"),
        pytest.param(found("cluster", record=RECORD), False, id="promoted"),
        pytest.param(found("incomplete", record=RECORD), False, id="incomplete"),
    ],
)
def test_what_is_a_standby_of_ours(directory, expected):
    assert is_ours(directory) is expected


@pytest.mark.parametrize(
    ("directory", "words"),
    [
        (found("absent"), "it is absent"),
        (found("empty"), "it is empty"),
        (found("incomplete", record={"backup_id": "b1"}), "it holds an unfinished copy of backup b1"),
        (found("incomplete", record=REWINDING), "it holds a cluster that an interrupted pg_rewind has left"),
        (
            found("foreign", version="15", entries=("base",)),
            "it holds a damaged cluster of PostgreSQL 15, without a global/pg_control that can be read",
        ),
        (found("pristine", "7"), "it holds an unused cluster of PostgreSQL 15 with system identifier 7"),
        (found("foreign", entries=("a", "b")), "it holds a, b"),
        (
            found("foreign", entries=("a",), record={"phase": "copying", "backup_id": "b1"}),
            "it holds a, not known by a mark to be the unfinished copy of backup b1 that a record tells of",
        ),
        (found("foreign", entries=tuple("abcdef")), "it holds a, b, c, d, e, ..."),
        (found("standby", "7"), "it holds a standby of PostgreSQL 15 with system identifier 7"),
        (
            found("cluster", "7", pid=9),
            "it holds a cluster of PostgreSQL 15 with system identifier 7, running as pid 9",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_directory_in_words(directory, words):
    assert describe(directory) == words
