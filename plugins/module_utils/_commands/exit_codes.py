# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the exit codes and first words of ssh, rsync and barman mean. Pure. Private to the collection."""

from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal

__all__ = [
    "CONNECTION_ENDED",
    "Diagnosis",
    "barman_failure",
    "first_line",
    "rsync_failure",
    "ssh_failure",
    "tar_failure",
]


class Diagnosis(NamedTuple):
    """Why a program failed: ``refusal.found`` is the end of a sentence that names the program and what it was asked.

    ``retry``: trying again can help.
    """

    refusal: Refusal
    retry: bool = False

    @property
    def code(self) -> str:
        """The failure's stable name."""
        return self.refusal.code

    @property
    def meaning(self) -> str:
        """What went wrong, as the end of a sentence."""
        return self.refusal.found

    @property
    def next_step(self) -> str:
        """What helps."""
        return self.refusal.next_step


CONNECTION_ENDED = Diagnosis(Refusal("ssh_failed", "the connection was ended", "run again"), retry=True)

_ACCOUNT = ("password has expired", "Password change required", "account has expired", "account is locked")

_ACCOUNT_REFUSED = Refusal(
    "ssh_account",
    "the account there has expired or is locked",
    "have the account on the Barman host renewed (chage, passwd)",
)

_SSH = (
    (
        ("Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED", "No ED25519 host key is known"),
        Diagnosis(
            Refusal(
                "ssh_host_key",
                "its host key is unknown or has changed",
                "put the host's public key into known_hosts of the user that connects",
            )
        ),
    ),
    (
        ("Permission denied", "Too many authentication failures"),
        Diagnosis(
            Refusal(
                "ssh_auth",
                "it refused our key",
                "authorise the public key of the user that connects, or name the right user in barman_host",
            )
        ),
    ),
    (
        ("Could not resolve hostname",),
        Diagnosis(
            Refusal(
                "ssh_unknown_host", "its name does not resolve", "correct barman_host, or add it to DNS or ssh_config"
            )
        ),
    ),
    (
        # After login these lines, too, may end in "Connection reset by peer" or "timed out".
        ("Read from remote host", "client_loop: send disconnect"),
        Diagnosis(Refusal("ssh_failed", "the connection broke", "check the network, then run again"), retry=True),
    ),
    (
        ("kex_exchange_identification", "Connection closed by", "Connection reset by"),
        Diagnosis(
            Refusal(
                "ssh_dropped",
                "it dropped the connection before login",
                "raise MaxStartups in its sshd_config, or start fewer hosts at a time",
            ),
            retry=True,
        ),
    ),
    (
        ("Connection refused",),
        Diagnosis(
            Refusal("ssh_refused", "it refused the connection", "start sshd there, or correct the port in ssh_config")
        ),
    ),
    (
        ("Bad owner or permissions on", "Bad configuration option", "terminating, "),
        Diagnosis(
            Refusal(
                "ssh_config_invalid",
                "ssh here does not accept its own configuration",
                "mend the file that ssh names, of the user that connects (ssh_config(5)), or its owner and mode",
            )
        ),
    ),
    (
        ("no matching", "Unable to negotiate"),
        Diagnosis(
            Refusal(
                "ssh_no_match",
                "the two ends have no algorithm in common",
                "allow one that ssh names for this host in ssh_config, or update OpenSSH on the older end",
            )
        ),
    ),
    (_ACCOUNT, Diagnosis(_ACCOUNT_REFUSED)),
    (
        ("timed out", "No route to host", "Network is unreachable"),
        Diagnosis(Refusal("ssh_timeout", "it did not answer", "check the network and the firewall"), retry=True),
    ),
)

# Of rsync(1), EXIT VALUES: socket I/O, the protocol stream, time-outs, ssh's own failure.
_RSYNC_RETRY = {10, 12, 30, 35, 255}

_FULL = ("No space left on device", "Disk quota exceeded")

# An rsync that may not make a file may call it missing: it then fails to open what it could not make.
_REFUSED_HERE = re.compile(
    r"\[(generator|receiver|Receiver)\].*(Permission denied|Operation not permitted|No such file or directory)"
)

_SAID_BY_RSYNC = re.compile(r"rsync(:| error:)|\[")

# What ssh and rsync say before the reason: since OpenSSH 10.1 three lines with two asterisks about the key exchange of
# an older server (ssh_config(5), WarnWeakCrypto), and what is added to known_hosts.
_WARNING = re.compile(r"\*\* |warning: |@+$", re.IGNORECASE)

_BROKEN = ("Input/output error", "Read-only file system", "Structure needs cleaning")


