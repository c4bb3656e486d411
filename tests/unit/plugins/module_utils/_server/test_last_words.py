# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What servers say of their failures. They were recorded by tests/servers/provocations.py."""

from __future__ import annotations

import csv
import gettext
import io
import json
import re
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._server.causes import CAUSES, cause_of
from ansible_collections.pgfleet.standby.plugins.module_utils._server.last_words import last_words
from ansible_collections.pgfleet.standby.plugins.module_utils._server.log_lines import (
    _LEVELS,
    Message,
    of_csv,
    of_json,
    of_stderr,
    since_last_start,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import FIXTURES

RECORDED = {
    path.stem.partition("-")[2]: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((FIXTURES / "postgresql").glob("server_log-*.json"))
}
SAID = [
    pytest.param(cause, text, id=f"{version}, {cause}")
    for version, log in RECORDED.items()
    for cause, text in log.items()
]

# Where a test machine cannot easily be brought to it: texts that the programs of some major of 10 to 18 hold. Those of
# io_uring and of System V's semaphores, without which these programs are built, are from the source of 18.
OTHERS = {
    "FATAL:  hot standby is not possible because max_connections = 50 is a lower setting than on the master server"
    " (its value was 100)": "limits_below_primary",
    'FATAL:  data directory "/d" has wrong ownership\nHINT:  The server must be started by the user that owns the data'
    " directory.": "directory_owner",
    'FATAL:  could not connect to the primary server: connection to server at "p" (10.0.0.1), port 5432 failed: SSL'
    " error: certificate verify failed": "upstream_certificate",
    'FATAL:  could not start WAL streaming: ERROR:  replication slot "n1" is active for PID 4711': "slot_active",
    'FATAL:  could not start WAL streaming: ERROR:  can no longer access replication slot "n1"\n'
    '\tDETAIL:  This replication slot has been invalidated due to "wal_removed".': "slot_invalidated",
    "FATAL:  could not create semaphores: No space left on device": "semaphores",
    'PANIC:  could not write to file "pg_wal/xlogtemp.12": No space left on device': "disk_full",
    "LOG:  startup process (PID 12) was terminated by signal 9: Killed": "killed",
    "FATAL:  could not setup io_uring queue: Operation not permitted\nHINT:  Check if io_uring is disabled via"
    " /proc/sys/kernel/io_uring_disabled.": "io_uring",
    "FATAL:  WAL ends before consistent recovery point": "wal_too_short",
    "FATAL:  WAL was generated with wal_level=minimal, cannot continue recovering": "wal_level_minimal",
    'FATAL:  WAL was generated with "wal_level=minimal", cannot continue recovering': "wal_level_minimal",
    "PANIC:  WAL contains references to invalid pages": "page_damaged",
    'FATAL:  using recovery command file "recovery.conf" is not supported': "recovery_conf_left",
    "FATAL:  could not connect to the primary server: FATAL:  number of requested standby connections exceeds"
    ' "max_wal_senders" (currently 2)': "upstream_full",
    "FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment 000000010000000000000003 has already"
    " been removed": "wal_removed",
    'LOG:  could not bind IPv4 address "192.0.2.10": Cannot assign requested address\nHINT:  Is another postmaster'
    " already running on port 5432? If not, wait a few seconds and retry.\nFATAL:  could not create any TCP/IP"
    " sockets": "address_unknown",
    'FATAL:  could not create lock file "/run/pg/.s.PGSQL.5432.lock": No such file or directory': "socket_directory",
}


@pytest.mark.parametrize(("cause", "text"), SAID)
def test_what_every_version_says_is_told_and_understood(cause, text):
    words = last_words(of_stderr(text))
    assert words.cause is not None
    assert words.cause.name == cause
    said = re.sub(r" \(line \d+ of configuration file \".*\"\)$", "", words.lines[0])
    assert " ".join(said.split()) in " ".join(text.split())
    assert any(line.startswith(("FATAL:  ", "PANIC:  ")) for line in words.lines)
    assert words.step("otherwise") == words.cause.next_step


@pytest.mark.parametrize("version", RECORDED)
def test_most_causes_are_recorded(version):
    assert len(RECORDED[version]) >= 20


@pytest.mark.parametrize(("text", "cause"), OTHERS.items())
def test_what_else_servers_say(text, cause):
    found = last_words(of_stderr(text)).cause
    assert found is not None
    assert found.name == cause


def test_every_cause_has_a_name_of_its_own_and_a_row_for_people():
    names = [cause.name for cause in CAUSES]
    assert len(set(names)) == len(names)
    page = (Path(__file__).parents[5] / "docs/troubleshooting.md").read_text(encoding="utf-8")
    assert [cause.name for cause in CAUSES if f"| `{cause.name}` | {cause.next_step} |" not in page] == []


def as_csv(messages):
    """As a server of 10 writes it: 23 columns."""
    stream = io.StringIO()
    rows = [["t"] * 11 + [one.level, "XX000", one.text, one.detail, one.hint] + [""] * 7 for one in messages]
    csv.writer(stream, quoting=csv.QUOTE_MINIMAL).writerows(rows)
    return stream.getvalue()


def as_json(messages):
    return "".join(
        json.dumps({"error_severity": one.level, "message": one.text, "detail": one.detail, "hint": one.hint}) + "\n"
        for one in messages
    )


MESSAGES = [
    Message("LOG", 'could not bind IPv4 address "127.0.0.1": Address already in use', hint="Is another one running?"),
    Message("FATAL", "could not create any TCP/IP sockets", detail='of "a", b'),
]


def test_every_form_of_a_log_holds_the_same():
    plain = "".join(f"2026-11-30 [12] {line}\n" for one in MESSAGES for line in one.lines)
    assert of_stderr(plain) == of_csv(as_csv(MESSAGES)) == of_json(as_json(MESSAGES)) == MESSAGES


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_log_that_begins_within_a_message_is_no_riddle(cut):
    for read, text in ((of_csv, as_csv(MESSAGES * 2)), (of_json, as_json(MESSAGES * 2))):
        assert read(text[cut:])[-1] == MESSAGES[-1]


def test_what_goes_on_in_the_next_line_belongs_to_its_message():
    text = "LOG:  a\n\tb\nDETAIL:  c\n\td\nSTATEMENT:  ALTER ROLE x\n\tPASSWORD 'p'\nFATAL:  e\n"
    assert of_stderr(text) == [Message("LOG", "a b", "c d"), Message("FATAL", "e")]


GERMAN = """\
2026-11-30 12:00:00 CET [7] LOG:  konnte IPv4-Adresse »127.0.0.1« nicht binden: Die Adresse wird bereits verwendet
2026-11-30 12:00:00 CET [7] TIPP:  Läuft bereits ein anderer Postmaster auf Port 5432?
2026-11-30 12:00:00 CET [7] FATAL:  konnte keine TCP/IP-Sockets erstellen
2026-11-30 12:00:00 CET [7] LOG:  Datenbanksystem ist heruntergefahren
"""
FRENCH = "2026 [7] PANIC:  n'a pas pu localiser un enregistrement d'un point de vérification valide\n"
RUSSIAN = (
    "2026 [7] СООБЩЕНИЕ:  раз\n2026 [7] ВАЖНО:  каталог данных имеет неправильные права\n2026 [7] СООБЩЕНИЕ:  всё\n"
)
CHINESE = "2026 [7] 致命错误:  无法访问文件\n2026 [7] 日志:  数据库系统已关闭\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GERMAN, "FATAL:  konnte keine TCP/IP-Sockets erstellen"),
        (FRENCH, "PANIC:  n'a pas pu localiser un enregistrement d'un point de vérification valide"),
        (RUSSIAN, "FATAL:  каталог данных имеет неправильные права"),
        (CHINESE, "FATAL:  无法访问文件"),
    ],
    ids=["de", "fr", "ru", "zh"],
)
def test_a_server_of_another_language_is_quoted_and_not_interpreted(text, told):
    words = last_words(of_stderr(text))
    assert words.lines[-1] == told
    assert words.cause is None


