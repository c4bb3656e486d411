# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server's log says of a reload. Real servers say it in tests/servers/test_reload_words.py."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._server.log_lines import of_stderr
from ansible_collections.pgfleet.standby.plugins.module_utils._server.reload_words import reload_words

BEGINS = "LOG:  received SIGHUP, reloading configuration files\n"
WAITS = 'LOG:  parameter "shared_buffers" cannot be changed without restarting the server\n'
UNAFFECTED = 'LOG:  configuration file "/srv/postgresql.conf" contains errors; unaffected changes were applied\n'
NONE = 'LOG:  configuration file "/srv/postgresql.conf" contains errors; no changes were applied\n'
UNKNOWN = 'LOG:  unrecognized configuration parameter "nosuch" in file "/srv/postgresql.conf" line 7\n'
CHANGED = 'LOG:  parameter "work_mem" changed to "5MB"\n'


def refused(text):
    return reload_words(of_stderr(text)).refused


@pytest.mark.parametrize(
    "text",
    [
        "",
        BEGINS,
        BEGINS + CHANGED,
        BEGINS + WAITS + UNAFFECTED,
        BEGINS + WAITS + "LOG:  duration: 5 ms\nLOG:  checkpoint starting: time\n" + UNAFFECTED,
        UNKNOWN + BEGINS + WAITS + UNAFFECTED,
        BEGINS + WAITS + 'ERROR:  relation "x" does not exist\n' + UNAFFECTED,
        "LOG:  something of a backend\n" + BEGINS,
    ],
    ids=[
        "nothing",
        "no change",
        "a change",
        "a restart is needed",
        "routine",
        "of earlier",
        "of a client",
        "of others",
    ],
)
def test_nothing_is_refused(text):
    assert refused(text) == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (BEGINS + UNKNOWN + UNAFFECTED, 'unrecognized configuration parameter "nosuch"'),
        (BEGINS + 'LOG:  syntax error in file "/srv/postgresql.conf" line 3, near end\n' + NONE, "syntax error"),
        (BEGINS + 'LOG:  invalid value for parameter "work_mem": "a lot"\n' + UNAFFECTED, "invalid value"),
        (BEGINS + WAITS + UNKNOWN + UNAFFECTED, "nosuch"),
        (BEGINS + 'LOG:  invalid authentication method "x"\nLOG:  pg_hba.conf was not reloaded\n', "not reloaded"),
        (BEGINS + 'LOG:  invalid authentication method "x"\nLOG:  pg_hba.conf not reloaded\n', "authentication method"),
        (BEGINS + "LOG:  x\nLOG:  /etc/pg/pg_ident.conf was not reloaded\n", "pg_ident.conf"),
        (BEGINS + 'LOG:  could not load server certificate file "server.crt": No such file or directory\n'
         "LOG:  SSL configuration was not reloaded\n", "server.crt"),
    ],
)  # fmt: skip
def test_what_is_refused_is_told(text, line):
    told = refused(text)
    assert any(line in one for one in told)
    assert not any("received SIGHUP" in one or "cannot be changed" in one for one in told)


def test_what_waits_for_a_restart_is_told_by_its_name():
    said = reload_words(of_stderr(BEGINS + WAITS + WAITS + UNAFFECTED))
    assert (said.begun, said.waiting) == (True, ("shared_buffers",))


def test_a_secret_in_a_line_is_not_told():
    text = BEGINS + 'LOG:  invalid value for parameter "primary_conninfo": "host=p password=hunter2"\n' + UNAFFECTED
    assert "hunter2" not in " ".join(refused(text))