def first_line(text: str) -> str:
    """The first line that says something, for a message; a warning only if there is nothing else."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if not _WARNING.match(line)), lines[0] if lines else "")


def ssh_failure(stderr: str) -> Diagnosis:
    """Why ssh itself failed (exit code 255)."""
    for marks, diagnosis in _SSH:
        if any(mark in stderr for mark in marks):
            return diagnosis
    return Diagnosis(Refusal("ssh_failed", "the connection failed", "try the same ssh command by hand"), retry=True)


# Not what else Barman says of its configuration, such as that an option in it is deprecated.
_NO_CONFIG = re.compile(
    r"(could not|cannot|can't|unable to|failed to) (find|open|read|load|parse)[^\n]*config"
    r"|config[^\n]*(not found|does not exist|cannot be read|no such file|permission denied|parsing error)"
    r"|no such file[^\n]*\.conf|MissingSectionHeader|ParsingError",
    re.IGNORECASE,
)


def barman_failure(rc: int, text: str) -> Diagnosis:
    """Why a barman command failed, from its exit code and what it printed on either stream."""
    if rc in (126, 127):
        return Diagnosis(
            Refusal(
                "barman_not_found",
                "there is no such command",
                "install Barman there, or name its path in barman_executable",
            )
        )
    if "please run barman as" in text.lower() or "must be run as" in text.lower():
        return Diagnosis(
            Refusal("barman_wrong_user", "Barman refuses to run as that user", "connect as Barman's own user")
        )
    if any(mark in text for mark in _ACCOUNT):  # the shell there refuses, after ssh has logged in
        return Diagnosis(_ACCOUNT_REFUSED)
    if "Unknown server" in text:
        return Diagnosis(
            Refusal(
                "barman_unknown_server",
                "Barman does not know that server",
                "correct barman_server, or configure it in Barman",
            )
        )
    if "Unknown backup" in text:
        return Diagnosis(Refusal("backup_unknown", "there is no such backup", "choose one of `barman list-backups`"))
    if _NO_CONFIG.search(text):
        return Diagnosis(Refusal("barman_config", "Barman could not read its configuration", "correct barman_config"))
    return Diagnosis(Refusal("barman_failed", "the command failed", "run the same command by hand on the Barman host"))


def rsync_failure(rc: int, stderr: str) -> Diagnosis:
    """Why an rsync pull failed. No code but 0 is success: 23 and 24 mean that files are missing."""
    # rsync sees only that its ssh has gone: with 255, or with 12 when it was just writing to it.
    of_connection = ssh_failure("\n".join(line for line in stderr.splitlines() if not _SAID_BY_RSYNC.match(line)))
    if rc == 255 or (rc == 12 and of_connection.code != "ssh_failed"):
        return of_connection
    if rc == 127 or "rsync: command not found" in stderr or "rsync: not found" in stderr:
        return Diagnosis(
            Refusal("rsync_missing_remote", "rsync is not installed there", "install rsync on the Barman host")
        )
    if "is your shell clean" in stderr:
        return Diagnosis(
            Refusal(
                "ssh_stdout_polluted",
                "something prints on login, which garbles the protocol",
                "silence the login scripts of the user on the Barman host",
            )
        )
    return _of_files(rc, stderr) or _of_stream(rc)


def tar_failure(rc: int, stderr: str, decompresses: bool) -> Diagnosis:
    """Why a tar did not arrive whole. ``decompresses``: what failed is a program that reads what is in it."""
    if rc == 255:
        return ssh_failure(stderr)
    if rc < 0:
        return CONNECTION_ENDED
    if decompresses and "No such file" not in stderr and "Permission denied" not in stderr:
        return Diagnosis(
            Refusal(
                "archive_damaged",
                "it is damaged, or breaks off",
                "choose another backup_id, and test this one on the Barman host (gzip -t, lz4 -t, zstd -t)",
            )
        )
    return Diagnosis(
        Refusal(
            "backup_files_missing",
            "it cannot be read",
            "check on the Barman host that the backup still exists and is readable",
        )
    )


def _of_files(rc: int, stderr: str) -> Diagnosis | None:
    """What the two ends say of files. The far end, which only reads, calls itself the sender."""
    here = "\n".join(line for line in stderr.splitlines() if "[sender]" not in line)
    if any(mark in here for mark in _FULL):
        return Diagnosis(Refusal("disk_full", "the disk here is full", "make room, in bytes and inodes (df, df -i)"))
    if rc == 11 or any(mark in here for mark in _BROKEN):
        return Diagnosis(Refusal("disk_error", "writing here failed", "check the file system and the kernel's log"))
    if _REFUSED_HERE.search(here):
        return Diagnosis(
            Refusal("directory_not_writable", "files here cannot be written", "give them to the database's OS user")
        )
    if rc in (23, 24) or (rc == 12 and "change_dir" in stderr):
        return Diagnosis(
            Refusal(
                "backup_files_missing",
                "files of the backup could not be read",
                "check on the Barman host that the backup still exists and is readable",
            )
        )
    return None


def _of_stream(rc: int) -> Diagnosis:
    """What is left: the stream broke, a signal ended rsync, or it never began."""
    if rc in _RSYNC_RETRY or rc < 0:
        return Diagnosis(Refusal("rsync_interrupted", "the transfer broke off", "run again: it resumes"), retry=True)
    return Diagnosis(Refusal("rsync_failed", "rsync failed", "read rsync(1), EXIT VALUES"))
