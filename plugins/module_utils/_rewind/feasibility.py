# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether pg_rewind can be used: the directory, the upstream and at last its own dry run say so.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._files import mount_points, read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import masked
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn, parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import parse_history
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.postmaster import NO_SERVER, look_for_server
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.divergence import is_clean, of_stopped
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.failures import complaint, helps
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.host_files import (
    room_missing,
    tablespaces_inside,
    unwritable,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.pg_rewind import (
    SINCE_CONFIG_FILE,
    SIZE,
    Done,
    dry_run,
    noting,
    sql_login,
)

__all__ = ["RewindProof", "own_history", "prove_rewind", "reasons_impossible"]

# What a role needs beside LOGIN (PostgreSQL manual, pg_rewind, Notes).
_FUNCTIONS = (
    "pg_ls_dir(text,boolean,boolean)",
    "pg_stat_file(text,boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text,bigint,bigint,boolean)",
)

_ARRAY = ",".join(f'"{function}"' for function in _FUNCTIONS)

_QUESTION = f"""
SELECT pg_catalog.json_build_object(
  'user', current_user,
  'in_recovery', pg_catalog.pg_is_in_recovery(),
  'full_page_writes', pg_catalog.current_setting('full_page_writes'),
  'lacks', (SELECT pg_catalog.json_agg(f) FROM pg_catalog.unnest('{{{_ARRAY}}}'::text[]) AS f
            WHERE NOT pg_catalog.has_function_privilege('pg_catalog.' || f, 'EXECUTE')),
  'tablespaces', (SELECT pg_catalog.json_object_agg(oid, spcname) FROM pg_catalog.pg_tablespace
                  WHERE pg_catalog.pg_tablespace_location(oid) LIKE '/%'))
"""  # noqa: S608 - made of constants

_FORK = re.compile(r"servers diverged at WAL location ([0-9A-F]+/[0-9A-F]+) on timeline (\d+)")

_WAL_IS_GONE = re.compile(r"could not (?:find previous|read) WAL record|could not open file \"[^\"]*/pg_wal/")

# What a restore_command of pg_rewind is asked for.
_FETCHED = re.compile(r"[0-9A-F]{24}|[0-9A-F]{8}\.history")

_SINCE_STANDBY_SOURCE = 14  # release notes of 14, 13 and 15


@dataclass(frozen=True)
class RewindProof:
    """Why pg_rewind cannot be used; or, without reasons, that ``timeline`` was left at ``fork``, and what it copies.

    ``bytes`` are rounded down to MiB by pg_rewind.
    """

    reasons: tuple[str, ...] = ()
    timeline: int = 0
    fork: int = 0
    bytes: int = 0


def own_history(pgdata: DataDir) -> tuple[tuple[int, int], ...]:
    """The cluster's own timelines, from the history file of the last one; empty if there is no such file."""
    control = pgdata.control
    timeline = max(control.timeline, control.min_recovery_timeline) if control is not None else 1
    text = read_small(os.path.join(pgdata.path, "pg_wal", f"{timeline:08X}.history"))
    return parse_history(text or "")


def reasons_impossible(
    pgdata: DataDir,
    keywords: Mapping[str, str],
    bindir: str,
    upstream: Upstream,
    timeout: float = 3600,
    restore_command: str | None = None,
) -> list[str]:
    """Every reason why pg_rewind cannot be used, as sentences without a full stop; none when it can.

    ``keywords`` are those of an SQL login. The dry run may do nothing for ``timeout`` seconds. Changes nothing. Raises
    StandbyError when the upstream does not answer in time.
    """
    return list(prove_rewind(pgdata, keywords, bindir, upstream, timeout, restore_command).reasons)


def prove_rewind(
    pgdata: DataDir,
    keywords: Mapping[str, str],
    bindir: str,
    upstream: Upstream,
    timeout: float = 3600,
    restore_command: str | None = None,
) -> RewindProof:
    """Look for every reason against pg_rewind. If there is none, its dry run is the proof.

    The dry run ends as soon as pg_rewind knows what it would copy, or has done nothing for ``timeout``
    seconds. Changes nothing.
    """
    program = os.path.join(bindir, "pg_rewind")
    reasons = _of_directory(pgdata, upstream)
    if not os.access(program, os.X_OK):
        reasons.append(f"there is no {program}")
    reasons += _of_upstream(pgdata, keywords, bindir, upstream)
    if reasons:
        return RewindProof(tuple(reasons))
    with tempfile.TemporaryDirectory(prefix="pgfleet.") as scratch:
        wal = _WalAsItWas(pgdata, os.path.join(scratch, "fetched"))
        command = noting(restore_command, wal.notes) if restore_command is not None else None
        try:
            done = dry_run(pgdata, keywords, bindir, timeout, command)
        finally:
            wal.restore()
    if wal.server_ran:
        return RewindProof((f"a server was started on {pgdata.path} during the dry run",))
    proof = _judged(pgdata, done, restore_command)
    too_late = _begins_too_late(proof, of_stopped(pgdata, upstream, own_history(pgdata)).fork)
    return RewindProof((too_late,)) if too_late is not None else proof


class _WalAsItWas:
    """Removes what a dry run has fetched into pg_wal by restore_command: pg_rewind leaves it there.

    It is what restore_command was asked for, as the file ``notes`` tells, and was not there before. A server that was
    started meanwhile writes there as well: then nothing is removed.
    """

    def __init__(self, pgdata: DataDir, notes: str) -> None:
        self.notes = notes
        self.server_ran = False
        self._path = pgdata.path
        self._place = os.path.join(pgdata.path, "pg_wal")
        self._before = set(os.listdir(self._place)) if os.path.isdir(self._place) else set()
        self._times = os.stat(self._place) if os.path.isdir(self._place) else None
        self._control = self._control_file()

    def restore(self) -> None:
        """After the dry run."""
        self.server_ran = look_for_server(self._path) != NO_SERVER or self._control_file() != self._control
        names = (read_small(self.notes) or "").splitlines()
        fetched = {name for name in names if _FETCHED.fullmatch(name)} - self._before
        if self.server_ran or not fetched or self._times is None:
            return
        for name in fetched:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._place, name))
        os.utime(self._place, ns=(self._times.st_atime_ns, self._times.st_mtime_ns))

    def _control_file(self) -> tuple[int, int] | None:
        """What changes with every start of a server, which writes pg_control."""
        with contextlib.suppress(OSError):
            status = os.stat(os.path.join(self._path, "global", "pg_control"))
            return status.st_ino, status.st_mtime_ns
        return None