def test_a_language_that_nobody_knows_is_quoted_as_well():
    assert last_words(of_stderr("2026 VIRHE:  ei onnistu\n2026 LOKI:  loppu\n")).lines == (
        "2026 VIRHE:  ei onnistu",
        "2026 LOKI:  loppu",
    )


def test_levels_are_those_of_the_catalogues_of_this_machine():
    """Debian's package postgresql-15 brings them; where there are none, the table is all there is."""
    known = {word: level for level, words in _LEVELS.items() for word in words.split()}
    for path in sorted(Path("/usr/share/locale").glob("*/LC_MESSAGES/postgres-*.mo")):
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)
        for level in ("PANIC", "FATAL", "ERROR", "LOG"):
            assert known[catalogue.gettext(level)] == level, path


class TestChatter:
    def test_what_clients_are_told_is_not_why_the_server_ended(self):
        text = (
            'FATAL:  could not access file "pg_nosuch": No such file or directory\nFATAL:  the database system is'
            ' starting up\nFATAL:  password authentication failed for user "x"\nLOG:  database system is shut down\n'
        )
        assert last_words(of_stderr(text)).lines == (
            'FATAL:  could not access file "pg_nosuch": No such file or directory',
        )

    def test_what_systemd_and_pg_ctl_add_is_not(self):
        text = (
            'Starting postgresql-15.service - PostgreSQL...\npostgres: could not access directory "/d": Permission'
            " denied\npostgresql-15.service: Main process exited, code=exited, status=2/INVALIDARGUMENT\n"
            "Failed to start postgresql-15.service - PostgreSQL.\n"
        )
        assert last_words(of_stderr(text)).lines == ('postgres: could not access directory "/d": Permission denied',)

    def test_what_only_systemd_says_is_told(self):
        text = "postgresql-15.service: Failed at step EXEC spawning /usr/pgsql-15/bin/postgres: No such file\n"
        assert last_words(of_stderr(text)).lines == (text.strip(),)

    def test_routine_is_not_told_with_the_reason(self):
        text = "LOG:  starting PostgreSQL 15.18\nLOG:  entering standby mode\nFATAL:  nothing known\n"
        assert last_words(of_stderr(text)).lines == ("FATAL:  nothing known",)

    def test_nothing_is_said(self):
        assert (last_words([]).sentence, last_words([]).step("read")) == ("", "read")


