# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program said of its failure is told, whatever else stands on its stderr.

``ssh-9.2p1.json`` was recorded from OpenSSH 9.2p1 on both ends, with rsync 3.5.0, bash 5.2 and perl 5.36, and with a
banner that says much of what ssh says. The three lines in which OpenSSH warns since 10.1 are those of its source,
sshconnect2.c.
"""

from __future__ import annotations

import json

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.exit_codes import (
    barman_failure,
    rsync_failure,
    ssh_failure,
    tar_failure,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by, without_chatter
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import FIXTURES

RECORDED = json.loads((FIXTURES / "ssh-9.2p1.json").read_text(encoding="utf-8"))

WEAK_KEY_EXCHANGE = """\
** WARNING: connection is not using a post-quantum key exchange algorithm.
** This session may be vulnerable to "store now, decrypt later" attacks.
** The server may need to be upgraded. See https://openssh.com/pq.html
"""
NEW_HOST = "Warning: Permanently added '127.0.0.1' (ED25519) to the list of known hosts.\n"
BANNER = """\
Permission denied to all but the owner. Connection timed out? Connection refused? Call 555.
Too many authentication failures lead to a lock: account is locked. Your password has expired? Call 555.
Could not resolve hostname? No space left on device? rsync: command not found? is your shell clean?
"""
LOCALE = "bash: line 1: warning: setlocale: LC_ALL: cannot change locale (th_TH.UTF-8): No such file or directory\n"
PERL = """\
perl: warning: Setting locale failed.
perl: warning: Please check that your locale settings:
\tLANGUAGE = (unset),
\tLC_ALL = "th_TH.UTF-8",
    are supported and installed on your system.
perl: warning: Falling back to the standard locale ("C").
"""
PYTHON = """\
/usr/lib/python3/dist-packages/barman/utils.py:34: DeprecationWarning: pkg_resources is deprecated as an API.
  import pkg_resources
