# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan has the same keys whatever was found; the role reads them without asking whether they are there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.case import Case
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.decision import Decision
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.plan import plan_result
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import upstream

REQUEST = Request("/srv/pg", "/srv/.pg", {}, None, restore_command="fetch %f %p")
CASE = Case(REQUEST, pgdata=DataDir("/srv/pg", "empty"), decision=Decision("clone", "it is empty"))
# Beside these there are keys that only some checks bring.
ALWAYS = {
    *("action", "reason", "stop", "copies", "before", "backup_id", "server", "data_directory", "method", "slot"),
    *("files", "bytes", "bytes_to_copy", "removed", "removed_names", "tablespaces", "settings", "staged"),
    *("not_checked", "restore_command", "upstream_derived"),
}


@pytest.mark.parametrize(
    "case", [CASE, Case(REQUEST), replace(CASE, upstream=upstream())], ids=["empty", "unreadable", "with an upstream"]
)
def test_the_keys(case):
    more = {"upstream", "wal_to_replay"} if case.upstream is not None else set()
    assert set(plan_result({}, case, refused=False)) == ALWAYS | more


def test_what_the_checks_found_stands_in_it():
    plan = plan_result({"files": 7, "kept_old": ["/srv/pg.old"]}, CASE, refused=False)
    assert (plan["files"], plan["bytes"], plan["kept_old"]) == (7, 0, ["/srv/pg.old"])


@pytest.mark.parametrize(
    ("case", "refused", "action", "copies"),
    [
        (CASE, False, "clone", True),
        (CASE, True, "refuse", False),
        (replace(CASE, decision=Decision("start", "it can go on")), False, "start", False),
        (Case(REQUEST), False, "refuse", False),
    ],
    ids=["clone", "an error", "start", "unreadable"],
)
def test_the_action(case, refused, action, copies):
    plan = plan_result({}, case, refused)
    assert (plan["action"], plan["copies"]) == (action, copies)


def test_whom_it_follows():
    plan = plan_result({}, replace(CASE, upstream=upstream(lsn=0x5000000)), refused=False)
    assert (plan["upstream"]["host"], plan["upstream"]["lsn"], plan["wal_to_replay"]) == ("primary", "0/5000000", 0)
