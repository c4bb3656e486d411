# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program said about its failure, out of all that stands on its stderr. Pure. Private to the collection.

Before the reason come banners of a login, warnings of ssh, of locales and of Python, and log lines that are no errors.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

__all__ = ["by_ssh", "line_of", "said_by", "without_chatter"]

# What is never why a program failed: since OpenSSH 10.1 three lines about the key exchange of an older server
# (ssh_config(5), WarnWeakCrypto), what is added to known_hosts, the frame of a warning.
_WARNING = re.compile(r"\*\* |@+$|(\S+: )?warning: |WARNING: |Pseudo-terminal will not be allocated", re.IGNORECASE)

# The shells', locale's and Perl's on a locale that is not installed (bash, locale.c; perl, locale.c).
_LOCALE = re.compile(r".*\bsetlocale: .*cannot change locale|(locale: )?[Cc]annot set LC_\w+ to default locale")
_PERL_BEGINS, _PERL_ENDS = "perl: warning: Setting locale failed", "perl: warning: Falling back"

# `FILE:LINE: DeprecationWarning: ...` (Python, warnings.py), and the line of the source after it, which is indented.
_PYTHON_WARNING = re.compile(r".*:\d+: \w*Warning: ")

# Barman's log lines (barman, cli.py): the level at the beginning, or after time, process and module.
_BARMAN_ROUTINE = re.compile(r"(\d{4}-\d\d-\d\d \S+ \[\d+\] \S+ )?(DEBUG|INFO|WARNING|WARN): ")
_BARMAN_ERROR = r"(\d{4}-\d\d-\d\d \S+ \[\d+\] \S+ )?(ERROR|EXCEPTION|CRITICAL|FATAL): "

# What OpenSSH itself says of a connection that is not made, or breaks: each of its own shape, which no banner has.
_SSH = "|".join(
    (
        r"(\S+@)?\S+: Permission denied \(|Permission denied \(|Permission denied, please try again",
        r"Host key verification failed\.$|No \S+ host key is known for ",
        r"@ +WARNING: (REMOTE HOST IDENTIFICATION|UNPROTECTED PRIVATE KEY)",
        r"ssh: |channel \d+: open failed: |stdio forwarding failed",
        r"(kex|ssh)_exchange_identification: |banner exchange: |Connection timed out during banner",
        r"Connection (closed|reset) by \S+ port \d+$|Connection to \S+ (closed by|port \d+ )",
        r"Read from remote host |client_loop: |packet_write_|ssh_packet_|ssh_dispatch_run_fatal: |Timeout, server ",
        r"Bad owner or permissions on |Bad permissions|Load key \"|Permissions 0\d+ for '|no such identity: ",
        r"Warning: Identity file .* not accessible|sign_and_send_pubkey: ",
        r"Unable to negotiate with |no matching .* found|Received disconnect from |Disconnect(ed|ing) (from )?\S+",
        r"\S+:? line \d+: ([Bb]ad|[Mm]issing|[Uu]nsupported|[Kk]eyword|[Gg]arbage|[Ii]nvalid|extra) ",
        r"\S+: terminating, \d+ bad |mux_client_|ControlPath |unix_listener: ",
        r"(WARNING: )?Your password has expired\.$|Password change required but|Your account has expired",
        r"This account is (currently not available|locked)",
    )
)
_BY_SSH = re.compile(_SSH)

# What comes last of these is the consequence of what came before.
_SSH_CONSEQUENCE = re.compile(
    r"(Connection (closed|reset) by|client_loop|Disconnected from|\S+: terminating|Host key verification)"
)

# The lines that tell why, best first; of those of one kind the first is told.
_POSTGRESQL = (
    r".*\b(PANIC|FATAL): ",
    r"[\w./-]+: (fatal|error): |.*\bERROR: ",
    r".*(connection to server|could not connect|failed:)",
)
_PREFERRED = {
    "rsync": (
        r"rsync: (?!connection unexpectedly closed)|\[\w+\] ",
        r"protocol version mismatch",
        _SSH,
        r"rsync error: ",
    ),
    "barman": (_BARMAN_ERROR,),
    "python3": (r"(\w+\.)*\w*(Error|Exception|Exit|Interrupt)\b",),
    **dict.fromkeys(
        ("libpq", "psql", "pg_ctl", "pg_rewind", "pg_basebackup", "pg_verifybackup", "initdb"), _POSTGRESQL
    ),
}