@pytest.mark.parametrize(
    "line",
    [
        'FATAL:  could not connect: invalid value in "host=p password=hunter2"',
        "FATAL:  invalid URI postgresql://u:hunter2@p/x",
        "LOG:  odd: ALTER ROLE u PASSWORD 'hunter2'\nFATAL:  e",
        "FATAL:  e\nSTATEMENT:  ALTER ROLE u PASSWORD 'hunter2'",
        f"FATAL:  {'x' * 490} password=hunter2",
    ],
)
def test_no_secret_is_told(line):
    words = last_words(of_stderr(line))
    assert words.lines
    assert "hunter2" not in words.sentence


def test_the_last_start_is_the_only_one_that_counts():
    old = of_stderr("LOG:  starting PostgreSQL 15.18 on x\nFATAL:  long ago\n")
    new = of_stderr("LOG:  starting PostgreSQL 15.18 on x\nFATAL:  now\n")
    assert since_last_start([*old, *new]) == new
    assert since_last_start(new[1:]) == new[1:]


def test_words_of_nobody_have_no_cause():
    assert cause_of("FATAL:  something that no version says") is None


PLACE = 'line 3 of configuration file "/srv/pg_hba.conf"'


@pytest.mark.parametrize(
    "messages",
    [
        of_stderr(f"LOG:  no such method\nCONTEXT:  {PLACE}\n"),
        of_csv(
            ",".join(
                ["t"] * 11
                + [
                    "LOG",
                    "F0000",
                    "no such method",
                    "",
                    "",
                    "",
                    "",
                    f'"{PLACE.replace(chr(34), chr(34) * 2)}"',
                    *[""] * 4,
                ]
            )
            + "\n"
        ),
        of_json(json.dumps({"error_severity": "LOG", "message": "no such method", "context": PLACE}) + "\n"),
    ],
    ids=["stderr", "csvlog", "jsonlog"],
)
def test_the_place_of_a_mistake_is_told(messages):
    assert [one.text for one in messages] == [f"no such method ({PLACE})"]


def test_the_context_of_a_statement_is_not():
    [message] = of_stderr("ERROR:  no\nCONTEXT:  PL/pgSQL function secret() line 3 at RAISE\n")
    assert message.text == "no"
