# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Barman's own restore, which pushes a backup to this host by rsyncs of its own. Private to the collection."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.remote_files import fetch
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman, RestoreOrder
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.restore_options import staging
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.restored_files import (
    ORIGINS,
    undo_restore_changes,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.stage_backup import preview_staging
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.external_fill import Filler, FillResult, measured
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.holding_directory import HoldingDirectory
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job, TransferOptions
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.roots import plan
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell, SshShell, ssh_argv
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.exit_codes import ssh_failure
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.quoting import remote_command
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.remote_call import call
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import nearest_existing
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, as_dict
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress

__all__ = ["Restore", "restore_of"]

# Says who and where it runs; run here and at the far end of Barman's ssh it has to say the same.
_WHO = 'id -u && cat /proc/sys/kernel/random/boot_id && stat --format=%d:%i -- "$1"'

# ssh's own exit code of the second ssh would be taken for that of the first one.
_MASKED = '"$@" || exit 1'

# What Barman and rsync hand on to shells, of which not all releases quote everything.
_PLAIN = re.compile(r"[\w@%+=,./-]+", re.ASCII)

# Options of barman restore that say where it works and how it tries again, and the words that follow each.
_OPTIONS = {
    "--combine-mode": 1,
    "--jobs-start-batch-period": 1,
    "--jobs-start-batch-size": 1,
    "--local-staging-path": 1,
    "--no-retry": 0,
    "--recovery-staging-path": 1,
    "--retry-sleep": 1,
    "--retry-times": 1,
    "--staging-location": 1,
    "--staging-path": 1,
}

_PROGRAMS = ("gzip", "lz4", "zstd")

_STAGING = ("--local-staging-path", "--recovery-staging-path", "--staging-location", "--staging-path")

# Runs Barman with a directory on its host to work in, which is gone afterwards, and with the programs that it needs.
# Whatever ends Barman by a signal ends this after it.
_WORKING = """\
umask 077
mkdir -p -- "$1" || exit
[ -z "$2" ] || PATH=$2:$PATH
export PATH
trap : TERM
work=$1
shift 2
"$@"
code=$?
rm -rf -- "$work"
rmdir -- "${work%/*}" 2>/dev/null
exit "$code"
"""

_LOOK_SECONDS = 300


def _checked_ssh_command(text: str) -> tuple[str, ...]:
    """Barman's ssh command for this host in words: it never asks, and knows the host's key. Raises StandbyError."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    simple = all(map(_PLAIN.fullmatch, words))
    if len(words) < 2 or os.path.basename(words[0]) != "ssh" or words[-1].startswith("-") or not simple:
        raise StandbyError(
            Refusal(
                "remote_ssh_command_invalid",
                f"remote_ssh_command={text!r} is no ssh command that Barman can use.",
                "give ssh, its options and the destination in words without quotes, such as `ssh postgres@standby`,"
                " and put what needs more into Barman's own ssh_config",
            )
        )
    return (words[0], *ssh_argv(words[1:-1])[1:], words[-1])


def _checked_options(words: Sequence[str]) -> tuple[str, ...]:
    """Options of ``barman restore`` that may be passed on. Raises StandbyError for all others."""
    rest = list(words)
    while rest:
        name, equals, _value = rest.pop(0).partition("=")
        follow = 0 if equals else _OPTIONS.get(name, 0)
        if name not in _OPTIONS or len(rest) < follow:
            raise StandbyError(
                Refusal(
                    "restore_options_invalid",
                    f"restore_options holds {name!r}, which is not passed on to barman restore, or has no value.",
                    f"give only {', '.join(sorted(_OPTIONS))}, one list element for each option and each value",
                )
            )
        del rest[:follow]
    return tuple(words)


@dataclass(frozen=True)
class Restore(Filler):
    """One ``barman restore``. ``ssh_command`` is how the Barman host reaches this one, in words.

    ``options`` are further ones of that command.
    """

    barman: Barman
    shell: SshShell
    ssh_command: tuple[str, ...]
    network_compression: bool = False
    options: tuple[str, ...] = ()

    NEXT = "run again with method rsync, which sends what differs; or choose another backup_id"

    def require(self, job: Job) -> None:
        """Barman has to be there and able to write here, as we do. Raises StandbyError."""
        _require_restorable(job.backup)
        for path in (job.target.data_directory, *job.target.tablespaces.values()):
            if not _PLAIN.fullmatch(path):
                raise StandbyError(
                    Refusal(
                        "path_unsuitable",
                        f"Barman's restore cannot be trusted with the directory {path!r}: it passes shells on its way."
                        " Nothing was changed.",
                        "use method rsync, or a name of letters, digits and @%+=,._- only",
                    )
                )
        self.barman.version()
        self._require_unpacked(job.backup)
        self._require_way_here(job.target.data_directory)

    def roots(self, job: Job) -> tuple[Root, ...] | None:
        """Those of the backup, if Barman only has to copy it."""
        return plan(job.barman_host, job.backup, job.target) if _is_plain(job.backup) else None

    def fill(self, job: Job, holding: HoldingDirectory, lock: int, progress: Progress) -> FillResult:
        """Run Barman to its end, and undo what Barman changes. Barman ends with this process. Raises StandbyError."""
        with measured(holding, progress):
            run = self._restore if _is_plain(job.backup) else self._unpacked
            said = run(job, holding, lock)
            _undo_restore_changes(job, holding.data)
        return FillResult(job, said)

    def _unpacked(self, job: Job, holding: HoldingDirectory, lock: int) -> tuple[str, ...]:
        """With places to unpack in, which are gone afterwards."""
        there = here = f"{holding.data}-work"
        prefix: Sequence[str] = ()
        if job.backup.staged:
            found = self._look_ahead(job.backup)
            here = os.path.join(found["top"], os.path.basename(holding.data))
            prefix = ["sh", "-c", _WORKING, "sh", here, found["bindir"] or ""]
        os.mkdir(there, 0o700)
        further = () if self._staging_chosen else staging(job.backup, self.barman.version(), here, there)
        said = self._restore(job, holding, lock, prefix, further)
        shutil.rmtree(there, ignore_errors=True)
        return said

    @property
    def _staging_chosen(self) -> bool:
        """Whether the user has said where Barman unpacks."""
        return any(word.partition("=")[0] in _STAGING for word in self.options)

    def _restore(
        self, job: Job, holding: HoldingDirectory, lock: int, prefix: Sequence[str] = (), further: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """One run of Barman's command, by what stands before it and with further options."""
        names = {tablespace.oid: tablespace.name for tablespace in job.backup.tablespaces}
        order = RestoreOrder(
            job.backup.backup_id,
            holding.data,
            {names[oid]: place for oid, place in holding.tablespaces.items()},
            remote_command(self.ssh_command),
            job.transfer.jobs,
            _for_each_rsync(job.transfer),
            self.network_compression,
            (*self.options, *further),
        )
        argv = [*prefix, *self.barman.restore_argv(order)]
        return self.barman.require_restored(self.shell.run_tied(argv, (lock,)))

    def _require_unpacked(self, backup: Backup) -> None:
        """Whatever unpacks, decrypts and combines the backup has to be there, and room for it. Raises StandbyError."""
        if backup.staged:
            self._look_ahead(backup)
        elif backup.compression in _PROGRAMS and not self._staging_chosen and not shutil.which(backup.compression):
            raise StandbyError(
                Refusal(
                    "decompressor_missing",
                    f"Backup {backup.backup_id} is compressed. Barman would unpack it on this host by"
                    f" {backup.compression},"
                    " which is not installed. Nothing was changed.",
                    f"install {backup.compression} here",
                )
            )

    def _look_ahead(self, backup: Backup) -> dict[str, Any]:
        """Where on its host Barman will unpack it, and by which programs. Raises StandbyError."""
        request = {"barman": self.barman.place, "backup": as_dict(backup), "owner": "", "directory": None}
        return call(self.shell, preview_staging, request, _LOOK_SECONDS)

    def _require_way_here(self, data_directory: str) -> None:
        """Another host by the same name would be overwritten, and a question would wait for ever.

        Raises StandbyError.
        """
        who = ["sh", "-c", _WHO, "sh", nearest_existing(data_directory)]
        done = self.shell.run(["sh", "-c", _MASKED, "sh", *self.ssh_command, remote_command(who)])
        here = LocalShell().run(who)
        if done.rc == 0 and done.out == here.out:
            return
        user = pwd.getpwuid(os.geteuid()).pw_name
        said = said_by("ssh", done.err)
        if done.rc != 0:
            found = f"{ssh_failure(done.err).meaning} ({said or f'exit code {done.rc}'})"
        else:
            printed = done.out.strip().partition("\n")[0]
            found = f"that is another host or user, or something prints on login ({printed})"
        raise StandbyError(
            Refusal(
                "standby_unreachable",
                f"Barman on {self.shell.where} cannot reach {user} on this host by `{' '.join(self.ssh_command)}`:"
                f" {found}."
                " Nothing was changed.",
                "put the public key of Barman's user there into ~/.ssh/authorized_keys of"
                f" {user} here and this host's key into its known_hosts, or correct remote_ssh_command",
            ),
            rc=done.rc,
            stderr=done.err,
        )


def restore_of(params: Mapping[str, Any], job: Job, barman: Barman) -> Restore:
    """The restore by this Barman that a module's options describe. Raises StandbyError."""
    return Restore(
        barman,
        job.barman_host.shell(),
        _checked_ssh_command(params["remote_ssh_command"]),
        params["network_compression"],
        _checked_options(params["restore_options"]),
    )


def _for_each_rsync(options: TransferOptions) -> int | None:
    """Barman's bandwidth limit, which is for each of its rsyncs."""
    return None if options.bwlimit is None else max(1, options.bwlimit // options.jobs)


def _require_restorable(backup: Backup) -> None:
    if backup.type == "snapshot" or (backup.mode or "").startswith("snapshot"):
        raise StandbyError(
            Refusal(
                "backup_unsupported",
                f"Backup {backup.backup_id} is a snapshot, whose files Barman does not have. Nothing was changed.",
                "choose another backup_id",
            )
        )


def _is_plain(backup: Backup) -> bool:
    """Whether the files of the backup are those of a cluster, as they are."""
    return backup.compression is None and backup.encryption is None and backup.type != "incremental"


def _undo_restore_changes(job: Job, top: str) -> None:
    """Give back their contents and names to the files that Barman changes and renames."""
    undo_restore_changes(top, job.backup.backup_id)
    if _is_plain(job.backup):
        # A server that was once restored by Barman has files of such names of its own.
        roots = plan(job.barman_host, job.backup, job.target)
        own = [entry.path for entry in roots[0].files if entry.path in ORIGINS]
        if own:
            fetch(job.barman_host, f"{job.backup.directory}/data", own, top)