def _of_directory(pgdata: DataDir, upstream: Upstream) -> list[str]:
    """Reasons against pg_rewind that lie in the cluster on this host."""
    control = pgdata.control
    if control is None:
        return [f"{pgdata.path} holds no complete cluster"]
    reasons = []
    if pgdata.major is None or pgdata.major < 12:
        reasons.append(f"PostgreSQL {pgdata.version} is too old, a standby is made of 12 and later")
    if pgdata.major != upstream.version // 10000:
        reasons.append(f"the upstream is PostgreSQL {upstream.version // 10000}, the cluster is of {pgdata.major}")
    if not control.data_checksums and not control.wal_log_hints:
        reasons.append("the cluster has neither data checksums nor wal_log_hints, so changed pages may be unknown")
    if not is_clean(control):
        reasons.append(
            f"the server was not shut down cleanly (pg_control says {control.state!r}); pg_rewind would start it"
            " for crash recovery, which is not done here, and a copy by delta needs no such start"
        )
    inside = tablespaces_inside(pgdata.path)
    if inside:
        reasons.append(
            f"tablespaces lie inside of the data directory, where pg_rewind would meet them twice: {', '.join(inside)}"
        )
    mounted = _mounted_inside(pgdata.path)
    if mounted:
        reasons.append(f"pg_rewind would remove what other file systems hold: {', '.join(mounted)}")
    too_much = room_missing(pgdata.path, default_state_directory(pgdata.path))
    if too_much is not None:
        reasons.append(too_much)
    strangers = unwritable(pgdata.path)
    if strangers:
        reasons.append(f"pg_rewind could not write files of another owner: {', '.join(strangers[:5])}")
    return reasons


def _mounted_inside(top: str) -> list[str]:
    """Mount points in a data directory but that of the WAL, whose files pg_rewind leaves alone or takes for WAL."""
    real = os.path.realpath(top)
    return [point for point in mount_points() if point.startswith(real + "/") and point != f"{real}/pg_wal"]


