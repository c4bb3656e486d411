# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which command a standby gets as its restore_command, to fetch WAL from Barman. Private to the collection.

Barman's own script ``barman-wal-restore``, if it is installed and has the options that are needed, else
``barman get-wal`` over ssh. Which options the script has is read from its ``--help``, not derived from its version.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import (
    LocalShell,
    ssh_destination,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["ASKED", "RestoreCommand", "restore_command", "spool_first"]

# The file in the spool of the WAL feed in which the server's shell notes what the server has asked for last.
ASKED = "asked"

_SCRIPT = "barman-wal-restore"

# The script's switch for each compression on the wire; without a switch there is none.
_COMPRESSION = {"gzip": "--gzip", "bzip2": "--bzip2", "keep": "--keep-compression"}

_TEST_SECONDS = 60

_USER = re.compile(r"^user (\S+)$", re.MULTILINE)

_PORT = re.compile(r"-p(\d+)|-oPort=(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class RestoreCommand:
    """The setting's value, or None for no command.

    ``script`` is the script with its arguments, empty if the script is not used; then ``note`` says why.
    """

    text: str | None
    script: tuple[str, ...] = field(default=())
    note: str | None = None

    @property
    def trial(self) -> str | None:
        """The same command with a spool of its own, in the directory that it is tried in.

        A trial neither takes a segment from the standby's spool nor leaves one there, and needs no state directory.
        """
        if not self.script:
            return self.text
        words = list(self.script)
        words[words.index("--spool-dir") + 1] = "spool"
        return _command(words)

    def test(self) -> str | None:
        """What the script's own test of the connection and of Barman's configuration complains about, or None."""
        if not self.script:
            return None
        program, *rest = self.script
        done = LocalShell().run([program, "--test", *rest, "-", "-"], timeout=_TEST_SECONDS)
        return None if done.rc == 0 else said_by(program, done.err or done.out) or f"exit code {done.rc}"


def restore_command(params: Mapping[str, Any], spool_directory: str) -> RestoreCommand:
    """The command that the options ask for. Raises StandbyError when ``auto`` lacks an option.

    The script gets a private spool directory: the default one is shared by all clusters of a host, whose segments
    have the same names. ``%`` is doubled, for PostgreSQL replaces ``%f`` and ``%p``
    (manual of 18, 25.3.5 "Recovering Using a Continuous Archive Backup").
    """
    option = params.get("restore_command")
    if option in (None, "", "none"):
        return RestoreCommand(None)
    if option != "auto":
        return RestoreCommand(str(option))
    if not params.get("barman_host") or not params.get("barman_server"):  # Ansible takes null for given
        raise StandbyError(
            Refusal(
                "restore_command_incomplete",
                "restore_command=auto needs barman_host and barman_server, and one of them is not given.",
                "give barman_host and barman_server, or restore_command=none",
            )
        )
    options = tuple(params.get("ssh_options") or ())
    script = shutil.which(_SCRIPT)
    lacks = _lacks(script, params, options)
    if script is None or lacks is not None:
        return RestoreCommand(_over_ssh(params), note=lacks)
    words = (script, *_options(params, options, spool_directory), *_place(params))
    return RestoreCommand(_command(words), script=words)


def spool_first(spool_directory: str, command: str | None) -> str:
    """A restore_command that takes a segment out of a spool if it is there, and else does what ``command`` does.

    A hit starts no login; on the spool's file system it is one rename. The name is noted before, for the WAL feed to
    know where the server is. What cannot be noted or moved is fetched as ever: also when there is no spool any more.
    """
    place = _word(os.path.join(spool_directory, ""))
    take = f'{{ echo %f >{place}{ASKED}; [ -f {place}%f ] && mv -f {place}%f "%p"; }} 2>/dev/null'
    return f"{take} && exit 0; {command or 'exit 1'}"


def _ssh_port(options: Sequence[str]) -> str | None:
    """The port in ssh's options when they say nothing else; ``""`` when there are none."""
    joined = "".join(options)
    if not joined:
        return ""
    match = _PORT.fullmatch(joined)
    return None if match is None else match.group(1) or match.group(2)


def _lacks(script: str | None, params: Mapping[str, Any], options: Sequence[str]) -> str | None:
    """Why the script cannot be used, or None."""
    if script is None:
        return f"{_SCRIPT} is not installed on this host (package barman-cli)"
    if params.get("barman_executable") not in (None, "", "barman"):
        return f"{_SCRIPT} calls nothing but `barman` on the Barman host"
    port = _ssh_port(options)
    if port is None:
        return f"{_SCRIPT} takes no ssh options but a port; a Host section in ~/.ssh/config would do"
    wanted = [*(["--port"] if port else []), *_compression(params)]
    # The script is started only if an option is needed: starting it takes time.
    known = LocalShell().run([script, "--help"]).out if wanted else ""
    missing = [word for word in wanted if word not in known]
    return f"{script} does not know {missing[0]}" if missing else None


def _options(params: Mapping[str, Any], options: Sequence[str], spool_directory: str) -> list[str]:
    user = _user(str(params["barman_host"]), options)
    words = ["-U", user] if user else []
    words += ["--port", port] if (port := _ssh_port(options)) else []
    words += ["--parallel", str(params["restore_jobs"])] if params.get("restore_jobs") else []
    words += _compression(params)
    words += ["--spool-dir", spool_directory]
    return words + (["--config", str(params["barman_config"])] if params.get("barman_config") else [])


def _user(destination: str, options: Sequence[str]) -> str:
    """The user that ssh would log in as: the script has another default. ``ssh -G`` reads Host sections as ssh does."""
    user, at, _host = destination.rpartition("@")
    if at:
        return user
    resolved = LocalShell().run(["ssh", "-G", *options, "--", ssh_destination(destination)])
    match = _USER.search(resolved.out)
    return match.group(1) if match else ""


def _compression(params: Mapping[str, Any]) -> list[str]:
    """The script's switch for the compression; no word for none."""
    switch = _COMPRESSION.get(str(params.get("restore_compression")))
    return [] if switch is None else [switch]


def _place(params: Mapping[str, Any]) -> list[str]:
    return [ssh_destination(str(params["barman_host"])).rpartition("@")[2], str(params["barman_server"])]


def _over_ssh(params: Mapping[str, Any]) -> str:
    """``barman get-wal`` on the Barman host, over ssh.

    The server gives up its recovery when the command ends with more than 125 (PostgreSQL's xlogarchive.c), and ssh
    ends with 255 when it cannot connect: the command must not end with that.
    """
    config = ["--config", str(params["barman_config"])] if params.get("barman_config") else []
    barman = [str(params.get("barman_executable") or "barman"), *config, "get-wal", str(params["barman_server"])]
    ssh = BarmanHost.from_params(params).shell().argv([*barman, "WAL"])
    # The remote command is one word for this shell, and the segment's name is its end: that is added after the quoting.
    remote = ssh.pop()[: -len("WAL")]
    return " ".join([*map(_word, ssh), f"{_word(remote)}%f", ">", '"%p"', "||", "exit", "1"])


def _command(script: Sequence[str]) -> str:
    return " ".join([*map(_word, script), "%f", "%p"])


def _word(word: str) -> str:
    """One word for the shell that PostgreSQL starts."""
    return shlex.quote(word).replace("%", "%%")