# A server says what is wrong with a file by LOG lines before the FATAL one that only counts them.
_SERVER_SUMMARY = re.compile(r".*FATAL: .*contains errors")
_SERVER_LINE = re.compile(r".*\b(LOG|ERROR|FATAL|PANIC): +(?! *skipping missing configuration file)")

# What no program of PostgreSQL gives as the reason.
_POSTGRESQL_ROUTINE = re.compile(
    r".*\b(LOG|NOTICE|INFO|HINT|DETAIL|WARNING|CONTEXT|STATEMENT): |[\w./-]+: (hint|detail|warning|info): "
)

# A shell, on a program that it cannot start.
_SHELL = r"(\S*/)?(ba|da|k|z)?sh: "


def without_chatter(text: str) -> list[str]:
    """The lines that may tell why a program failed, without blanks around them; empty if there are none."""
    kept: list[str] = []
    of_perl = of_python = False
    for line in text.splitlines():
        of_perl = (of_perl or line.startswith(_PERL_BEGINS)) and bool(line.strip())
        if of_perl:
            of_perl = not line.startswith(_PERL_ENDS)
            continue
        if of_python and line[:1] in (" ", "\t"):
            of_python = False
            continue
        of_python = _PYTHON_WARNING.match(line) is not None
        said = line.strip()
        if said and not of_python and not _WARNING.match(said) and not _LOCALE.match(said):
            kept.append(said)
    return kept


def by_ssh(text: str) -> list[str]:
    """The lines that OpenSSH itself has written about a connection: no banner is among them."""
    return [line.strip() for line in text.splitlines() if _BY_SSH.match(line.strip())]


def said_by(program: str, text: str) -> str:
    """The one line in which a program says why it failed, for a message; chatter only if there is nothing else.

    ``program`` is its name or path: that of what was run, on this host or through ssh. ``libpq`` stands for what
    psycopg2 raises.
    """
    name = posixpath.basename(program)
    family = "barman" if name.startswith("barman") else name
    lines = without_chatter(text)
    if not lines:
        return next((line.strip() for line in text.splitlines() if line.strip()), "")
    if family == "postgres":
        return _of_server(lines)
    if family == "ssh":
        return _of_ssh(text) or lines[-1]
    if family == "python3":
        return next((line for line in reversed(lines) if re.match(_PREFERRED[family][0], line)), lines[-1])
    kinds = _PREFERRED.get(family, (rf"(\S*/)?{re.escape(name)}: ",))
    if kinds is _POSTGRESQL:
        lines = [line for line in lines if not _POSTGRESQL_ROUTINE.match(line) or "FATAL:" in line] or lines
    if family == "barman":
        lines = [line for line in lines if not _BARMAN_ROUTINE.match(line)] or lines
    for kind in (*kinds, rf"(\S*/)?{re.escape(name)}: ", _SHELL):
        found = _first(kind, lines)
        if found is not None:
            return found
    # A banner comes first. What psycopg2 raises has none, and Barman marks its errors where it has one.
    return _of_ssh(text) or (lines[0] if family in ("libpq", "barman") else lines[-1])


def line_of(text: str, words: str) -> str | None:
    """The first line in which these words are, a pattern; one that only explains another counts last."""
    found = [line for line in without_chatter(text) if re.search(words, line)]
    reasons = [line for line in found if not _POSTGRESQL_ROUTINE.match(line)]
    return next(iter(reasons or found), None)


def _of_ssh(text: str) -> str | None:
    own = by_ssh(text)
    whole = [line for line in own if not line.startswith("@")] or own
    told = [line for line in whole if not _SSH_CONSEQUENCE.match(line) and not line.startswith("WARNING: ")]
    return next(iter(told or whole), None)


def _of_server(lines: Sequence[str]) -> str:
    """Of the program ``postgres``, asked for a setting or started."""
    own = [line for line in lines if _SERVER_LINE.match(line)]
    ends = [line for line in own if _first(_POSTGRESQL[0], [line]) is not None and not _SERVER_SUMMARY.match(line)]
    return (ends or own or [line for line in lines if "skipping missing" not in line] or lines)[0]


def _first(kind: str, lines: Sequence[str]) -> str | None:
    return next((line for line in lines if re.match(kind, line)), None)
