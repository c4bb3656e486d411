# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conf import quote
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.conf import Line, lenient, strict, tablespace
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.files import load
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.inputs import _unit_of, as_upstream, translate
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.names import BACKUP_API, CLONE, OTHERS, RENAMED
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
    ("line", "name", "value"),
    [
        pytest.param("node_id=1", "node_id", "1", id="a number"),
        pytest.param("node_id 1", "node_id", "1", id="no equal sign"),
        pytest.param("node_name= node1 # me", "node_name", "node1", id="comment"),
        pytest.param("node_name\t=\tnode1\r", "node_name", "node1", id="tabs and CRLF"),
        pytest.param("conninfo ='host=n1 user=repmgr'", "conninfo", "host=n1 user=repmgr", id="quotes"),
        pytest.param("conninfo'host=n1'", "conninfo", "host=n1", id="nothing between"),
        pytest.param("x = 'it''s'", "x", "it's", id="doubled quote"),
        pytest.param(r"x = 'it\'s \\ \101'", "x", "it's \\ A", id="escapes"),
        pytest.param("x = '# no comment'", "x", "# no comment", id="hash in quotes"),
        pytest.param("x = ''", "x", "", id="empty"),
        pytest.param("x = 5min", "x", "5min", id="a unit"),
        pytest.param("x = 0x1F", "x", "0x1F", id="hexadecimal"),
        pytest.param("x = -1.5e3", "x", "-1.5e3", id="a real number"),
        pytest.param("x = backup.example.com", "x", "backup.example.com", id="two dots in a word"),
        pytest.param("x = ssh-host:22/a", "x", "ssh-host:22/a", id="punctuation in a word"),
        pytest.param("Node_ID = 1", "Node_ID", "1", id="case is kept"),
        pytest.param("a.b = 1", "a.b", "1", id="qualified name"),
    ],
)
def test_reads_what_repmgr_5_reads(line, name, value):
    assert strict(line) == ((Line(1, name, value),), ())


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("data_directory = /var/lib/pgsql", id="a path without quotes"),
        pytest.param("conninfo=host=n1 user=repmgr", id="a conninfo without quotes"),
        pytest.param("barman_host = backup.example", id="one dot makes a name with a class"),
        pytest.param("barman_host = barman@backup", id="at sign"),
        pytest.param("barman_host = 10.0.0.1", id="an address is two numbers"),
        pytest.param("node_name", id="no value"),
        pytest.param("node_name =", id="no value after the sign"),
        pytest.param("= 1", id="no name"),
        pytest.param("'node_id' = 1", id="name in quotes"),
        pytest.param("node-id = 1", id="no such word"),
        pytest.param("x = 'open", id="open quote"),
        pytest.param("x = 'a' 'b'", id="two values"),
        pytest.param("x = $1", id="no token at all"),
    ],
)
def test_refuses_what_repmgr_5_refuses(line):
    assert strict(f"a = 1\n{line}") == ((Line(1, "a", "1"),), (2,))


@given(VALUES)
def test_what_is_quoted_is_read_back(value):
    assert strict(f"name = {quote(value)}").lines == (Line(1, "name", value),)


@given(st.text())
def test_any_text_can_be_read(text):
    for read in (strict, lenient):
        found = read(text)
        assert {line.number for line in found.lines}.isdisjoint(found.refused)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        pytest.param("conninfo=host=n1 user=repmgr", "conninfo", "host=n1 user=repmgr", id="no quotes"),
        pytest.param("data_directory = /var/lib/pgsql \r", "data_directory", "/var/lib/pgsql", id="a path"),
        pytest.param("x = 'a ''b' # c", "x", "a b", id="quotes are dropped"),
        pytest.param("x = 'a#b'", "x", "a", id="hash ends it in quotes as well"),
        pytest.param("node _id = 1", "node_id", "1", id="spaces in the name are dropped"),
        pytest.param("x =", "x", "", id="empty"),
        pytest.param(r"x = a\'b", "x", r"a\b", id="a backslash is a backslash"),
    ],
)
def test_reads_what_repmgr_4_reads(line, name, value):
    assert lenient(line) == ((Line(1, name, value),), ())


def test_what_repmgr_4_passes_over():
    assert lenient("\n  \n# a = 1\n #b=2\nword\n= 1\nhost, password = x\n") == ((), (5, 6, 7))


