# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.leftovers import (
    LEFTOVERS,
    foreign_paths,
    neutralised,
    without_leftovers,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.settings import (
    needs,
    require_standby,
    wanted_settings,
)


class TestNeutralised:
    """What configuration files of the host say must not promote a standby or archive in its upstream's place."""

    @pytest.mark.parametrize(
        ("configured", "found"),
        [
            ({}, {}),
            ({"recovery_target_time": "2020-01-01", "port": "1"}, {"recovery_target_time": ""}),
            ({"recovery_target_time": ""}, {}),
            ({"restore_command": "cp"}, {}),
            ({"archive_cleanup_command": "rm"}, {"archive_cleanup_command": ""}),
            ({"archive_mode": "always"}, {"archive_mode": "on"}),
            ({"archive_mode": "on"}, {}),
        ],
    )
    def test_is_what_nobody_asked_for(self, configured, found):
        assert neutralised(configured, {"restore_command": "mine"}, 15) == found

    def test_is_only_what_the_version_knows(self):
        assert neutralised({"recovery_target_time": "x", "archive_mode": "always"}, {}, 11) == {"archive_mode": "on"}

    def test_is_not_what_was_asked_for(self):
        assert neutralised({"archive_mode": "always"}, {"archive_mode": "always"}, 15) == {}


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
            (["primary_conninfo", "restore_command"], 13, "restart"),
            (["primary_conninfo", "restore_command"], 14, "reload"),
        ],
    )
    def test_by_version(self, changed, major, need):
        assert needs(iter(changed), major) == need


class TestLeftovers:
    def test_go(self):
        assert len(LEFTOVERS) == len(set(LEFTOVERS)) > 10
        for name in LEFTOVERS:
            assert without_leftovers(f"work_mem = '8MB'\n{name.upper()} = 'x'\n") == "work_mem = '8MB'\n", name

    def test_are_all_that_goes(self):
        text = "# by ALTER SYSTEM\nwork_mem = '8MB'\nprimary_conninfo_x = '1'\nrecovery_prefetch = 'on'\n"
        assert without_leftovers(text) == text

    def test_twice_is_once(self):
        once = without_leftovers("primary_conninfo = 'a'\nprimary_conninfo = 'b'\nwork_mem = 1\n")
        assert without_leftovers(once) == once == "work_mem = 1\n"


class TestForeignPaths:
    TEXT = """\
data_directory = '/var/lib/postgresql/15/main'\t\t# use data in another directory
hba_file = '/etc/postgresql/15/main/pg_hba.conf'\t# host-based authentication file
#ident_file = 'ConfigDir/pg_ident.conf'
include_dir 'conf.d'
include_if_exists = 'more.conf'
port = 5432
ssl_cert_file = '/etc/ssl/certs/ssl-cert-snakeoil.pem'\r
log_directory = '/nowhere'
"""

    def test_what_names_no_place_here_becomes_a_comment(self):
        changed = foreign_paths(self.TEXT, lambda name, value: value == "conf.d").split("\n")
        before = self.TEXT.split("\n")
        assert [line for line, was in zip(changed, before, strict=True) if line != was] == [
            f"#(other host) {line}" for line in before if line.startswith(("data_directory", "hba_file", "include_if"))
        ]

    def test_what_is_asked_are_names_and_values(self):
        asked = []
        foreign_paths(self.TEXT, lambda name, value: asked.append((name, value)))
        assert asked == [
            ("data_directory", "/var/lib/postgresql/15/main"),
            ("hba_file", "/etc/postgresql/15/main/pg_hba.conf"),
            ("include_dir", "conf.d"),
            ("include_if_exists", "more.conf"),
        ]

    def test_nothing_changes_when_all_is_here(self):
        assert foreign_paths(self.TEXT, lambda name, value: True) == self.TEXT

    def test_twice_is_once(self):
        once = foreign_paths(self.TEXT, lambda name, value: False)
        assert foreign_paths(once, lambda name, value: False) == once


class TestRequireStandby:
    @pytest.mark.parametrize(("version", "major"), [("15", 15), ("12", 12), ("9.6", 9)])
    def test_tells_the_major_version(self, version, major):
        assert require_standby(DataDir("/srv/pg", "standby", version=version)) == major

    @pytest.mark.parametrize("state", ["absent", "empty", "incomplete", "cluster", "foreign"])
    def test_refuses_the_rest(self, state):
        with pytest.raises(StandbyError, match=f"/srv/pg is {state}, and a server runs on it") as refused:
            require_standby(DataDir("/srv/pg", state, version="15", pid=4711))
        assert refused.value.code == "data_directory_not_standby"


class TestWantedSettings:
    def test_least(self):
        assert wanted_settings("host=p", None, {}) == {
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
        assert wanted_settings("host=p", "cp %f %p", params) == {
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
        assert wanted_settings("host=p", "", params) == wanted_settings("host=p", None, {})

    @pytest.mark.parametrize("name", ["", "a b", "a\nb", "a=b", "1a", "a.", "a'", "-a", "a#"])
    def test_refuses_what_is_no_name(self, name):
        with pytest.raises(StandbyError, match="is no name of a setting") as refused:
            wanted_settings("host=p", None, {"settings": {name: "1"}})
        assert refused.value.code == "setting_invalid"

    def test_refuses_what_no_file_can_hold(self):
        with pytest.raises(StandbyError, match="The value of archive_cleanup_command cannot be written") as refused:
            wanted_settings("host=p", None, {"archive_cleanup_command": "x\nport = 1"})
        assert refused.value.code == "setting_invalid"

    @pytest.mark.parametrize("name", ["Slot", "a-b", "a b", "x\nport = 1", "a" * 64])
    def test_refuses_a_slot_that_a_server_would_refuse(self, name):
        with pytest.raises(StandbyError) as refused:
            wanted_settings("host=p", None, {"primary_slot_name": name})
        assert refused.value.code == "slot_name_invalid"

    @pytest.mark.parametrize("delay", ["5 fortnights", "min", "x\nport = 1", "1MB"])
    def test_refuses_a_delay_that_is_none(self, delay):
        with pytest.raises(StandbyError) as refused:
            wanted_settings("host=p", None, {"recovery_min_apply_delay": delay})
        assert refused.value.code == "setting_invalid"

    def test_what_is_written_is_read_back(self):
        wanted = wanted_settings("host=p password='it''s'", "cp '/a b/%f' \"%p\" \\", {"settings": {"a": "#'\\"}})
        assert {item.name: item.value for item in _conf.read(_conf.edit("", wanted, LEFTOVERS))} == wanted
