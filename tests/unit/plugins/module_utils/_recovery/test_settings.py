# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import AUTO_CONF, RECOVERY_CONF
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.settings import (
    LEFTOVERS,
    PLACES,
    SETTINGS,
    harmless_values,
    home,
    needs,
    of_server,
)

VERSIONS = range(10, 19)


class TestTable:
    def test_has_one_row_for_each_setting(self):
        names = [setting.name for setting in SETTINGS]
        assert len(names) == len(set(names))

    @pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
    def test_a_row_does_not_contradict_itself(self, setting):
        assert setting.until is None or setting.since <= setting.until
        assert setting.reload_since is None or setting.reload_since >= setting.since
        # What stands in recovery.conf is read at a start only.
        assert not (setting.recovery_conf and (setting.reload_since or 12) < 12)
        assert setting.harmful is None or setting.harmless not in (None, setting.harmful)
        # A place of the other host must not act here.
        assert setting.leftover or not setting.place

    def test_what_ends_recovery_or_names_another_node_is_left_over(self):
        assert {name for name in LEFTOVERS if name.startswith("recovery_target")} == {
            "recovery_target", "recovery_target_action", "recovery_target_inclusive", "recovery_target_lsn",
            "recovery_target_name", "recovery_target_time", "recovery_target_timeline", "recovery_target_xid",
        }  # fmt: skip
        assert {"primary_conninfo", "primary_slot_name", "restore_command", "standby_mode"} <= set(LEFTOVERS)

    def test_what_a_user_chooses_for_a_standby_stays(self):
        assert not {"hot_standby_feedback", "max_standby_archive_delay", "archive_mode"} & set(LEFTOVERS)

    def test_places(self):
        assert sorted(PLACES) == ["config_file", "data_directory", "external_pid_file", "hba_file", "ident_file"]


class TestHome:
    @pytest.mark.parametrize(
        ("name", "major", "file"),
        [
            ("primary_conninfo", 11, RECOVERY_CONF),
            ("primary_conninfo", 12, AUTO_CONF),
            ("recovery_end_command", 11, RECOVERY_CONF),
            ("recovery_target_time", 11, RECOVERY_CONF),
            ("recovery_target_time", 12, AUTO_CONF),
            ("standby_mode", 10, RECOVERY_CONF),
            ("hot_standby_feedback", 10, AUTO_CONF),
            ("work_mem", 10, AUTO_CONF),
        ],
    )
    def test_by_version(self, name, major, file):
        assert home(name, major) == file

    def test_the_server_knows_by_name_what_does_not_stand_in_recovery_conf(self):
        wanted = {"primary_conninfo": "host=p", "recovery_end_command": "true", "work_mem": "1MB"}
        assert of_server(wanted, 11) == {"work_mem": "1MB"}
        assert of_server(wanted, 12) == wanted


class TestHarmlessValues:
    @pytest.mark.parametrize("major", VERSIONS)
    def test_harm_nothing_themselves(self, major):
        for setting in SETTINGS:
            values = harmless_values({setting.name: setting.harmful or "x"}, major)
            assert harmless_values(values, major) == {}
            assert values in ({}, {setting.name: setting.harmless})

    def test_are_those_of_settings_that_the_version_has_in_its_configuration(self):
        everything = {setting.name: setting.harmful or "x" for setting in SETTINGS}
        assert harmless_values(everything, 11) == {"archive_mode": "on", "hot_standby": "on"}
        assert harmless_values(everything, 15).keys() - harmless_values(everything, 16).keys() == {
            "promote_trigger_file"
        }

    def test_case_does_not_matter(self):
        assert harmless_values({"archive_mode": "ALWAYS"}, 15) == {"archive_mode": "on"}


class TestNeeds:
    @pytest.mark.parametrize(
        ("changed", "major", "need"),
        [
            ([], 15, None),
            (["primary_conninfo"], 12, "restart"),
            (["primary_conninfo"], 13, "reload"),
            (["primary_slot_name"], 12, "restart"),
            (["primary_slot_name"], 13, "reload"),
            (["restore_command"], 13, "restart"),
            (["restore_command"], 14, "reload"),
            (["archive_cleanup_command"], 12, "reload"),
            (["recovery_min_apply_delay"], 12, "reload"),
            (["recovery_target_timeline"], 17, "restart"),
            (["max_connections"], 17, "restart"),
            (["unheard_of"], 17, "restart"),
            (["sync_replication_slots"], 17, "reload"),
            (["wal_receiver_create_temp_slot"], 13, "reload"),
            (["primary_conninfo", "restore_command"], 13, "restart"),
            (["primary_conninfo", "restore_command"], 14, "reload"),
        ],
    )
    def test_by_version(self, changed, major, need):
        assert needs(iter(changed), major) == need