def _of_upstream(pgdata: DataDir, keywords: Mapping[str, str], bindir: str, upstream: Upstream) -> list[str]:
    """Reasons that lie in the upstream, asked by SQL over the connection that pg_rewind would use."""
    secret = [name for name, value in masked(keywords).items() if value != keywords[name]]
    if secret:
        return [f"{secret[0]} in the connection would be seen in the list of processes"]
    psql = os.path.join(bindir, "psql")  # with the libpq of pg_rewind, ~/.pgpass included
    argv = [psql if os.access(psql, os.X_OK) else "psql", "-XAtqw", "-c", _QUESTION, "-d"]
    done = LocalShell().run([*argv, conninfo_text(sql_login(keywords))])
    if done.rc == 127:
        return [f"there is no psql in {bindir}"]
    if done.rc != 0:
        shown = {name: value for name, value in keywords.items() if name in ("host", "hostaddr", "port", "user")}
        return [
            f"the SQL login to database postgres of the upstream with {shown} fails: {said_by('psql', done.err)}"
            " (it needs a line in its pg_hba.conf, and in ~/.pgpass here one for that database)"
        ]
    return _of_answer(dict(json.loads(done.out)), pgdata, upstream)


def _of_answer(answer: dict[str, Any], pgdata: DataDir, upstream: Upstream) -> list[str]:
    reasons = []
    if answer["in_recovery"] and upstream.version // 10000 < _SINCE_STANDBY_SOURCE:
        reasons.append(f"the upstream is itself a standby, which pg_rewind accepts from {_SINCE_STANDBY_SOURCE} on")
    if answer["full_page_writes"] != "on":
        reasons.append("full_page_writes is off on the upstream")
    if answer["lacks"]:
        functions = ", ".join(f"pg_catalog.{name}" for name in answer["lacks"])
        reasons.append(
            f"the role {answer['user']} may not read the upstream's files; a superuser can allow it with"
            f' GRANT EXECUTE ON FUNCTION {functions} TO "{answer["user"]}"'
        )
    places = os.path.join(pgdata.path, "pg_tblspc")
    here = set(os.listdir(places)) if os.path.isdir(places) else set()
    new = sorted(name for oid, name in (answer["tablespaces"] or {}).items() if oid not in here)
    if new:
        # It would make the upstream's link here, and write to wherever that leads on this host.
        reasons.append(f"the upstream has tablespaces that are not here: {', '.join(new)}")
    return reasons


def _judged(pgdata: DataDir, done: Done, restore_command: str | None) -> RewindProof:
    """What the end and the output of a dry run mean."""
    text = "\n".join(done.lines)
    fork, size = _FORK.search(text), SIZE.search(text)
    if done.rc == 0 and fork and size:
        return RewindProof((), int(fork[2]), parse_lsn(fork[1]), int(size[1]) << 20)
    if done.rc == 0 and "on the same timeline" in text:
        return RewindProof(
            (
                "pg_rewind sees both on the same timeline, because the upstream has not completed a checkpoint since"
                " its promotion; run CHECKPOINT there, or wait for one",
            )
        )
    if done.rc == 0:
        return RewindProof((f"pg_rewind finds nothing to rewind ({'; '.join(done.lines[-2:])})",))
    said = complaint(done.lines)
    if _WAL_IS_GONE.search(text):
        help_missing = _no_help(pgdata, restore_command)
        return RewindProof((f"WAL from before the fork is not in {pgdata.path}/pg_wal any more{help_missing}: {said}",))
    step = helps(done.lines)
    return RewindProof((f"its dry run fails: {said}" + (f" ({step})" if step else ""),))


def _begins_too_late(proof: RewindProof, fork: int | None) -> str | None:
    """Pages that changed between both positions would stay. pg_rewind takes each timeline's position by itself
    (pg_rewind.c, findCommonAncestorTimeline), even if that of a later timeline is lower.
    """
    if proof.reasons or fork is None or proof.fork <= fork:
        return None
    return (
        f"pg_rewind would begin at {format_lsn(proof.fork)}, although the upstream left timeline {proof.timeline} at"
        f" {format_lsn(fork)}: the positions in its history go backwards"
    )


def _no_help(pgdata: DataDir, restore_command: str | None) -> str:
    """Why restore_command did not bring the missing WAL, as the rest of a sentence."""
    if restore_command is None:
        return ", and no restore_command was given to fetch it"
    if (pgdata.major or 0) < SINCE_CONFIG_FILE:
        return f", and pg_rewind can be given a restore_command from {SINCE_CONFIG_FILE} on only"
    return ", and restore_command did not bring it"
