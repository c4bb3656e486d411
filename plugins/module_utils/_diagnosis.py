# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the exit codes and first words of ssh, rsync and barman mean. Pure. Private to the collection."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Diagnosis", "first_line", "of_barman", "of_rsync", "of_ssh"]


class Diagnosis(NamedTuple):
    """``code`` for machines; ``meaning`` and ``next_step`` for the reader; ``retry`` when trying again can help."""

    code: str
    meaning: str
    next_step: str
    retry: bool = False


_SSH = (
    (
        ("Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED", "No ED25519 host key is known"),
        Diagnosis(
            "ssh_host_key",
            "its host key is unknown or has changed",
            "put the host's public key into known_hosts of the user that connects",
        ),
    ),
    (
        ("Permission denied", "Too many authentication failures"),
        Diagnosis(
            "ssh_auth",
            "it refused our key",
            "authorise the public key of the user that connects, or name the right user in barman_host",
        ),
    ),
    (
        ("Could not resolve hostname",),
        Diagnosis(
            "ssh_unknown_host", "its name does not resolve", "correct barman_host, or add it to DNS or ssh_config"
        ),
    ),
    (
        ("Connection refused",),
        Diagnosis("ssh_refused", "it refused the connection", "start sshd there, or correct the port in ssh_config"),
    ),
    (
        ("timed out", "No route to host", "Network is unreachable"),
        Diagnosis("ssh_timeout", "it did not answer", "check the network and the firewall", retry=True),
    ),
)

_RSYNC_RETRY = {10, 12, 30, 35, 255}


def first_line(text: str) -> str:
    """The first line that says something, for a message."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def of_ssh(stderr: str) -> Diagnosis:
    """Why ssh itself failed (exit code 255)."""
    for marks, diagnosis in _SSH:
        if any(mark in stderr for mark in marks):
            return diagnosis
    return Diagnosis("ssh_failed", "the connection failed", "try the same ssh command by hand", retry=True)


def of_barman(rc: int, text: str) -> Diagnosis:
    """Why a barman command failed, from its exit code and what it printed on either stream."""
    if rc in (126, 127):
        return Diagnosis(
            "barman_not_found",
            "there is no such command",
            "install Barman there, or name its path in barman_executable",
        )
    if "please run barman as" in text.lower() or "must be run as" in text.lower():
        return Diagnosis("barman_wrong_user", "Barman refuses to run as that user", "connect as Barman's own user")
    if "Unknown server" in text:
        return Diagnosis(
            "barman_unknown_server",
            "Barman does not know that server",
            "correct barman_server, or configure it in Barman",
        )
    if "Unknown backup" in text:
        return Diagnosis("backup_unknown", "there is no such backup", "choose one of `barman list-backups`")
    if "configuration file" in text.lower() or ("config" in text.lower() and "not found" in text.lower()):
        return Diagnosis("barman_config", "Barman could not read its configuration", "correct barman_config")
    return Diagnosis("barman_failed", "the command failed", "run the same command by hand on the Barman host")


def of_rsync(rc: int, stderr: str) -> Diagnosis:
    """Why an rsync pull failed. No code but 0 is success: 23 and 24 mean that files are missing."""
    # rsync sees only that its ssh has gone: with 255, or with 12 when it was just writing to it.
    if rc == 255 or (rc == 12 and of_ssh(stderr).code != "ssh_failed"):
        return of_ssh(stderr)
    if rc == 127 or "rsync: command not found" in stderr or "rsync: not found" in stderr:
        return Diagnosis("rsync_missing_remote", "rsync is not installed there", "install rsync on the Barman host")
    if "is your shell clean" in stderr:
        return Diagnosis(
            "ssh_stdout_polluted",
            "something prints on login, which garbles the protocol",
            "silence the login scripts of the user on the Barman host",
        )
    if rc == 11:
        return Diagnosis("disk_error", "writing here failed", "check free space and the file system")
    if rc in (23, 24) or (rc == 12 and "change_dir" in stderr):
        return Diagnosis(
            "backup_files_missing",
            "files of the backup could not be read",
            "check on the Barman host that the backup still exists and is readable",
        )
    if rc in _RSYNC_RETRY:
        return Diagnosis("rsync_interrupted", "the transfer broke off", "run again: it resumes", retry=True)
    return Diagnosis("rsync_failed", "rsync failed", "read rsync(1), EXIT VALUES")
