# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that builds and runs barman commands. Private to the collection."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from ansible_collections.pgfleet.standby.plugins.module_utils._barman import parse
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.versions import Feature, dotted, has, require
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import (
    Completed,
    LocalShell,
    Shell,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.exit_codes import barman_failure
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, BarmanServer, CheckItem

__all__ = ["Barman", "RestoreOrder"]

_SEGMENT = re.compile(r"[0-9A-F]{24}")

# What get-wal says of a file that is in none of its directories (Barman 2 to 3.20).
_NOT_FOUND = "not found in server"


@dataclass(frozen=True)
class RestoreOrder:
    """What Barman is to restore, and to which place.

    ``tablespaces`` are directories by tablespace name, ``bwlimit`` is KiB/s.

    ``remote_ssh_command`` is the ssh command that reaches the host of the destination from the Barman host.
    """

    backup_id: str
    destination: str
    tablespaces: Mapping[str, str]
    remote_ssh_command: str
    jobs: int
    bwlimit: int | None = None
    network_compression: bool = False
    options: tuple[str, ...] = ()


class Barman:
    """One server of one Barman, here or at the far end of ssh."""

    def __init__(self, shell: Shell, server: str, executable: str = "barman", config: str | None = None) -> None:
        self.shell = shell
        self.server = server
        # What `on_its_host` takes to find the same Barman.
        self.place = {"where": shell.where, "server": server, "executable": executable, "config": config}
        self._command = [executable, *(["--config", config] if config else [])]
        self._plural = "s"
        self._true_timestamps = True
        self._restore = "restore"

    @classmethod
    def on_its_host(cls, place: Mapping[str, Any]) -> Barman:
        """The same Barman, for what runs on its host."""
        return cls(LocalShell(place["where"]), place["server"], place["executable"], place["config"])

    def holding(self, *descriptors: int) -> Barman:
        """The same Barman on this host, whose commands keep these open for as long as they run."""
        same = copy(self)
        same.shell = LocalShell(self.shell.where, descriptors)
        return same

    def version(self) -> tuple[int, ...]:
        """Barman's version; ask for it first. Raises StandbyError when it is older than what is supported."""
        done = self.shell.run([*self._command, "-v"])
        if done.rc != 0:
            self._fail(done)
        version = parse.parse_version(done.out)
        require(version, Feature.SUPPORTED, self.shell.where)
        # Later versions understand the singular as well, but say nothing of how long they will.
        self._plural = "s" if has(version, Feature.PLURAL_NAMES) else ""
        self._true_timestamps = has(version, Feature.TRUE_TIMESTAMPS)
        self._restore = "restore" if has(version, Feature.RESTORE) else "recover"
        return version

    def show_server(self) -> BarmanServer:
        """The server's parameters."""
        return self.show_server_and_conninfos()[0]

    def show_server_and_conninfos(self) -> tuple[BarmanServer, dict[str, str]]:
        """The server's parameters, and by their names its connections, which may hold passwords."""
        document = self._json(f"show-server{self._plural}", self.server)
        return parse.parse_server(document, self.server), parse.parse_conninfos(document, self.server)

    def check(self) -> tuple[CheckItem, ...]:
        """Barman's own verdicts; a failed one is a result, not an error."""
        return parse.parse_checks(self._json("check", self.server, may_fail=True), self.server)

    def list_backups(self) -> tuple[Backup, ...]:
        """The catalogue, newest first."""
        answer = self._json(f"list-backup{self._plural}", self.server)
        return parse.parse_backup_list(answer, self.server, self._true_timestamps)

    def show_backup(self, backup_id: str, version: tuple[int, ...], server: BarmanServer) -> Backup:
        """One backup with all that is known of it."""
        backup = parse.parse_backup(self._json("show-backup", self.server, backup_id), self.server)
        backup = replace(backup, directory=posixpath.join(server.basebackups_directory, backup.backup_id))
        if not has(version, Feature.COMPRESSION_IN_JSON):
            backup = parse.complete_backup(backup, self._backup_info(backup.backup_id, server))
        return backup

    def peek_wal(self, first: str, count: int) -> tuple[str, ...]:
        """Up to ``count`` names of segments that Barman has, from ``first`` on, on its timeline.

        It looks in archive, incoming and streaming, and for whole segments only (Barman manual, get-wal --peek).
        Barman does not know the segment size: after a segment that is missing it may go on with the next whose name
        ends in eight zeros. The caller has to compare the names with those that it wants.
        """
        self._require_names(self.server, first)
        done = self.shell.run([*self._command, "get-wal", "--peek", str(count), self.server, first], timeout=300)
        if done.rc != 0:
            self._fail(done)
        return tuple(filter(_SEGMENT.fullmatch, done.out.splitlines()))

    def history(self, timeline: int) -> str | None:
        """The history file of a timeline, where a restore_command would find it; None if Barman has none.

        Raises StandbyError.
        """
        self._require_names(self.server)
        done = self.shell.run([*self._command, "get-wal", self.server, f"{timeline:08X}.history"], timeout=300)
        if done.rc != 0 and _NOT_FOUND not in done.err:
            self._fail(done)
        return done.out if done.rc == 0 else None

    def restore_argv(self, order: RestoreOrder) -> list[str]:
        """The command that restores a backup to another host. Ask for the version before. Raises StandbyError.

        With ``--get-wal`` it copies no WAL (Barman manual, restore). The settings that it writes instead have to go.
        """
        self._require_names(self.server, order.backup_id)
        limits = [] if order.bwlimit is None else ["--bwlimit", str(order.bwlimit)]
        return [
            *self._command,
            *["-f", "json", self._restore, "--get-wal", "--standby-mode"],
            *["--network-compression" if order.network_compression else "--no-network-compression"],
            *["--jobs", str(order.jobs), *limits],
            *["--remote-ssh-command", order.remote_ssh_command],
            *(word for name, place in order.tablespaces.items() for word in ("--tablespace", f"{name}:{place}")),
            *[*order.options, self.server, order.backup_id, order.destination],
        ]

    def require_restored(self, done: Completed) -> tuple[str, ...]:
        """What Barman warned of in a restore that it has finished. Raises StandbyError for one that failed."""
        answer = parse.parse_json(done.out) if done.rc == 0 else {}
        if done.rc != 0 or {"_ERROR", "_EXCEPTION"} & answer.keys():
            self._fail(done)
        return tuple(filter(None, parse.messages(done.out).splitlines()))

    def require_keep(self) -> None:
        """Ask for the version, and refuse a Barman that cannot keep a backup. Raises StandbyError."""
        if not has(self.version(), Feature.KEEP):
            since = dotted(Feature.KEEP.since)
            raise StandbyError(
                Refusal(
                    "keep_unsupported",
                    f"Barman on {self.shell.where} has no `keep`, which came with version {since}.",
                    "update Barman, or see that no retention policy deletes the backup while it is copied",
                )
            )

    def keep_target(self, backup_id: str) -> str:
        """``full``, ``standalone`` or ``nokeep`` (Barman manual, barman keep). Raises StandbyError."""
        return parse.parse_keep(parse.parse_json(self._keep(backup_id, "--status")), self.server)

    def keep(self, backup_id: str, target: str) -> None:
        """Have retention and ``barman delete`` spare a backup. Raises StandbyError."""
        self._keep(backup_id, "--target", target)

    def release_keep(self, backup_id: str) -> None:
        """The opposite. Raises StandbyError."""
        self._keep(backup_id, "--release")

    def _keep(self, backup_id: str, *options: str) -> str:
        self._require_names(self.server, backup_id)
        done = self.shell.run([*self._command, "-f", "json", "keep", *options, self.server, backup_id], timeout=300)
        if done.rc != 0:
            self._fail(done)
        return done.out

    def worm_mode(self) -> bool:
        """Whether the server's storage is said to be immutable."""
        # All versions understand the singular.
        return parse.parse_worm_mode(self._json("show-server", self.server), self.server)

    def backup_directory(self) -> str:
        """All that Barman has of the server is there."""
        return parse.parse_server(self._json("show-server", self.server), self.server).backup_directory

    def wal_directories(self) -> tuple[str, ...]:
        """Where Barman has WAL on its host: the archive, what was sent to it, and what it receives."""
        return parse.parse_wal_directories(self._json("show-server", self.server), self.server)

    def restore(
        self,
        options: Sequence[str],
        target: tuple[str, str],
        path: str | None,
        seconds: float,
    ) -> None:
        """Restore a backup to a directory on Barman's host; ``path`` takes the place of PATH. Raises StandbyError.

        ``target`` is the backup's id and the directory. Ask for the version before.
        """
        environment = [] if path is None else ["env", f"PATH={path}"]
        self._require_names(self.server, *target)
        argv = [*environment, *self._command, "-f", "json", self._restore, *options, self.server, *target]
        done = self.shell.run(argv, seconds)
        if done.rc != 0:
            self._fail(done)

    def _backup_info(self, backup_id: str, server: BarmanServer) -> dict[str, Any]:
        """The backup's own record: in ``meta/`` since Barman 3.13.2, beside the backup before."""
        for path in (
            posixpath.join(server.backup_directory, "meta", f"{backup_id}-backup.info"),
            posixpath.join(server.basebackups_directory, backup_id, "backup.info"),
        ):
            done = self.shell.run(["cat", path])
            if done.rc == 0:
                return parse.parse_backup_info(done.out)
        raise StandbyError(
            Refusal(
                "backup_info_unreadable",
                f"Cannot read backup.info of backup {backup_id} on {self.shell.where}:"
                f" {said_by('cat', done.err) or 'cat said nothing'}.",
                "let the user that logs in there read Barman's directories",
            )
        )

    def _json(self, *arguments: str, may_fail: bool = False) -> dict[str, Any]:
        self._require_names(*arguments)
        done = self.shell.run([*self._command, "-f", "json", *arguments], timeout=300)
        if done.rc != 0 and not (may_fail and self._answered(done)):
            self._fail(done)
        return parse.parse_json(done.out)

    def _require_names(self, *arguments: str) -> None:
        """What begins with a dash would be an option. Raises StandbyError."""
        if any(argument.startswith("-") for argument in arguments):
            raise StandbyError(
                Refusal(
                    "barman_argument_invalid",
                    f"{arguments[-1]!r} cannot name a Barman server or backup.",
                    "correct barman_server or backup_id",
                )
            )

    def _answered(self, done: Completed) -> bool:
        """Whether a command that failed still says something of the server: its verdicts, say."""
        try:
            return self.server in parse.parse_json(done.out)
        except StandbyError:
            return False

    def _fail(self, done: Completed) -> NoReturn:
        """Raise what the failure means. Output is never passed on: show-servers prints passwords."""
        said = parse.messages(done.out)
        reason = barman_failure(done.rc, said + done.err)
        raise StandbyError(
            Refusal(
                reason.code,
                f"Barman on {self.shell.where} failed for server {self.server}: {reason.meaning}"
                f" ({said_by('barman', said) or said_by('barman', done.err) or f'exit code {done.rc}'}).",
                reason.next_step,
            ),
            rc=done.rc,
            cmd=list(done.argv),
            stderr=done.err,
        )