"""
CHATTER = {
    "weak key exchange": WEAK_KEY_EXCHANGE,
    "new host": NEW_HOST,
    "locale": LOCALE,
    "perl's locale": PERL,
    "python's warning": PYTHON,
    "blanks": " \n\t\n",
}


@pytest.mark.parametrize("text", CHATTER.values(), ids=CHATTER)
def test_chatter_is_no_reason(text):
    assert without_chatter(text) == []


# What ssh says, what it means, whether trying again helps, and the line for the message.
BY_SSH = {
    "unknown_host_key": ("ssh_host_key", False, "No ED25519 host key is known for"),
    "changed_key": ("ssh_host_key", False, "Host key verification failed."),
    "denied": ("ssh_auth", False, "root@127.0.0.1: Permission denied (publickey"),
    "invalid_key": ("ssh_key_unusable", False, 'Load key "bad": error in libcrypto'),
    "loose_key": ("ssh_key_unusable", False, "Permissions 0644 for 'loose' are too open."),
    "no_key": ("ssh_key_unusable", False, "Warning: Identity file nosuch not accessible"),
    "bad_option": ("ssh_config_invalid", False, "command-line: line 0: Bad configuration option: nonsense"),
    "bad_config": ("ssh_config_invalid", False, "conf: line 1: Bad configuration option: nonsense"),
    "no_match": ("ssh_no_match", False, "Unable to negotiate with 127.0.0.1 port 22922: no matching host key type"),
    "no_match_rsa": ("ssh_no_match", False, "Unable to negotiate with 127.0.0.1 port 22922: no matching host key type"),
    "no_kex": ("ssh_no_match", False, "Unable to negotiate with 127.0.0.1 port 22922: no matching key exchange method"),
    "no_cipher": ("ssh_no_match", False, "Unable to negotiate with 127.0.0.1 port 22922: no matching cipher"),
    "unresolved": ("ssh_unknown_host", False, "ssh: Could not resolve hostname nosuch.invalid"),
    "refused": ("ssh_refused", False, "ssh: connect to host 127.0.0.1 port 1: Connection refused"),
    "jump_refused": ("ssh_refused", False, "channel 0: open failed: connect failed: Connection refused"),
}
BEFORE = pytest.mark.parametrize("before", ["", WEAK_KEY_EXCHANGE, NEW_HOST, BANNER], ids=["", "pq", "new", "banner"])


@BEFORE
@pytest.mark.parametrize(("name", "expected"), BY_SSH.items(), ids=BY_SSH)
def test_what_ssh_says(name, expected, before):
    stderr = before + RECORDED[name]["stderr"]
    found, said = ssh_failure(stderr), said_by("ssh", stderr)
    assert (found.code, found.retry) == expected[:2]
    assert said.startswith(expected[2])


# What is the far end's, or the network's, for now. From OpenSSH's source where no version is named.
TEMPORARY = {
    "ssh: Could not resolve hostname backup: Temporary failure in name resolution": "ssh_unknown_host",
    "kex_exchange_identification: Connection closed by remote host\nConnection closed by 1.0.0.1 port 2": "ssh_dropped",
    "kex_exchange_identification: banner line 0: Not allowed at this time": "ssh_dropped",  # 9.8, PerSourcePenalties
    "kex_exchange_identification: banner line 0: Exceeded MaxStartups": "ssh_dropped",
    "Connection reset by 10.89.2.11 port 22": "ssh_dropped",  # 10.6, PerSourcePenalties
    "ssh: connect to host backup port 22: Connection timed out": "ssh_timeout",
    "ssh: connect to host backup port 22: No route to host": "ssh_timeout",
    "Read from remote host backup: Connection reset by peer\nclient_loop: send disconnect: Broken pipe": "ssh_failed",
    "": "ssh_failed",
}


@BEFORE
@pytest.mark.parametrize(("stderr", "code"), TEMPORARY.items(), ids=lambda text: text[:40])
def test_what_passes_is_tried_again_whatever_a_banner_says(stderr, code, before):
    found = ssh_failure(before + stderr)
    assert (found.code, found.retry) == (code, True)


def test_a_dropped_login_names_both_that_may_drop_it():
    step = ssh_failure("Connection reset by 10.89.2.11 port 22").next_step
    assert "MaxStartups" in step
    assert "PerSourcePenaltyExemptList" in step


GONE = "rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]\n"


class TestABannerOfManyWords:
    """Nothing of it is taken for a reason, and no retry is lost."""

    @pytest.mark.parametrize("rc", [10, 12, 30, 255])
    def test_an_rsync_that_broke_off_is_tried_again(self, rc):
        assert rsync_failure(rc, BANNER + GONE).retry

    def test_what_rsync_says_of_files_counts(self):
        recorded = RECORDED["rsync_nofile"]
        assert rsync_failure(recorded["rc"], BANNER + recorded["stderr"]).code == "backup_files_missing"
        assert rsync_failure(RECORDED["rsync_denied"]["rc"], RECORDED["rsync_denied"]["stderr"]).code == "ssh_auth"

    def test_an_archive_that_is_damaged(self):
        assert tar_failure(1, BANNER + "gzip: stdin: unexpected end of file", True).code == "archive_damaged"

    def test_a_barman_that_fails(self):
        assert barman_failure(1, BANNER + "ERROR: boom").code == "barman_failed"


# Who fails, what is on stderr, and the line for the message.
SAID = [
    ("cat", RECORDED["banner_ok_command_fails"]["stderr"], "cat: /nosuch: No such file or directory"),
    ("nosuch-barman", RECORDED["no_command"]["stderr"], "bash: line 1: nosuch-barman: command not found"),
    ("barman", RECORDED["no_command"]["stderr"], "bash: line 1: nosuch-barman: command not found"),
    ("barman", RECORDED["locale"]["stderr"], "ERROR: real"),
    ("rsync", RECORDED["rsync_denied"]["stderr"], "root@127.0.0.1: Permission denied (publickey,password,"),
    ("rsync", RECORDED["rsync_nofile"]["stderr"], 'rsync: [sender] link_stat "/nosuch" failed: No such file'),
    ("rsync", BANNER + GONE + "rsync error: unexplained error (code 255)\n", "rsync error: unexplained error"),
    (
        "barman",
        "2026-11-30 12:00:00,001 [7] barman.config WARNING: x is deprecated in the configuration file\n"
        "2026-11-30 12:00:00,002 [7] barman.server ERROR: connection to server failed\n",
        "2026-11-30 12:00:00,002 [7] barman.server ERROR: connection to server failed",
    ),
    ("barman", PYTHON + "INFO: hello\nEXCEPTION: boom\nSee log file for more details.\n", "EXCEPTION: boom"),
    ("barman-wal-restore", WEAK_KEY_EXCHANGE + NEW_HOST + "ERROR: no such segment\n", "ERROR: no such segment"),
    (
        "python3",
        BANNER + "Traceback (most recent call last):\n  File \"<string>\", line 1, in <module>\nKeyError: 'x'\n",
        "KeyError: 'x'",
    ),
    (
        "postgres",  # 15.18, 17.10 and 18.6 alike
        '2026-11-30 LOG:  skipping missing configuration file "/c/postgresql.auto.conf"\n'
        '2026-11-30 LOG:  unrecognized configuration parameter "nonsense" in file "/c/postgresql.conf" line 1\n'
        '2026-11-30 FATAL:  configuration file "/c/postgresql.conf" contains errors\n',
        '2026-11-30 LOG:  unrecognized configuration parameter "nonsense"',
    ),
    (
        "postgres",
        'LOG:  skipping missing configuration file "/c/x"\nFATAL:  invalid value for parameter "a": "25d"\nHINT:  Value'
        " exceeds integer range.\n",
        'FATAL:  invalid value for parameter "a": "25d"',
    ),
    (
        "psql",
        'psql: error: connection to server at "p" (::1), port 5432 failed: Connection refused\n\tIs it running?\n'
        'connection to server at "p" (127.0.0.1), port 5432 failed: FATAL:  no pg_hba.conf entry for host "::2"\n',
        'connection to server at "p" (127.0.0.1), port 5432 failed: FATAL:  no pg_hba.conf entry',
    ),
    ("pg_rewind", "pg_rewind: hint: x\npg_rewind: warning: y\npg_rewind: error: no\n", "pg_rewind: error: no"),
    ("libpq", 'relation "x" does not exist\nLINE 1: SELECT x\n', 'relation "x" does not exist'),
    (
        "/usr/lib/postgresql/15/bin/pg_ctl",
        "pg_ctl: could not start server\nExamine the log output.\n",
        "pg_ctl: could not",
    ),
    ("unknown", BANNER + "something went wrong\n", "something went wrong"),
    ("unknown", "", ""),
    ("unknown", WEAK_KEY_EXCHANGE, "** WARNING: connection is not using a post-quantum"),
]


@pytest.mark.parametrize(("program", "stderr", "line"), SAID)
def test_the_line_that_says_why(program, stderr, line):
    assert said_by(program, stderr).startswith(line)
    assert bool(said_by(program, stderr)) == bool(line)


@pytest.mark.parametrize(("program", "stderr", "line"), [row for row in SAID if row[2] and not row[1].startswith("**")])
@pytest.mark.parametrize("before", CHATTER.values(), ids=CHATTER)
def test_chatter_before_it_changes_nothing(before, program, stderr, line):
    assert said_by(program, before + stderr) == said_by(program, stderr)
