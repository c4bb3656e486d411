# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.inputs import as_upstream, translate
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.names import BACKUP_API, CLONE, OTHERS
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=()))
PREFIX = "standby_from_barman_"


def inputs(*settings, conninfo=None):
    found = translate(settings, conninfo or {}).inputs
    assert all(name.startswith(PREFIX) for name in found)
    return {name.removeprefix(PREFIX): value for name, value in found.items()}


def refused(*settings, conninfo=None):
    return {item.name: item for item in translate(settings, conninfo or {}).unsupported}


@pytest.mark.parametrize(
    ("setting", "value", "name", "ours"),
    [
        ("barman_host", "barman@b", "host", "barman@b"),
        ("barman_server", "pg", "server", "pg"),
        ("barman_config", "/etc/b.conf", "config", "/etc/b.conf"),
        ("data_directory", "/srv//pg/", "data_directory", "/srv/pg"),
        ("config_directory", "/etc/pg/", "config_directory", "/etc/pg"),
        ("pg_bindir", "/usr/lib/postgresql/15/bin/", "pg_bindir", "/usr/lib/postgresql/15/bin"),
        ("replication_user", "r", "replication_user", "r"),
        ("node_name", "n1", "application_name", "n1"),
        ("restore_command", "cp '/a/%f' %p", "restore_command", "cp '/a/%f' %p"),
        ("archive_cleanup_command", "x %r", "archive_cleanup_command", "x %r"),
        ("recovery_min_apply_delay", "30min", "recovery_min_apply_delay", "30min"),
        ("passfile", "/p", "passfile", "/p"),
        ("tablespace_mapping", "/a=/b", "tablespace_mapping", {"/a": "/b"}),
        ("ssh_options", "-p 2222 -o 'User=x y'", "ssh_options", ["-p", "2222", "-o", "User=x y"]),
        ("pg_basebackup_options", "--waldir=/w/", "waldir", "/w"),
        ("pg_basebackup_options", "--xlogdir /w", "waldir", "/w"),
        ("use_primary_conninfo_password", "on", "use_primary_conninfo_password", True),
        ("use_replication_slots", "1", "slot_name", "auto"),
        ("service_start_command", "systemctl start pg.service", "service", "pg"),
    ],
)
def test_a_setting_has_its_input(setting, value, name, ours):
    assert inputs((setting, value)) == {name: ours}
    assert refused((setting, value)) == {}


def test_the_slot_has_the_name_that_repmgr_gives_it():
    assert inputs(("node_id", "07"), ("use_replication_slots", "TRUE")) == {"slot_name": "repmgr_slot_7"}
    assert inputs(("node_id", "7"), ("use_replication_slots", "off")) == {}


def test_the_last_line_of_a_name_counts_and_the_first_of_a_tablespace():
    found = inputs(
        ("node_name", "a"),
        ("node_name", "b"),
        ("passfile", "/p"),
        ("passfile", ""),
        ("tablespace_mapping", "/a=/1"),
        ("tablespace_mapping", "/b=/2"),
        ("tablespace_mapping", "/a=/3"),
    )
    assert found == {"application_name": "b", "tablespace_mapping": {"/a": "/1", "/b": "/2"}}


def test_repmgrs_own_ssh_options_are_no_opinion():
    assert inputs(("ssh_options", "-q -o ConnectTimeout=10")) == {}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rsync_options", "--archive", "bwlimit"),
        ("replication_type", "bdr", "remove"),
        ("node", "1", "node_id"),
        ("upstream_node", "1", "upstream_conninfo"),
        ("pg_backupapi_host", "b", "_host"),
        ("pg_backupapi_backup_id", "b", "_backup_id"),
        ("pg_basebackup_options", "-X stream --waldir", "leave them out"),
        ("pg_basebackup_options", "'", "_waldir"),
        ("ssh_options", "'", "_ssh_options"),
        ("service_start_command", "pcs resource enable pg", "_service"),
    ],
)
def test_what_has_no_input_says_what_to_do(name, value, said):
    found = refused((name, value))[name]
    assert (found.value, said in found.next, bool(found.why)) == (value, True, True)
    assert inputs((name, value)) == {}


def test_the_backup_api_is_nothing_to_repmgr_itself_beside_barman():
    found = translate([("barman_host", "b"), ("pg_backupapi_host", "b")], {})
    assert (found.unsupported, found.ignored) == ([], ["pg_backupapi_host"])


