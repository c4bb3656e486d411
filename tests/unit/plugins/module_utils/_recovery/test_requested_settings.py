# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.requested_settings import requested_settings
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.settings import LEFTOVERS


class TestRequestedSettings:
    def test_least(self):
        assert requested_settings("host=p", None, {}) == {
            "primary_conninfo": "host=p",
            "recovery_target_timeline": "latest",
        }

    def test_most(self):
        params = {
            "primary_slot_name": "n1",
            "archive_cleanup_command": "true",
            "recovery_min_apply_delay": "30min",
            "settings": {"Max_Connections": 120, "hot_standby_feedback": True, "jit": False, "ext.level": 1.5},
        }
        assert requested_settings("host=p", "cp %f %p", params) == {
            "primary_conninfo": "host=p",
            "primary_slot_name": "n1",
            "restore_command": "cp %f %p",
            "archive_cleanup_command": "true",
            "recovery_min_apply_delay": "30min",
            "recovery_target_timeline": "latest",
            "max_connections": "120",
            "hot_standby_feedback": "on",
            "jit": "off",
            "ext.level": "1.5",
        }

    def test_empty_options_are_not_given(self):
        params = {"primary_slot_name": "", "archive_cleanup_command": "", "settings": None}
        assert requested_settings("host=p", "", params) == requested_settings("host=p", None, {})

    @pytest.mark.parametrize("name", ["", "a b", "a\nb", "a=b", "1a", "a.", "a'", "-a", "a#"])
    def test_refuses_what_is_no_name(self, name):
        with pytest.raises(StandbyError, match="is no name of a setting") as refused:
            requested_settings("host=p", None, {"settings": {name: "1"}})
        assert refused.value.code == "setting_invalid"

    def test_refuses_what_no_file_can_hold(self):
        with pytest.raises(StandbyError, match="The value of archive_cleanup_command cannot be written") as refused:
            requested_settings("host=p", None, {"archive_cleanup_command": "x\nport = 1"})
        assert refused.value.code == "setting_invalid"

    @pytest.mark.parametrize("name", ["Slot", "a-b", "a b", "x\nport = 1", "a" * 64])
    def test_refuses_a_slot_that_a_server_would_refuse(self, name):
        with pytest.raises(StandbyError) as refused:
            requested_settings("host=p", None, {"primary_slot_name": name})
        assert refused.value.code == "slot_name_invalid"

    @pytest.mark.parametrize("delay", ["5 fortnights", "min", "x\nport = 1", "1MB"])
    def test_refuses_a_delay_that_is_none(self, delay):
        with pytest.raises(StandbyError) as refused:
            requested_settings("host=p", None, {"recovery_min_apply_delay": delay})
        assert refused.value.code == "setting_invalid"

    @pytest.mark.parametrize("delay", ["25d", "2147483648", "600h", "-1", "1e10s"])
    def test_refuses_a_delay_that_no_server_takes(self, delay):
        with pytest.raises(StandbyError, match="give at most 24d") as refused:
            requested_settings("host=p", None, {"recovery_min_apply_delay": delay})
        assert refused.value.code == "setting_invalid"

    @pytest.mark.parametrize("delay", ["24d", "2147483647", "0"])
    def test_takes_the_longest_delay(self, delay):
        wanted = requested_settings("host=p", None, {"recovery_min_apply_delay": delay})
        assert wanted["recovery_min_apply_delay"] == delay

    @pytest.mark.parametrize("off", ["off", False, "no", "0", "FALSE"])
    def test_refuses_a_standby_that_lets_nobody_in(self, off):
        with pytest.raises(StandbyError, match="switched off") as refused:
            requested_settings("host=p", None, {"settings": {"hot_standby": off}})
        assert refused.value.code == "setting_invalid"

    @pytest.mark.parametrize(
        ("command", "params"),
        [
            ("cp %f %p || date +%s", {}),
            (None, {"archive_cleanup_command": "clean %f"}),
            (None, {"settings": {"Recovery_End_Command": "touch %p"}}),
            (None, {"settings": {"restore_command": "cp %f %p # 100%"}}),
        ],
    )
    def test_refuses_a_command_that_would_end_the_server(self, command, params):
        with pytest.raises(StandbyError) as refused:
            requested_settings("host=p", command, params)
        assert refused.value.code == "command_placeholder_unknown"

    def test_what_is_written_is_read_back(self):
        wanted = requested_settings("host=p password='it''s'", "cp '/a b/%f' \"%p\" \\", {"settings": {"a": "#'\\"}})
        assert {item.name: item.value for item in _conf.read(_conf.edit("", wanted, LEFTOVERS))} == wanted