@pytest.mark.parametrize(
    ("value", "pair"),
    [
        ("/a=/b", ("/a", "/b")),
        ("/a/=/b//c/", ("/a", "/b/c")),
        (r"/a\=1=/b\=2", ("/a=1", "/b=2")),
        ("//a==/b", ("/a", "/b")),
        ("/a", None),
        ("/a=", None),
        ("=/b", None),
        ("/a=/b=/c", None),
    ],
)
def test_tablespaces(value, pair):
    assert tablespace(value) == pair


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
    ("command", "directory", "unit"),
    [
        ("systemctl start postgresql@15-main", "", "postgresql@15-main"),
        ("sudo -n /bin/systemctl --no-ask-password start postgresql-15.service", "", "postgresql-15"),
        ("sudo systemctl start postgresql", "/var/lib/postgresql/15/main/", "postgresql@15-main"),
        ("sudo systemctl start postgresql", "/var/lib/pgsql/data", "postgresql"),
        ("sudo service postgresql-15 start", "", "postgresql-15"),
        ("sudo pg_ctlcluster 15 main start", "", "postgresql@15-main"),
        ("/usr/lib/postgresql/15/bin/pg_ctl -D /srv/pg start", "", ""),
        ("systemctl --user start pg", "", None),
        ("systemctl start a b", "", None),
        ("systemctl start -x", "", None),
        ("systemctl restart pg", "", None),
        ("systemctl start pg && logger done", "", None),
        ("systemctl start $UNIT", "", None),
        ("pcs resource enable pg", "", None),
        ("sudo", "", None),
        ("'", "", None),
        ("", "", None),
    ],
)
def test_the_unit_of_a_command(command, directory, unit):
    assert _unit_of(command, directory) == unit


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


def test_names_are_told_apart():
    found = translate([("promote_command", "x"), ("failover", "manual"), ("barman_hots", "x"), ("NODE_ID", "1")], {})
    assert (found.ignored, found.unknown) == (["failover", "promote_command"], ["NODE_ID", "barman_hots"])


def test_every_name_is_in_one_table():
    tables = (CLONE, BACKUP_API, OTHERS, frozenset(RENAMED))
    assert len(frozenset().union(*tables)) == sum(map(len, tables))


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


@pytest.fixture
def write(tmp_path):
    def files(**texts):
        for name, text in texts.items():
            path = tmp_path / name.replace("__", "/").replace("_conf", ".conf")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return str(tmp_path / "repmgr.conf")

    return files


def test_includes_are_followed_where_they_stand(write, tmp_path):
    path = write(
        repmgr_conf="a = 1\ninclude 'd/one.conf'\ninclude_if_exists = absent\nINCLUDE_DIR d\na = 4\n",
        d__one_conf="a = 2\ninclude 'two.conf'\n",
        d__two_conf="b = 3\n",
        d__other="c = 1\n",
    )
    (tmp_path / "d" / ".hidden.conf").write_text("c = 1\n")
    (tmp_path / "d" / "directory.conf").mkdir()
    found = load(path)
    one = [("a", "2"), ("b", "3")]
    assert found.settings == [("a", "1"), *one, *one, ("b", "3"), ("a", "4")]
    assert [file.rpartition("/")[2] for file in found.files] == [
        *("repmgr.conf", "one.conf", "two.conf", "one.conf", "two.conf", "two.conf"),
    ]
    assert (found.syntax, found.refused) == ("5", [])


def test_a_file_of_repmgr_4_is_read_by_its_rules(write):
    found = load(write(repmgr_conf="node_id=1\nconninfo=host=n1 user=repmgr\ndata_directory='/d'\n"))
    assert found.syntax == "4"
    assert found.settings == [("node_id", "1"), ("conninfo", "host=n1 user=repmgr"), ("data_directory", "/d")]
    assert [place.rpartition("/")[2] for place in found.refused] == ["repmgr.conf:2"]


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        pytest.param({}, "repmgr_conf_missing", id="no file"),
        pytest.param({"repmgr_conf": "include absent"}, "repmgr_conf_missing", id="no file to include"),
        pytest.param({"repmgr_conf": "include_dir absent"}, "repmgr_conf_unreadable", id="no directory"),
        pytest.param({"repmgr_conf": "include '/'"}, "repmgr_conf_unreadable", id="a directory"),
        pytest.param({"repmgr_conf": "include ' '"}, "repmgr_conf_invalid", id="no name"),
        pytest.param({"repmgr_conf": "include 'repmgr.conf'"}, "repmgr_conf_invalid", id="itself"),
        pytest.param({"repmgr_conf": "include x", "x": "include 'repmgr.conf'"}, "repmgr_conf_invalid", id="a circle"),
        pytest.param({"repmgr_conf": "conninfo 'pass word"}, "repmgr_conf_invalid", id="neither syntax"),
        pytest.param({"repmgr_conf": "a=/b\ninclude x", "x": "c = 1"}, "repmgr_conf_invalid", id="both syntaxes"),
        pytest.param({"repmgr_conf": "a=/b\ninclude_if_exists = x"}, "repmgr_conf_invalid", id="both with a sign"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_a_code(write, texts, code):
    with pytest.raises(StandbyError) as refusal:
        load(write(**texts))
    assert refusal.value.code == code
    assert "pass word" not in refusal.value.msg