@pytest.mark.parametrize(
    ("settings", "conninfo", "lacking"),
    [
        ({}, {}, {"host", "server", "data_directory", "upstream_conninfo"}),
        ({"barman_host": "b", "barman_server": "pg", "data_directory": "/d"}, {}, {"upstream_conninfo"}),
        (
            {"barman_host": "b", "barman_server": "", "data_directory": "/d", "use_primary_conninfo_password": "yes"},
            {"user": "repmgr"},
            {"server", "upstream_conninfo", "upstream_password"},
        ),
    ],
)
def test_what_is_missing_is_named(settings, conninfo, lacking):
    found = translate(list(settings.items()), conninfo).missing
    assert {item.input for item in found} == {PREFIX + name for name in lacking}
    assert all(item.why and item.next for item in found)
    [upstream] = [item for item in found if item.input.endswith("upstream_conninfo")]
    assert ("user repmgr" in upstream.next) == bool(conninfo)


def test_a_secret_of_the_conninfo_is_told_of_and_not_shown():
    conninfo = {"host": "n1", "password": "s3cret", "sslpassword": "0ther"}
    found = translate([("conninfo", "host=n1 password=s3cret sslpassword=0ther")], conninfo)
    assert [(item.name, item.value) for item in found.unsupported] == [("conninfo", None)] * 2
    assert "upstream_password" in found.unsupported[0].next
    assert "s3cret" not in str(found)
    assert "0ther" not in str(found)


def test_a_value_with_a_password_in_it_is_not_shown():
    found = refused(("pg_basebackup_options", "-d 'host=p password=s3cret'"), ("rsync_options", "-a"))
    assert (found["pg_basebackup_options"].value, found["rsync_options"].value) == (None, "-a")


def test_a_conninfo_that_libpq_does_not_take():
    [found] = translate([("conninfo", "hots=x")], None).unsupported
    assert (found.name, found.value) == ("conninfo", None)


@pytest.mark.parametrize(
    ("conninfo", "user", "expected"),
    [
        ({"host": "p", "user": "repmgr", "dbname": "repmgr"}, None, {"host": "p", "user": "repmgr"}),
        ({"host": "p", "user": "repmgr"}, "streamer", {"host": "p", "user": "streamer"}),
        ({"host": "p"}, "streamer", {"host": "p", "user": "streamer"}),
        (
            {"host": "p", "sslmode": "require", "password": "x", "passfile": "/p", "application_name": "p"},
            None,
            {"host": "p", "sslmode": "require"},
        ),
    ],
)
def test_the_node_as_an_upstream(conninfo, user, expected):
    assert as_upstream(conninfo, user) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tablespace_mapping", "/a"),
        ("tablespace_mapping", ""),
        ("recovery_min_apply_delay", "-5min"),
        ("recovery_min_apply_delay", "5 min"),
        ("recovery_min_apply_delay", "5 weeks"),
        ("node_id", "one"),
        ("node_id", "0"),
        ("node_id", "-1"),
        ("node_id", "9999999999"),
        ("use_replication_slots", "maybe"),
        ("use_primary_conninfo_password", "2"),
    ],
)
def test_a_value_with_which_repmgr_does_not_start_is_refused(name, value):
    with pytest.raises(StandbyError, match=name) as refusal:
        translate([(name, value)], {})
    assert refusal.value.code == "repmgr_conf_invalid"


@given(st.lists(st.tuples(st.sampled_from(sorted(CLONE | BACKUP_API | OTHERS | {"odd"})), VALUES)))
def test_no_setting_gets_lost(settings):
    """Whatever the values: each setting becomes an input, or is named in one of the lists, or repmgr refuses it."""
    try:
        found = translate(settings, {})
    except StandbyError:
        return
    given_names = {name for name, value in dict(settings).items() if value}
    assert {name for name in given_names if name in OTHERS} <= set(found.ignored)
    assert ("odd" in dict(settings)) == (found.unknown == ["odd"])
    told = {item.name for item in found.unsupported} | set(found.ignored)
    assert given_names & BACKUP_API <= told


def test_names_are_told_apart():
    found = translate([("promote_command", "x"), ("failover", "manual"), ("barman_hots", "x"), ("NODE_ID", "1")], {})
    assert (found.ignored, found.unknown) == (["failover", "promote_command"], ["NODE_ID", "barman_hots"])
