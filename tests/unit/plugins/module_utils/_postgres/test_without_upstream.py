# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import without_upstream as _without_upstream
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import instance

WAITING = replace(instance(), receiver=None)


def test_every_check_that_is_left_out_is_named_in_one_warning():
    found = _without_upstream.not_checked()
    assert (found.severity, found.error_code) == ("warning", "upstream_not_asked")
    assert all(left_out in found.msg for left_out in _without_upstream.NOT_CHECKED)


@pytest.mark.parametrize(("command", "codes"), [("cp", []), (None, ["wal_unproven"])])
def test_wal_has_to_come_from_somewhere(command, codes):
    assert [found.error_code for found in _without_upstream.wal_source(command)] == codes


@pytest.mark.parametrize(
    ("server", "reasons"),
    [
        (WAITING, []),
        (replace(WAITING, replay_lsn=None), ["it has replayed nothing yet"]),
        (replace(WAITING, in_recovery=False), ["it is not in recovery: it runs as a primary"]),
    ],
)
def test_a_standby_alone(server, reasons):
    assert _without_upstream.reasons(server) == reasons


@pytest.mark.parametrize(
    ("server", "ready", "state"),
    [
        (None, False, "not_ready"),
        (WAITING, False, "not_ready"),
        (WAITING, True, "waiting_for_upstream"),
        (instance(), True, "streaming"),
    ],
)
def test_what_it_does(server, ready, state):
    assert _without_upstream.state(server, ready) == state
