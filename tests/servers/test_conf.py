"""Configuration files: what we write is what a server reads, and what a server reads is what we read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conf import read
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.servers import Server
from hypothesis import given, settings
from hypothesis import strategies as st

FILE = "postgresql.auto.conf"
# A server can hold any text but NUL. We write no line breaks, and what is no text cannot come back by SQL.
TEXTS = st.text(st.characters(exclude_characters="\0\n\r", codec="utf-8"))
# A setting of an extension that is not there is free text, and so is what a standby needs.
FREE = ["pgfleet.free", "application_name", "restore_command", "primary_conninfo", "archive_cleanup_command"]


@pytest.fixture(scope="module", params=[10, 12, 15, 18])
def server(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Server]:
    """Of four versions: the grammar of the files has hardly changed."""
    server = fleet.primary(request.param)
    yield server
    server.put(FILE, "")
    server.reload()


def in_file(server: Server) -> list[tuple[str, str]]:
    """The settings of the file in order, as the server reads it for the question."""
    rows = server.sql(
        "SELECT name, setting, error FROM pg_file_settings WHERE sourcefile = %s ORDER BY seqno",
        str(server.data / FILE),
    )
    return [(name, setting) for name, setting, _error in rows]


@given(value=TEXTS)
def test_a_value_that_we_write_is_the_one_that_the_server_has(server: Server, value: str) -> None:
    server.edit(FILE, {"pgfleet.free": value, "pgfleet.other": "1"})
    assert sorted(in_file(server)) == [("pgfleet.free", value), ("pgfleet.other", "1")]
    server.reload()
    assert server.sql("SELECT current_setting('pgfleet.free')") == [(value,)]


@given(values=st.lists(TEXTS, min_size=len(FREE), max_size=len(FREE)))
def test_what_we_write_beside_each_other_does_not_mix(server: Server, values: list[str]) -> None:
    wanted = dict(zip(FREE, values, strict=True))
    server.edit(FILE, wanted)
    found = dict(in_file(server))
    assert {name: found[name] for name in wanted} == wanted


# Pieces of lines of which some make sense: what PostgreSQL accepts is rare in arbitrary text.
_PIECES = st.sampled_from(
    [
        *(
            "port",
            "Work_Mem",
            "a.b",
            "x",
            "=",
            "==",
            " ",
            "\t",
            "  ",
            "#",
            "'",
            "''",
            "\\",
            "\\'",
            "\\101",
            "\\x",
            "\r",
        ),
        *(
            "5433",
            "+5",
            "-5",
            "0x1F",
            "1.5e3",
            "10MB",
            "on",
            "/a/b",
            "a:b",
            "-",
            ".",
            "_",
            "$",
            "é",
            "\xa0",
            "\f",
            "\v",
        ),
        *("\x1c", "\x85", "\u2028", '"', "'a b'", "'it''s'", "'\\t'", "# note", "a-b", "a/b", "\x01"),
    ]
)
_VALUES = st.one_of(
    st.sampled_from(["1", "'1'", "on", "''", "'a\\nb'", "'\\303\\251'", "10MB", "a.b-c"]),
    st.lists(_PIECES, max_size=4).map(lambda pieces: "'" + "".join(pieces).replace("'", "''") + "'"),
)
_NAMES = st.sampled_from(["port", "PORT", "pgfleet.free", "primary_conninfo", "work_mem", "é.x", "a.b.c"])
_BETWEEN = st.sampled_from(["=", " = ", " ", "\t", "", " =", "= "])
_LINES = st.one_of(
    st.builds("{}{}{}{}".format, _NAMES, _BETWEEN, _VALUES, st.sampled_from(["", " ", "# x", " # 'x'", "\r", "\t\r"])),
    st.lists(_PIECES, max_size=5).map("".join),
    st.just(""),
)


@settings(max_examples=300)
@given(lines=st.lists(_LINES, min_size=1, max_size=3))
def test_what_the_server_reads_is_what_we_read(server: Server, lines: list[str]) -> None:
    """A file with an error in it is refused as a whole; only what is accepted matters."""
    text = "\n".join(lines) + "\n"
    server.put(FILE, text)
    found = in_file(server)
    if not any(name is None for name, _value in found):
        assert [(setting.name, setting.value) for setting in read(text)] == [
            (name.lower(), value) for name, value in found
        ]
