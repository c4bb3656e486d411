# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs print when they fail, and what it means. The texts were recorded from OpenSSH 9.2 and rsync 3.5.0."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.exit_codes import (
    barman_failure,
    rsync_failure,
    ssh_failure,
    tar_failure,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import BARMAN_VERSIONS, barman

UNKNOWN_KEY = """\
No ED25519 host key is known for [127.0.0.1]:22022 and you have requested strict checking.
Host key verification failed.
"""
CHANGED_KEY = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Someone could be eavesdropping on you right now (man-in-the-middle attack)!
It is also possible that a host key has just been changed.
The fingerprint for the ED25519 key sent by the remote host is
SHA256:7u7tbiRlBtZhSHwCY2onGXx0ceKaEXb7+yT3q1FJa+w.
Please contact your system administrator.
Add correct host key in known_hosts to get rid of this message.
Offending ED25519 key in known_hosts:1
  remove with:
  ssh-keygen -f "known_hosts" -R "[127.0.0.1]:22022"
Host key for [127.0.0.1]:22022 has changed and you have requested strict checking.
Host key verification failed.
"""
DENIED = "root@127.0.0.1: Permission denied (publickey,password,keyboard-interactive).\n"
REFUSED = "ssh: connect to host 127.0.0.1 port 22023: Connection refused\n"
UNRESOLVED = "ssh: Could not resolve hostname nosuch.invalid: Name or service not known\n"
TIMEOUT = "ssh: connect to host 127.0.0.1 port 35867: Connection timed out\n"
BANNER_TIMEOUT = "Connection timed out during banner exchange\nConnection to 127.0.0.1 port 35867 timed out\n"
NO_ROUTE = "ssh: connect to host ::2 port 22022: No route to host\n"
CLOSED = "Connection to 127.0.0.1 closed by remote host.\n"
TURNED_AWAY = """\
kex_exchange_identification: Connection closed by remote host
Connection closed by 127.0.0.1 port 22022
"""
TURNED_AWAY_RUDELY = """\
kex_exchange_identification: read: Connection reset by peer
Connection reset by 127.0.0.1 port 22022
"""
RESET_AFTER_LOGIN = """\
Read from remote host 127.0.0.1: Connection reset by peer
client_loop: send disconnect: Broken pipe
"""
SILENT_AFTER_LOGIN = "Read from remote host 127.0.0.1: Connection timed out\n"
NOT_ALIVE = "Timeout, server 127.0.0.1 not responding.\n"

SSH = [
    pytest.param(UNKNOWN_KEY, "ssh_host_key", False, id="unknown host key"),
    pytest.param(CHANGED_KEY, "ssh_host_key", False, id="changed host key"),
    pytest.param(DENIED, "ssh_auth", False, id="permission denied"),
    pytest.param(REFUSED, "ssh_refused", False, id="connection refused"),
    pytest.param(UNRESOLVED, "ssh_unknown_host", False, id="unresolved name"),
    pytest.param(TIMEOUT, "ssh_timeout", True, id="timeout"),
    pytest.param(BANNER_TIMEOUT, "ssh_timeout", True, id="timeout after connecting"),
    pytest.param(NO_ROUTE, "ssh_timeout", True, id="no route"),
    pytest.param(TURNED_AWAY, "ssh_dropped", True, id="turned away before login"),
    pytest.param(TURNED_AWAY_RUDELY, "ssh_dropped", True, id="reset before login"),
]
AFTER_LOGIN = [
    pytest.param(CLOSED, id="closed"),
    pytest.param(RESET_AFTER_LOGIN, id="reset"),
    pytest.param(SILENT_AFTER_LOGIN, id="silent"),
    pytest.param(NOT_ALIVE, id="not alive"),
]

GONE_255 = """\
rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]
rsync error: unexplained error (code 255) at io.c(285) [Receiver=3.5.0]
"""
GONE_12 = """\
rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]
rsync error: error in rsync protocol data stream (code 12) at io.c(285) [Receiver=3.5.0]
"""
GONE_WRITING = """\
rsync: [Receiver] safe_write failed to write 6 bytes to fd 4: Broken pipe (32)
rsync error: error in rsync protocol data stream (code 12) at io.c(387) [Receiver=3.5.0]
"""
NO_FILE = """\
rsync: [sender] link_stat "/var/lib/barman/pg/base/20261121T114827/data/b" failed: No such file or directory (2)
rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1956) [generator=3.5.0]
"""
NO_DIRECTORY = """\
rsync: [sender] change_dir "/var/lib/barman/pg/base/20261121T114827/data/" failed: No such file or directory (2)
rsync error: errors selecting input/output files, dirs (code 3) at flist.c(2791) [sender=3.5.0]
"""
UNREADABLE = """\
rsync: [sender] send_files failed to open "/srv/backup/data/b": Permission denied (13)
rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1956) [generator=3.5.0]
"""
# rsync ends with 11 when a write fails, but with 23 when a file cannot be opened.
HERE_11 = """\
rsync: [receiver] write failed on "/pgdata/base/1/2": {} ({})
rsync error: error in file IO (code 11) at receiver.c(657) [receiver=3.5.0]
rsync: [sender] write error: Broken pipe (32)
"""
HERE_23 = """\
rsync: [receiver] open "/pgdata/base/1/2" failed: {} ({})
rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1956) [generator=3.5.0]
"""
NOT_OURS = """\
rsync: [receiver] failed to set times on "/pgdata/base/1/2": Operation not permitted (1)
rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1956) [generator=3.5.0]
"""
NO_TARGET = """\
rsync: [Receiver] mkdir "/pgdata/base" failed: No such file or directory (2)
rsync error: error in file IO (code 11) at main.c(808) [Receiver=3.5.0]
"""
FAR_DISK = """\
rsync: [sender] read errors mapping "/var/lib/barman/pg/base/20261121T114827/data/b": Input/output error (5)
rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1956) [generator=3.5.0]
"""
CLOSED_DIRECTORY = """\
rsync: [sender] change_dir "/var/lib/barman/pg/base/20261121T114827/data/" failed: Permission denied (13)
rsync error: errors selecting input/output files, dirs (code 3) at flist.c(2791) [sender=3.5.0]
"""
UNCLEAN = """\
protocol version mismatch -- is your shell clean?
(see the rsync manpage for an explanation)
rsync error: protocol incompatibility (code 2) at compat.c(625) [Receiver=3.5.0]
"""
STALLED = """\
[Receiver] io timeout after 1 seconds -- exiting
rsync error: timeout in data send/receive (code 30) at io.c(248) [Receiver=3.5.0]
"""


# OpenSSH 10.1 and later, of a server up to 8.9, before whatever comes next.
WEAK_KEY_EXCHANGE = """\
** WARNING: connection is not using a post-quantum key exchange algorithm.
** This session may be vulnerable to "store now, decrypt later" attacks.
** The server may need to be upgraded. See https://openssh.com/pq.html
"""
NEW_HOST = "Warning: Permanently added '127.0.0.1' (ED25519) to the list of known hosts.\n"
BAD_OPTION = """\
/root/.ssh/config: line 1: Bad configuration option: nonsense
/root/.ssh/config: terminating, 1 bad configuration options
"""
BAD_OWNER = "Bad owner or permissions on /var/lib/postgresql/.ssh/config\n"
NO_MATCH = "Unable to negotiate with 127.0.0.1 port 22022: no matching host key type found. Their offer: ssh-rsa\n"
EXPIRED = """\
WARNING: Your password has expired.
Password change required but no TTY available.
"""


@pytest.mark.parametrize(
    ("stderr", "code", "retry"), [*SSH, pytest.param("", "ssh_failed", True, id="it says nothing")]
)
@pytest.mark.parametrize("before", ["", WEAK_KEY_EXCHANGE, NEW_HOST], ids=["", "weak key exchange", "new host"])
def test_why_ssh_failed(stderr, code, retry, before):
    found = ssh_failure(before + stderr)
    assert (found.code, found.retry) == (code, retry)


@pytest.mark.parametrize(
    ("stderr", "code", "reason"),
    [
        (BAD_OPTION, "ssh_config_invalid", "/root/.ssh/config: line 1: Bad configuration option: nonsense"),
        (BAD_OWNER, "ssh_config_invalid", BAD_OWNER.strip()),
        (NO_MATCH, "ssh_no_match", NO_MATCH.strip()),
        (EXPIRED, "ssh_account", "Password change required but no TTY available."),
    ],
    ids=["option", "owner", "no common algorithm", "expired"],
)
def test_what_trying_again_cannot_mend_is_not_tried_again(stderr, code, reason):
    found = ssh_failure(WEAK_KEY_EXCHANGE + stderr)
    assert (found.code, found.retry) == (code, False)
    assert said_by("ssh", WEAK_KEY_EXCHANGE + stderr) == reason


@pytest.mark.parametrize("stderr", AFTER_LOGIN)
def test_a_connection_that_broke_after_login_is_no_reason_to_look_at_the_login(stderr):
    found = ssh_failure(stderr)
    assert (found.code, found.retry) == ("ssh_failed", True)
    assert "MaxStartups" not in found.next_step


@pytest.mark.parametrize("stderr", AFTER_LOGIN)
@pytest.mark.parametrize(
    ("rc", "trailer", "code"), [(255, GONE_255, "ssh_failed"), (12, GONE_12, "rsync_interrupted")], ids=["255", "12"]
)
def test_rsync_tries_again_when_a_connection_broke_after_login(rc, trailer, code, stderr):
    found = rsync_failure(rc, stderr + trailer)
    assert (found.code, found.retry) == (code, True)


@pytest.mark.parametrize(("stderr", "code", "retry"), SSH)
@pytest.mark.parametrize(("rc", "trailer"), [(255, GONE_255), (12, GONE_WRITING)], ids=["255", "12"])
def test_rsync_tells_why_its_ssh_failed(rc, trailer, stderr, code, retry):
    found = rsync_failure(rc, stderr + trailer)
    assert (found.code, found.retry) == (code, retry)


@pytest.mark.parametrize(
    ("rc", "stderr", "code", "retry"),
    [
        pytest.param(12, "bash: rsync: command not found\n" + GONE_12, "rsync_missing_remote", False, id="no rsync"),
        pytest.param(127, "sh: 1: rsync: not found\n" + GONE_12, "rsync_missing_remote", False, id="no rsync for dash"),
        pytest.param(2, UNCLEAN, "ssh_stdout_polluted", False, id="login scripts print"),
        *(
            pytest.param(rc, text.format(why, number), code, False, id=f"{why.lower()}, {rc}")
            for rc, text in ((11, HERE_11), (23, HERE_23))
            for why, number, code in (
                ("No space left on device", 28, "disk_full"),
                ("Disk quota exceeded", 122, "disk_full"),
                ("Input/output error", 5, "disk_error"),
                ("Read-only file system", 30, "disk_error"),
                ("Structure needs cleaning", 117, "disk_error"),
            )
        ),
        pytest.param(11, HERE_11.format("File too large", 27), "disk_error", False, id="a limit of this host"),
        pytest.param(23, HERE_23.format("Permission denied", 13), "directory_not_writable", False, id="file not ours"),
        pytest.param(
            23, HERE_23.format("No such file or directory", 2), "directory_not_writable", False, id="directory not ours"
        ),
        pytest.param(23, NOT_OURS, "directory_not_writable", False, id="time of a file not ours"),
        pytest.param(11, NO_TARGET, "disk_error", False, id="target gone"),
        pytest.param(23, FAR_DISK, "backup_files_missing", False, id="disk at the far end broken"),
        pytest.param(23, UNREADABLE + NOT_OURS, "directory_not_writable", False, id="both ends refuse"),
        pytest.param(12, CLOSED_DIRECTORY + GONE_12, "backup_files_missing", False, id="directory unreadable"),
        pytest.param(12, GONE_12, "rsync_interrupted", True, id="far end gone"),
        pytest.param(12, NO_DIRECTORY + GONE_12, "backup_files_missing", False, id="directory missing"),
        pytest.param(23, NO_FILE, "backup_files_missing", False, id="file missing"),
        pytest.param(23, UNREADABLE, "backup_files_missing", False, id="file unreadable"),
        pytest.param(24, "", "backup_files_missing", False, id="file vanished"),
        pytest.param(30, STALLED, "rsync_interrupted", True, id="stalled"),
        pytest.param(255, GONE_255, "ssh_failed", True, id="ssh killed"),
        pytest.param(1, "rsync: --what: unknown option\n", "rsync_failed", False, id="usage"),
        pytest.param(1, "", "rsync_failed", False, id="it says nothing"),
        pytest.param(-9, "", "rsync_interrupted", True, id="rsync killed"),
        pytest.param(-15, "", "rsync_interrupted", True, id="rsync ended"),
        pytest.param(10, "", "rsync_interrupted", True, id="socket"),
        pytest.param(35, "", "rsync_interrupted", True, id="daemon"),
    ],
)
def test_why_rsync_failed(rc, stderr, code, retry):
    found = rsync_failure(rc, stderr)
    assert (found.code, found.retry) == (code, retry)


@pytest.mark.parametrize(
    ("rc", "text", "code"),
    [
        pytest.param(127, "bash: barman: command not found\n", "barman_not_found", id="no barman"),
        pytest.param(127, "bash: /opt/no/barman: No such file or directory\n", "barman_not_found", id="no such path"),
        pytest.param(126, "bash: /opt/barman: Permission denied\n", "barman_not_found", id="not executable"),
        pytest.param(1, "ERROR: please run barman as 'barman' user", "barman_wrong_user", id="wrong user"),
        pytest.param(1, "ERROR: configuration file '/x' does not exist", "barman_config", id="no configuration"),
        pytest.param(1, "ERROR: Could not find any configuration file at: [...]", "barman_config", id="none found"),
        pytest.param(1, "EXCEPTION: boom", "barman_failed", id="anything else"),
        pytest.param(
            1,
            "WARNING: 'x' is deprecated in the configuration file\nERROR: connection to server failed",
            "barman_failed",
            id="a word on the configuration beside the error",
        ),
        pytest.param(1, EXPIRED, "ssh_account", id="expired account"),
    ],
)
def test_why_barman_failed(rc, text, code):
    assert barman_failure(rc, text).code == code


@pytest.mark.parametrize("version", BARMAN_VERSIONS)
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("unknown-server", "barman_unknown_server"),
        ("unknown-server-show-servers", "barman_unknown_server"),
        ("unknown-backup", "backup_unknown"),
    ],
)
def test_why_every_barman_failed(version, name, code):
    assert barman_failure(1, barman(version, f"{name}.json")).code == code


@pytest.mark.parametrize(
    ("rc", "stderr", "decompresses", "code", "retry"),
    [
        (255, "client_loop: send disconnect: Broken pipe", False, "ssh_failed", True),
        (255, "Permission denied (publickey).", False, "ssh_auth", False),
        (-9, "", False, "ssh_failed", True),
        (1, "cat: /b/base.tar.gz: No such file or directory", False, "backup_files_missing", False),
        (
            1,
            "zstd: can't stat /b/base.tar.zst : No such file or directory -- ignored",
            True,
            "backup_files_missing",
            False,
        ),
        (1, "gzip: stdin: unexpected end of file", True, "archive_damaged", False),
        (1, "zstd: /*stdin*\\ : Decoding error (36) : Data corruption detected", True, "archive_damaged", False),
    ],
)
def test_why_a_tar_did_not_arrive(rc, stderr, decompresses, code, retry):
    found = tar_failure(rc, stderr, decompresses)
    assert (found.code, found.retry) == (code, retry)
