# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.leftovers import (
    foreign_paths,
    neutralised,
    without_leftovers,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.settings import LEFTOVERS


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
            ({"hot_standby": "off"}, {"hot_standby": "on"}),
            ({"hot_standby": "FALSE"}, {"hot_standby": "on"}),
            ({"hot_standby": "0"}, {"hot_standby": "on"}),
            ({"hot_standby": "yes"}, {}),
        ],
    )
    def test_is_what_nobody_asked_for(self, configured, found):
        assert neutralised(configured, {"restore_command": "mine"}, 15) == found

    @pytest.mark.parametrize(
        ("configured", "auto_conf", "found"),
        [
            ({}, "hot_standby = 'off'\narchive_mode = always\n", {"hot_standby": "on", "archive_mode": "on"}),
            ({"hot_standby": "off"}, "hot_standby = 'on'\n", {}),
            ({"hot_standby": "off"}, "hot_standby = on\nHot_Standby = off\n", {"hot_standby": "on"}),
            ({"archive_mode": "always"}, "archive_mode = 'off'\n", {}),
            ({}, "recovery_target_time = '2020-01-01'\n", {}),
            ({"recovery_target_time": "2020-01-01"}, "recovery_target_time = ''\n", {"recovery_target_time": ""}),
        ],
        ids=["ALTER SYSTEM", "overruled already", "the last counts", "somebody's choice", "a leftover", "overruled"],
    )
    def test_is_also_what_alter_system_has_left(self, configured, auto_conf, found):
        """A leftover goes from that file, so that it need not be overruled there; what overrules another file stays."""
        assert neutralised(configured, {}, 15, auto_conf) == found

    def test_is_only_what_the_version_knows(self):
        assert neutralised({"recovery_target_time": "x", "archive_mode": "always"}, {}, 11) == {"archive_mode": "on"}

    def test_is_nothing_that_the_version_does_not_take(self):
        configured = {"promote_trigger_file": "/tmp/go"}
        assert neutralised(configured, {}, 15) == {"promote_trigger_file": ""}
        assert neutralised(configured, {}, 16) == {}

    def test_is_not_what_was_asked_for(self):
        assert neutralised({"archive_mode": "always"}, {"archive_mode": "always"}, 15) == {}


class TestLeftovers:
    def test_go(self):
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
