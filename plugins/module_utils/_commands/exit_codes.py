# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the exit codes and words of ssh, rsync and barman mean. Pure. Private to the collection."""

from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import by_ssh, without_chatter
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal

__all__ = [
    "CONNECTION_ENDED",
    "Diagnosis",
    "barman_failure",
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

# Each is looked for at the beginning of a line: a banner may hold any of these words.
_ACCOUNT = (
    r"^\s*((WARNING: )?Your password has expired|Password change required but|Your account has expired"
    r"|This account is (currently not available|locked))"
)

_ACCOUNT_REFUSED = Refusal(
    "ssh_account",
    "the account there has expired or is locked",
    "have the account on the Barman host renewed (chage, passwd)",
)

# ssh goes on without a key of its own that it cannot use, and is then refused.
_KEY_UNUSABLE = re.compile(
    r"(?m)^(Load key \"|no such identity: |Warning: Identity file .* not accessible"
    r"|Permissions 0\d+ for '|@ +WARNING: UNPROTECTED PRIVATE KEY|sign_and_send_pubkey: )"
)

_OWN_KEY = Diagnosis(
    Refusal(
        "ssh_key_unusable",
        "ssh here cannot use its own key, and was refused without it",
        "mend the key file that ssh names: whole, in a form that this OpenSSH reads, and readable by its owner alone",
    )
)

_SSH = (
    (
        r"^(Host key verification failed\.$|@ +WARNING: REMOTE HOST IDENTIFICATION|No \S+ host key is known)",
        Diagnosis(
            Refusal(
                "ssh_host_key",
                "its host key is unknown or has changed",
                "put the host's public key into known_hosts of the user that connects",
            )
        ),
    ),
    (_ACCOUNT, Diagnosis(_ACCOUNT_REFUSED)),
    (
        r"^(\S+: )?Permission denied \(|^Permission denied, please"
        r"|^(Received disconnect|Disconnect).*Too many authentication f",
        Diagnosis(
            Refusal(
                "ssh_auth",
                "it refused our key",
                "authorise the public key of the user that connects, or name the right user in barman_host",
            )
        ),
    ),
    (
        r"^ssh: Could not resolve hostname .*: (Temporary failure|Try again|Resource temporarily|System error)",
        Diagnosis(
            Refusal(
                "ssh_unknown_host",
                "its name could not be resolved just now",
                "see that this host's DNS answers (resolv.conf), or put the name into /etc/hosts",
            ),
            retry=True,
        ),
    ),
    (
        r"^ssh: Could not resolve hostname ",
        Diagnosis(
            Refusal(
                "ssh_unknown_host", "its name does not resolve", "correct barman_host, or add it to DNS or ssh_config"
            )
        ),
    ),
    (
        r"^(Bad owner or permissions on |\S+: terminating, \d+ bad |\S+:? line \d+: "
        r"([Bb]ad|[Mm]issing|[Uu]nsupported|[Kk]eyword|[Gg]arbage|[Ii]nvalid|extra) )",
        Diagnosis(
            Refusal(
                "ssh_config_invalid",
                "ssh here does not accept its own configuration",
                "mend the file that ssh names, of the user that connects (ssh_config(5)), or its owner and mode",
            )
        ),
    ),
    (
        r"^Unable to negotiate with |^(ssh_dispatch_run_fatal: .*)?no matching .* (found|method)",
        Diagnosis(
            Refusal(
                "ssh_no_match",
                "the two ends have no algorithm in common",
                "allow one that ssh names for this host in ssh_config, or update OpenSSH on the older end",
            )
        ),
    ),
    (
        # After login these lines, too, may end in "Connection reset by peer" or "timed out".
        r"^(Read from remote host |client_loop: send disconnect)",
        Diagnosis(Refusal("ssh_failed", "the connection broke", "check the network, then run again"), retry=True),
    ),
    (
        r"^(ssh: connect to .*|channel \d+: open failed: connect failed): Connection refused",
        Diagnosis(
            Refusal("ssh_refused", "it refused the connection", "start sshd there, or correct the port in ssh_config")
        ),
    ),
    (
        r"^((ssh: connect to .*|channel \d+: open failed: connect failed): "
        r"(.*timed out|No route to host|(Network|Host) is (unreachable|down))"
        r"|Connection timed out during banner|Connection to \S+ port \d+ timed out)",
        Diagnosis(Refusal("ssh_timeout", "it did not answer", "check the network and the firewall"), retry=True),
    ),
    (
        r"^((kex|ssh)_exchange_identification: |Connection (closed|reset) by \S+ port )",
        Diagnosis(
            Refusal(
                "ssh_dropped",
                "it dropped the connection before login",
                "raise MaxStartups in its sshd_config, or start fewer hosts at a time; from OpenSSH 9.8 on sshd also"
                " turns an address away for a while after logins from it that failed: mend those, and name the address"
                " in PerSourcePenaltyExemptList",
            ),
            retry=True,
        ),
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

_NO_RSYNC = re.compile(r"(?m)^(\S*sh: )?((line )?\d+: )?(exec: )?(\S*/)?rsync: (command )?not found")

_UNCLEAN = re.compile(r"(?m)^protocol version mismatch -- is your shell clean")

# What the programs say that read a tar, or the shell that starts them.
_OF_FILE = re.compile(
    r"(?m)^(\S*/)?(cat|tar|gzip|gunzip|pigz|zstd|zstdcat|lz4|lz4cat|bzip2|xz|sh|bash|dash)\b"
    r".*(No such file|Permission denied)"
)

_BROKEN = ("Input/output error", "Read-only file system", "Structure needs cleaning")


def ssh_failure(stderr: str) -> Diagnosis:
    """Why ssh itself failed (exit code 255), by the lines that are ssh's own."""
    said = by_ssh(stderr)
    for words, diagnosis in _SSH:
        if any(re.search(words, line) for line in said):
            if diagnosis.code == "ssh_auth" and _KEY_UNUSABLE.search("\n".join(said)):
                return _OWN_KEY
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
    if re.search(_ACCOUNT, text, re.MULTILINE):  # the shell there refuses, after ssh has logged in
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
    if _NO_CONFIG.search("\n".join(without_chatter(text))):
        return Diagnosis(Refusal("barman_config", "Barman could not read its configuration", "correct barman_config"))
    return Diagnosis(Refusal("barman_failed", "the command failed", "run the same command by hand on the Barman host"))


def rsync_failure(rc: int, stderr: str) -> Diagnosis:
    """Why an rsync pull failed. No code but 0 is success: 23 and 24 mean that files are missing."""
    # rsync sees only that its ssh has gone: with 255, or with 12 when it was just writing to it.
    of_connection = ssh_failure("\n".join(line for line in stderr.splitlines() if not _SAID_BY_RSYNC.match(line)))
    if rc == 255 or (rc == 12 and of_connection.code != "ssh_failed"):
        return of_connection
    if rc == 127 or _NO_RSYNC.search(stderr):
        return Diagnosis(
            Refusal("rsync_missing_remote", "rsync is not installed there", "install rsync on the Barman host")
        )
    if _UNCLEAN.search(stderr):
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
    if decompresses and not _OF_FILE.search(stderr):
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
    said = [line for line in stderr.splitlines() if _SAID_BY_RSYNC.match(line)]
    here = "\n".join(line for line in said if "[sender]" not in line)
    if any(mark in here for mark in _FULL):
        return Diagnosis(Refusal("disk_full", "the disk here is full", "make room, in bytes and inodes (df, df -i)"))
    if rc == 11 or any(mark in here for mark in _BROKEN):
        return Diagnosis(Refusal("disk_error", "writing here failed", "check the file system and the kernel's log"))
    if _REFUSED_HERE.search(here):
        return Diagnosis(
            Refusal("directory_not_writable", "files here cannot be written", "give them to the database's OS user")
        )
    if rc in (23, 24) or (rc == 12 and any("change_dir" in line for line in said)):
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
