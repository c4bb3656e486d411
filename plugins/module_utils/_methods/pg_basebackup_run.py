# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of pg_basebackup, which ends with this process. Private to the collection."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.program_group import (
    PIPE,
    ProgramGroup,
    ended_with_us,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import write_atomically
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import without_password
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.passfile import edit, keys_of
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import is_secret
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.pg_basebackup_failures import diagnosis
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.pg_basebackup_options import parse_progress
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text

__all__ = ["credentials", "require_no_secret_key", "run"]

# As the standby's own name it could be counted as a synchronous standby that has the WAL it streams.
_NAME = "pgfleet_basebackup"

# A link that is dead is noticed after about two minutes; the upstream may be silent for longer during a checkpoint.
_KEEPALIVES = {"connect_timeout": "15", "keepalives_idle": "60", "keepalives_interval": "15", "keepalives_count": "4"}

_LAST_LINES = 50


def require_no_secret_key(keywords: Mapping[str, str]) -> None:
    """Raises StandbyError for a secret that libpq takes only from a place that every user can read."""
    found = sorted(name for name in keywords if is_secret(name) and name != "password")
    if found:
        raise StandbyError(
            Refusal(
                "conninfo_password",
                f"pg_basebackup takes {found[0]} only where everybody on this host can read it. Nothing was changed.",
                "use a login without it, such as a password, or a key without a passphrase, which only the database's"
                " OS user may read",
            )
        )


@contextlib.contextmanager
def credentials(keywords: Mapping[str, str], directory: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A conninfo that everybody may read, and the environment that brings the password.

    A password among the keywords is in a private file in ``directory`` meanwhile. Any other password libpq finds by
    itself.
    """
    shown = {**_KEEPALIVES, **without_password(keywords), "application_name": _NAME}
    if "password" not in keywords:
        yield conninfo_text(shown), {}
        return
    shown.pop("passfile", None)
    path = os.path.abspath(os.path.join(directory, "passfile"))
    write_atomically(path, edit("", keys_of(keywords), keywords["password"]))
    try:
        yield conninfo_text(shown), {"PGPASSFILE": path}
    finally:
        os.unlink(path)


def run(argv: Sequence[str], more: Mapping[str, str], progress: Progress, inherited: Sequence[int]) -> None:
    """Run pg_basebackup to its end. Raises StandbyError if it fails.

    If this process is killed, pg_basebackup is as well. Until then it keeps the files ``inherited`` open, a lock among
    them.
    """
    try:
        group = ProgramGroup(argv, stderr=PIPE, directory="/", more=more, inherited=inherited)
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "basebackup_missing",
                f"{argv[0]} does not run: {failed.strerror}.",
                "install PostgreSQL's client programs",
            )
        ) from failed
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    estimated = False
    # The program itself would break off soon after we are gone, but not the process that it has started for the WAL.
    with group, ended_with_us(group):
        for line in map(str.rstrip, group.lines()):
            done = parse_progress(line)
            if done is None:
                lines.append(line)
                continue
            if not estimated:  # later it is raised to what has come
                progress.enter("copying", done[1])
                estimated = True
            progress.at(0, done[0])
        rc = group.exit_code()
    if rc != 0:
        raise _failure(argv[0], rc, list(lines))


def _failure(program: str, rc: int, lines: list[str]) -> StandbyError:
    said, meaning = diagnosis(lines)
    return StandbyError(
        Refusal(
            meaning.code,
            f"{program} failed with exit code {rc}: {meaning.meaning} ({said.strip()}). The directory cannot be"
            " started;"
            " a new run begins anew.",
            meaning.next_step,
        ),
        rc=rc,
        stderr="\n".join(lines),
    )
