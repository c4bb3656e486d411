# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.reconcile import require_standby


class TestRequireStandby:
    @pytest.mark.parametrize(("version", "major"), [("15", 15), ("12", 12), ("9.6", 9)])
    def test_tells_the_major_version(self, version, major):
        assert require_standby(DataDir("/srv/pg", "standby", version=version)) == major

    @pytest.mark.parametrize("state", ["absent", "empty", "incomplete", "cluster", "foreign"])
    def test_refuses_the_rest(self, state):
        with pytest.raises(StandbyError, match=f"/srv/pg is {state}, and a server runs on it") as refused:
            require_standby(DataDir("/srv/pg", state, version="15", pid=4711))
        assert refused.value.code == "data_directory_not_standby"
