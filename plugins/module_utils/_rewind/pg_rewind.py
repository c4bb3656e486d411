# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of pg_rewind, and what it says. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import PIPE, STDOUT, ProgramGroup
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.stillness import killed_if_still
from ansible_collections.pgfleet.standby.plugins.module_utils._files import write_atomically
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conf import quote
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text

__all__ = ["SINCE_CONFIG_FILE", "SIZE", "Done", "dry_run", "noting", "pg_rewind", "sql_login"]

_CONNECT_SECONDS = "10"

# It has read all of the target's WAL and both lists of files by then; what would come next is the copying.
SIZE = re.compile(r"need to copy (\d+) MB")

_PROGRESS = re.compile(r"(\d+)/(\d+) kB \(\d+%\) copied")


_SINCE_RESTORE = 13

SINCE_CONFIG_FILE = 15


@dataclass(frozen=True)
class Done:
    """A pg_rewind that has ended: its exit code, and what it said without its progress."""

    rc: int
    lines: tuple[str, ...]


def pg_rewind(
    pgdata: DataDir,
    keywords: Mapping[str, str],
    bindir: str,
    restore_command: str | None = None,
    progress: Progress | None = None,
    inherited: Sequence[int] = (),
) -> Done:
    """Run pg_rewind to its end, however long that takes, and tell ``progress`` how far it has come.

    pg_rewind keeps the files ``inherited`` open.
    """
    argv = _argv(pgdata, keywords, bindir)
    with _restoring(pgdata, restore_command) as more, _started([*argv, *more], inherited) as run:
        if isinstance(run, Done):
            return run
        lines = tuple(_without_progress(run.lines(), progress))
        return Done(run.exit_code(), lines)


def dry_run(
    pgdata: DataDir, keywords: Mapping[str, str], bindir: str, timeout: float, restore_command: str | None = None
) -> Done:
    """What pg_rewind would do, up to the size of what it would copy.

    One that does nothing for ``timeout`` seconds is killed.
    """
    argv = [*_argv(pgdata, keywords, bindir), "--dry-run"]
    with _restoring(pgdata, restore_command) as more, _started([*argv, *more]) as run:
        if isinstance(run, Done):
            return run
        lines: list[str] = []
        with killed_if_still(run, timeout) as overdue:
            for line in _without_progress(run.lines(), None):
                lines.append(line)
                if SIZE.search(line):
                    return Done(0, tuple(lines))
            rc = run.exit_code()
        if overdue.is_set():
            lines.append(f"error: for {timeout:g} seconds it has neither computed nor read nor written, and was killed")
        return Done(rc, tuple(lines))


def _argv(pgdata: DataDir, keywords: Mapping[str, str], bindir: str) -> list[str]:
    argv = [
        os.path.join(bindir, "pg_rewind"),
        f"--target-pgdata={pgdata.path}",
        f"--source-server={conninfo_text(sql_login(keywords))}",
        "--progress",
    ]
    if (pgdata.major or 0) >= _SINCE_RESTORE:
        argv.append("--no-ensure-shutdown")  # it would start a server on the directory
    return argv


@contextlib.contextmanager
def _started(argv: Sequence[str], inherited: Sequence[int] = ()) -> Iterator[ProgramGroup | Done]:
    """The program in a process group of its own, or why it does not run."""
    try:
        group = ProgramGroup(argv, stdout=PIPE, stderr=STDOUT, directory="/", inherited=inherited)
    except OSError as failed:
        yield Done(127, (f"error: {argv[0]} does not run: {failed.strerror}",))
        return
    with group:
        yield group


def _without_progress(lines: Iterable[str], progress: Progress | None) -> Iterator[str]:
    """What pg_rewind says, but for how far it has come, which ``progress`` is told (pg_rewind.c, progress_report)."""
    total = None
    for line in lines:
        copied = _PROGRESS.search(line)
        if copied is None:
            yield line.rstrip()
        elif progress is not None:
            done, size = (int(number) << 10 for number in copied.groups())
            if size != total:
                total = size
                progress.enter("rewinding", size)
            progress.at(0, done)


def noting(restore_command: str, notes: str) -> str:
    """A restore_command that first writes the name of the file that it is asked for into the file ``notes``."""
    return f"echo %f >>{shlex.quote(notes).replace('%', '%%')}; {restore_command}"


def sql_login(keywords: Mapping[str, str]) -> dict[str, str]:
    """The keywords of an ordinary login to database postgres."""
    return {"connect_timeout": _CONNECT_SECONDS, **keywords, "dbname": "postgres"}


@contextlib.contextmanager
def _restoring(pgdata: DataDir, restore_command: str | None) -> Iterator[list[str]]:
    """Arguments that let pg_rewind fetch WAL. It asks ``postgres -C restore_command`` of a configuration, which need
    not be the server's; a restore_command in the directory's postgresql.auto.conf wins."""
    if restore_command is None or (pgdata.major or 0) < SINCE_CONFIG_FILE:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="pgfleet.") as scratch:
        config = os.path.join(scratch, "postgresql.conf")
        write_atomically(config, f"restore_command = {quote(restore_command)}\n")
        yield ["--restore-target-wal", f"--config-file={config}"]
