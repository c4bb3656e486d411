# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.login import Login
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery import reconcile as _reconcile
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.reconcile import RecoveryRequest, reconcile
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.restore_command import RestoreCommand


@pytest.fixture
def refusal(monkeypatch):
    """The code with which a directory in this state is refused, and the words."""

    def of(state, pid=None, version="15", **asked):
        pgdata = DataDir("/srv/pg", state, version=version, pid=pid)
        monkeypatch.setattr(_reconcile, "inspect", lambda path, state_directory: pgdata)
        request = RecoveryRequest("/srv/pg", "/srv/.pg.standby", {}, Login({}, {}, None), RestoreCommand(None), **asked)
        with pytest.raises(StandbyError) as refused:
            reconcile(request, only_look=False)
        return refused.value.code, refused.value.msg

    return of


@pytest.mark.parametrize("state", ["absent", "empty", "incomplete", "cluster", "foreign", "pristine"])
def test_what_is_no_standby_is_refused(refusal, state):
    code, msg = refusal(state, pid=4711)
    assert code == "data_directory_not_standby"
    assert f"/srv/pg is {state}, and a server runs on it (pid 4711)" in msg


@pytest.mark.parametrize(("state", "pid"), [("cluster", 4711), ("pristine", None), ("incomplete", None)])
def test_only_a_stopped_primary_may_rejoin(refusal, state, pid):
    assert refusal(state, pid, rejoin=True)[0] == "data_directory_not_standby"


def test_a_standby_without_a_version_is_refused(refusal):
    assert refusal("standby", version=None)[0] == "data_directory_not_standby"


def test_there_has_to_be_a_configuration_to_keep(refusal):
    code, msg = refusal("standby", config_files="keep_local")
    assert code == "config_files_unclear"
    assert "config_directory is not given" in msg
