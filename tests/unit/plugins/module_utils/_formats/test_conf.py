# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conf import Setting, edit, quote, read
from hypothesis import given
from hypothesis import strategies as st

LINES = st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=()))
NAMES = st.sampled_from(["port", "work_mem", "primary_conninfo", "ext.setting"])
ASSIGNMENTS = st.builds("{} = {}".format, NAMES | NAMES.map(str.upper), LINES.map(quote))
TEXTS = st.lists(ASSIGNMENTS | LINES | st.just("") | LINES.map("# {}".format)).map("\n".join)
WANTED = st.dictionaries(NAMES, LINES)


# As servers read them: tests/servers asks one.
@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        pytest.param("port = 5433", "port", "5433", id="plain"),
        pytest.param("port=5433", "port", "5433", id="no spaces"),
        pytest.param("port 5433", "port", "5433", id="no equal sign"),
        pytest.param("port'5433'", "port", "5433", id="nothing between"),
        pytest.param("\t port\t=\t5433 \t", "port", "5433", id="tabs"),
        pytest.param("port = 5433\r", "port", "5433", id="CRLF"),
        pytest.param("Port = 5433", "port", "5433", id="upper case"),
        pytest.param("port = '5433'", "port", "5433", id="quoted"),
        pytest.param("ext.level = high", "ext.level", "high", id="of an extension"),
        pytest.param("work_mem = 10MB# much", "work_mem", "10MB", id="comment"),
        pytest.param("path = '/a' # and more", "path", "/a", id="comment after quotes"),
        pytest.param("path = a/b:c.d-e", "path", "a/b:c.d-e", id="bare punctuation"),
        pytest.param("path = '#no comment'", "path", "#no comment", id="hash in quotes"),
        pytest.param("path = ''", "path", "", id="empty"),
        pytest.param("path = 'it''s'", "path", "it's", id="doubled quote"),
        pytest.param(r"path = 'it\'s'", "path", "it's", id="escaped quote"),
        pytest.param(r"path = 'a\\b'", "path", r"a\b", id="backslash"),
        pytest.param(r"path = 'a\tb'", "path", "a\tb", id="tab"),
        pytest.param(r"path = 'a\101b'", "path", "aAb", id="octal"),
        pytest.param(r"path = 'a\303\251b'", "path", "aéb", id="a character of two bytes"),
        pytest.param(r"path = 'a\351b'", "path", "a\udce9b", id="a byte that is no character"),
        pytest.param(r"path = 'a\000b'", "path", "a", id="NUL ends it"),
        pytest.param("port+5", "port", "+5", id="a sign instead of a space"),
        pytest.param("\xe9.x = a\xa0b", "\xe9.x", "a\xa0b", id="letters above ASCII"),
        pytest.param(r"path = 'q\qx'", "path", "qqx", id="needless backslash"),
    ],
)
def test_reads_what_postgresql_reads(line, name, value):
    assert read(line) == [Setting(0, name, value)]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "# port = 5433",
        "port",
        "port =",
        "= 5433",
        "'port' = 5433",
        "5port = 5433",
        "path = 'open",
        "path = a b",
        "path = 'abc'x",
        "port\v= 1",
        "\fport = 1",
        "path = 'abc' 'd'",
    ],
)
def test_passes_over_what_sets_nothing(line):
    assert read(line) == []


def test_reads_every_occurrence_in_order():
    assert read("a = 1\n\nb = 2\nA = 3\n") == [Setting(0, "a", "1"), Setting(2, "b", "2"), Setting(3, "a", "3")]


@given(LINES)
def test_what_is_quoted_is_read_back(value):
    assert read(f"name = {quote(value)}") == [Setting(0, "name", value)]


@pytest.mark.parametrize("value", ["a\0b", "a\nb", "a\rb"], ids=["NUL", "line feed", "carriage return"])
def test_refuses_to_quote_what_no_file_can_hold(value):
    with pytest.raises(ValueError, match="neither NUL nor line breaks"):
        quote(value)


@pytest.mark.parametrize(
    ("before", "wanted", "unwanted", "after"),
    [
        pytest.param("", {"port": "1"}, (), "port = '1'\n", id="into nothing"),
        pytest.param("a = 1\n", {"port": "1"}, (), "a = 1\nport = '1'\n", id="at the end"),
        pytest.param("a = 1", {"port": "1"}, (), "a = 1\nport = '1'\n", id="after a line without an end"),
        pytest.param("a = 1\n\n\n", {"port": "1"}, (), "a = 1\nport = '1'\n", id="without a gap"),
        pytest.param("port = 1 # mine\n", {"port": "1"}, (), "port = 1 # mine\n", id="there already"),
        pytest.param("PORT = 1\n", {"port": "1"}, (), "PORT = 1\n", id="there in upper case"),
        pytest.param("port = 2\na = 1\n", {"port": "1"}, (), "a = 1\nport = '1'\n", id="another value"),
        pytest.param("port = 1\na = 1\nPort = 1\n", {"port": "1"}, (), "a = 1\nport = '1'\n", id="twice"),
        pytest.param("# port = 2\n", {"port": "1"}, (), "# port = 2\nport = '1'\n", id="comment stays"),
        pytest.param("a = 1\nPort = 2\nb = 3\n", {}, ("port",), "a = 1\nb = 3\n", id="unwanted"),
        pytest.param("port = 1\n", {"port": "1"}, ("port",), "port = 1\n", id="wanted wins over unwanted"),
        pytest.param("a = 1\n\n", {}, ("port",), "a = 1\n\n", id="nothing to do changes no byte"),
        pytest.param("ports = 1\nport2 = 1\n", {}, ("port",), "ports = 1\nport2 = 1\n", id="other names alike"),
    ],
)
def test_edit(before, wanted, unwanted, after):
    assert edit(before, wanted, unwanted) == after


@given(TEXTS, WANTED, st.sets(NAMES))
def test_an_edited_text_says_what_is_wanted_and_once_only(text, wanted, unwanted):
    found = [(setting.name, setting.value) for setting in read(edit(text, wanted, unwanted))]
    assert {name: value for name, value in found if name in wanted} == wanted
    assert sorted(name for name, _value in found if name in wanted) == sorted(wanted)
    assert not {name for name, _value in found} & (unwanted - set(wanted))


@given(TEXTS, WANTED, st.sets(NAMES))
def test_editing_twice_is_editing_once(text, wanted, unwanted):
    once = edit(text, wanted, unwanted)
    assert edit(once, wanted, unwanted) == once


@given(TEXTS, WANTED, st.sets(NAMES))
def test_editing_keeps_every_other_line_in_its_place(text, wanted, unwanted):
    ours = {"port", "work_mem", "primary_conninfo", "ext.setting"} & (set(wanted) | unwanted)

    def others(edited):
        numbers = {setting.line for setting in read(edited) if setting.name in ours}
        return [line for number, line in enumerate(edited.split("\n")) if number not in numbers and line.strip()]

    assert others(edit(text, wanted, unwanted)) == others(text)


@pytest.mark.parametrize("include", ["include", "include_dir", "include_if_exists"])
def test_a_wanted_setting_comes_after_whatever_is_included(include):
    before = f"port = 1\n{include} 'other'\n"
    after = f"{include} 'other'\nport = '1'\n"
    assert edit(before, {"port": "1"}) == after
    assert edit(after, {"port": "1"}) == after
