# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conf import quote
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.conf import Line, lenient, strict, tablespace
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=()))


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
