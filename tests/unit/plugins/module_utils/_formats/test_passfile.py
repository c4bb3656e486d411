# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.passfile import Key, edit, keys_of
from hypothesis import example, given
from hypothesis import strategies as st

KEY = Key("primary", "5432", "replication", "replicator")
LINE = "primary:5432:replication:replicator:"
OTHERS = "# mine\nother:5432:*:app:secret\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{LINE}new\n"),
        (f"{LINE}new\n", f"{LINE}new\n"),
        (f"{LINE}new", f"{LINE}new"),
        (f"{LINE}new:ignored\n", f"{LINE}new:ignored\n"),
        ("*:*:*:replicator:new\n", "*:*:*:replicator:new\n"),
        (f"{LINE}old\n", f"{LINE}new\n"),
        (OTHERS, f"{OTHERS}{LINE}new\n"),
        (f"{LINE}old\n{OTHERS}{LINE}older\n", f"{OTHERS}{LINE}new\n"),
        (f"{OTHERS}*:*:*:*:other\n{LINE}new\n", f"{OTHERS}{LINE}new\n*:*:*:*:other\n"),
        ("# no end", f"# no end\n{LINE}new\n"),
    ],
    ids=[
        "no file", "there", "there, no end of line", "a colon ends it", "there by asterisks", "another password",
        "other logins", "twice", "hidden by asterisks", "a last line without end",
    ],
)  # fmt: skip
def test_the_line(before, after):
    assert edit(before, [KEY], "new") == after
    assert edit(after, [KEY], "new") == after


@pytest.mark.parametrize(
    ("keywords", "keys"),
    [
        ({"host": "a", "user": "u"}, ["a:5432:replication:u"]),
        ({"host": "a", "port": "6000", "user": "u"}, ["a:6000:replication:u"]),
        ({"hostaddr": "10.0.0.1", "user": "u"}, ["10.0.0.1:5432:replication:u"]),
        ({"host": "a", "hostaddr": "10.0.0.1", "user": "u"}, ["a:5432:replication:u"]),
        ({"host": "a,b", "port": "1,2", "user": "u"}, ["a:1:replication:u", "b:2:replication:u"]),
        ({"host": "a,b", "port": "6000", "user": "u"}, ["a:6000:replication:u", "b:6000:replication:u"]),
        ({"host": "a,a", "user": "u"}, ["a:5432:replication:u"]),
    ],
)
def test_one_for_every_host_of_the_upstream(keywords, keys):
    assert [str(key) for key in keys_of(keywords)] == keys


@pytest.mark.parametrize("keywords", [{}, {"host": "a"}, {"user": "u"}, {"host": "a,", "user": "u"}])
def test_a_login_without_host_or_user_has_no_line(keywords):
    with pytest.raises(StandbyError) as refused:
        keys_of(keywords)
    assert refused.value.code == "passfile_incomplete"


@pytest.mark.parametrize("password", ["", "a\nb", "a\rb", "a\0b"])
def test_a_password_that_no_line_can_hold(password):
    with pytest.raises(StandbyError) as refused:
        edit("", [KEY], password)
    assert refused.value.code == "password_invalid"
    assert not password or password not in refused.value.msg


@pytest.mark.parametrize("host", [":", "a:", "fe80::", "a\\", "::1"])
def test_a_line_of_ours_is_known_again(host):
    key = Key(host, "5432", "replication", "u:")
    line = edit("", [key], "new")
    assert edit(line, [key], "new") == line
    assert edit(line, [key], "newer") == line.replace("new", "newer")


def test_a_line_that_ends_before_the_password_is_no_entry():
    assert edit("a:b:c:d\na:b\n", [Key("a", "b", "c", "d")], "new") == "a:b\na:b:c:d:new\n"


def libpq_finds(text: str, key: Key) -> str | None:
    """What fe-connect.c's passwordFromFile does, character by character."""
    for line in text.split("\n"):
        rest = line
        for wanted in key:
            place, matched = 0, True
            if rest.startswith("*:"):
                rest = rest[2:]
                continue
            while place < len(rest) and rest[place] != ":":
                place += rest[place] == "\\"
                matched, wanted = matched and wanted[:1] == rest[place : place + 1], wanted[1:]
                place += 1
            if not matched or wanted or place >= len(rest):
                break
            rest = rest[place + 1 :]
        else:
            password, place = "", 0
            while place < len(rest) and rest[place] != ":":
                place += rest[place] == "\\" and place + 1 < len(rest)
                password += rest[place]
                place += 1
            return password
    return None


WORDS = st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]), min_size=1)
FIELDS = WORDS.filter(lambda text: text != "*")


@example(":", "0", "0", [])
@given(FIELDS, FIELDS, WORDS, st.lists(WORDS, max_size=3))
def test_libpq_finds_every_password(host, user, password, lines):
    key = Key(host, "5432", "replication", user)
    before = "".join(f"{line}\n" for line in lines)
    after = edit(before, [key], password)
    # A host that begins a comment cannot be looked up: such a line is none.
    assert host.startswith("#") or libpq_finds(after, key) == password
    assert host.startswith("#") or edit(after, [key], password) == after
