# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup to clone from, and why not another. Pure. Private to the collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import MANIFEST, MANIFEST_SINCE, Backup
from ansible_collections.pgfleet.standby.plugins.module_utils._times import Moment, parse_duration, parse_time, spoken

__all__ = ["WAITING", "BackupRequest", "Choice", "choose", "request_of"]

_OLDEST_MAJOR = 10  # before it, versions are numbered otherwise

WAITING = "WAITING_FOR_WALS"

_NEWEST = ("latest", "latest-full")

_KEYWORDS = (*_NEWEST, "oldest")

# Barman tells the size, the LSNs and the times only of backups with one of these states (BackupInfo.STATUS_COPY_DONE).
_COPIED = ("DONE", WAITING)

# Barman's backup_compression; what has one is in tars (Barman 3.0 for gzip, 3.1 for lz4 and zstd).
_COMPRESSIONS = ("gzip", "lz4", "zstd", "none")

# Others are snapshots of a cloud's disks, which nothing here can read.
_TYPES = ("rsync", "full", "incremental")

# Barman's words: rsync-concurrent is that of local-rsync, too, and a passive Barman (primary_ssh_command) has one word
# for whatever it has copied from another Barman: what that is shows in its files.
_MODES = ("rsync-concurrent", "postgres", "passive")

_SAID = 5  # as many backups as a message names; a catalogue may hold hundreds


def _reasons_unusable(backup: Backup) -> Sequence[str]:
    """Every reason why a backup cannot be cloned; empty for a usable one."""
    if backup.status != "DONE":
        return [f"its status is {backup.status}, not DONE" + (f" ({backup.error})" if backup.error else "")]
    return _unfit(backup)


def _of_type(backup: Backup) -> Sequence[str]:
    """What speaks against its type."""
    if backup.type in _TYPES:
        return []
    return [f"it is of type {backup.type}; supported are {', '.join(_TYPES[:-1])} and {_TYPES[-1]}"]


def _unfit(backup: Backup) -> Sequence[str]:
    """What will speak against it whatever becomes of its status."""
    found = [*_of_type(backup)]
    if backup.mode not in _MODES:
        found.append(f"it was taken by method {backup.mode}; supported are rsync and postgres")
    if backup.compression and not backup.staged:
        found += _unfit_archive(backup, backup.compression)
    if backup.major is None or backup.major < _OLDEST_MAJOR:
        found.append(f"it is of PostgreSQL {backup.major}; supported are {_OLDEST_MAJOR} and later")
    return found


def _unfit_archive(backup: Backup, compression: str) -> Sequence[str]:
    """What speaks against the tars of a packed backup."""
    if compression not in _COMPRESSIONS:
        return [f"it is compressed ({compression}); supported are {', '.join(_COMPRESSIONS)}"]
    if backup.major is not None and backup.major < MANIFEST_SINCE:
        return [
            f"it is compressed ({compression}) and of PostgreSQL {backup.major}, which writes no {MANIFEST};"
            f" of compressed ones supported are {MANIFEST_SINCE} and later"
        ]
    return []


class BackupRequest(NamedTuple):
    """What is asked for.

    ``backup_id`` is ``latest``, ``latest-full``, ``oldest``, an id or a name. ``before`` and ``max_age`` come with the
    text that the user gave. ``wait`` are the seconds that a backup may get whose WAL is not complete.
    """

    backup_id: str
    before: tuple[Moment, str] | None = None
    max_age: tuple[int, str] | None = None
    wait: int = 0
    now: int = 0


class Choice(NamedTuple):
    """The chosen backup, and those that were passed over on the way to it, each with every reason."""

    backup: Backup
    skipped: tuple[tuple[str, Sequence[str]], ...]


class _Look(NamedTuple):
    """A backup that was looked at, what speaks against it, and which steps of the user would help."""

    backup: Backup
    reasons: Sequence[str] = ()
    remedies: Sequence[str] = ()


def request_of(params: dict[str, Any], now: int) -> BackupRequest:
    """What a module's options ask for. Raises StandbyError for a time, a duration or a number that makes no sense."""
    if params["wait"] < 0:
        raise StandbyError(Refusal("option_out_of_range", f"wait={params['wait']} is less than 0.", "correct it"))
    return BackupRequest(
        params["backup_id"],
        _before(params["before"]) if params["before"] else None,
        _max_age(params["max_age"]) if params["max_age"] else None,
        params["wait"],
        now,
    )


def _before(text: str) -> tuple[Moment, str]:
    moment = parse_time(text)
    # ISO 8601 without a zone would be a guess. Barman's own format has none either, but can be compared with Barman's.
    if moment is None or (moment.offset is None and text.strip()[0].isdigit()):
        raise StandbyError(
            Refusal(
                "time_invalid",
                f"before={text!r} is no time with a zone.",
                "write it like 2026-11-21T11:48:33Z or"
                " 2026-11-21 12:48:33+01:00, or as `barman list-backups` prints it",
            )
        )
    return moment, text.strip()


def _max_age(text: str) -> tuple[int, str]:
    seconds = parse_duration(text)
    if not seconds:
        raise StandbyError(
            Refusal(
                "time_invalid",
                f"max_age={text!r} is no duration.",
                "write it like 36h, 7d or 90min; a number alone are seconds",
            )
        )
    return seconds, text.strip()


def choose(
    backups: Iterable[Backup],
    wanted: BackupRequest,
    server: str,
    details: Callable[[str], Backup],
    ready: Callable[[str], Backup] | None = None,
) -> Choice:
    """The backup that is wanted: the first of those in question that can be cloned.

    ``backups`` come newest first; ``details`` fetches what the list does not tell, and is asked only for as many
    backups as it takes. ``ready`` waits for a backup's WAL and returns it as it is then; without it nothing waits.
    Raises StandbyError with the reasons when none will do.
    """
    passed: list[_Look] = []
    for listed in _candidates(list(backups), wanted.backup_id, server):
        look = _look(listed, wanted, details, ready)
        if not look.reasons:
            return Choice(look.backup, tuple((it.backup.backup_id, it.reasons) for it in passed))
        passed.append(look)
    raise _refusal(passed, wanted, server)


def _candidates(backups: Sequence[Backup], backup_id: str, server: str) -> Sequence[Backup]:
    """Those in question, in the order of preference. Raises StandbyError when it is not clear which are meant."""
    if backup_id in _KEYWORDS:
        return backups if backup_id in _NEWEST else backups[::-1]
    of_id = [backup for backup in backups if backup.backup_id == backup_id]
    if of_id:
        return of_id
    named = [backup for backup in backups if backup.name == backup_id]
    if not named:
        raise StandbyError(
            Refusal(
                "backup_unknown",
                f"Server {server} has no backup {backup_id!r}, neither by id nor by name.",
                f"choose one of `barman list-backups {server}`, or latest",
            )
        )
    # As for Barman itself, an attempt that failed does not take the name from the next one.
    copied = [backup.backup_id for backup in named if backup.status in _COPIED]
    if len(copied) > 1:
        raise StandbyError(
            Refusal(
                "backup_ambiguous",
                f"Server {server} has {len(copied)} backups with the name {backup_id!r}: {', '.join(copied)}.",
                "give the id of one of them as backup_id",
            )
        )
    return named


def _look(
    listed: Backup, wanted: BackupRequest, details: Callable[[str], Backup], ready: Callable[[str], Backup] | None
) -> _Look:
    """What speaks against a backup. What the list alone rules out is not asked for: that may be most of a catalogue."""
    out = _of_asked(listed, wanted)
    if out.reasons or listed.status not in _COPIED:
        return out._replace(reasons=[*out.reasons, *(() if listed.status == "DONE" else _reasons_unusable(listed))])
    if listed.type is not None and _of_type(listed):  # a list tells it from Barman 3.11 on
        return out._replace(reasons=_of_type(listed))
    backup = details(listed.backup_id)
    out = _of_asked(backup, wanted, known=True)
    unfit = [*out.reasons, *(_unfit(backup) if backup.status in _COPIED else ())]
    if backup.status == WAITING and not unfit and wanted.wait > 0 and ready is not None:
        backup = ready(backup.backup_id)
    if backup.status == "DONE":
        return _Look(backup, unfit, out.remedies)
    if backup.status != WAITING or unfit:  # then time alone would not help
        return _Look(backup, [*_reasons_unusable(backup), *unfit], out.remedies)
    return _waiting(backup, wanted.wait, may_wait=ready is not None)


def _of_asked(backup: Backup, wanted: BackupRequest, known: bool = False) -> _Look:
    """What keeps it from being the one that is asked for; ``known`` when all is there that Barman tells of it."""
    reasons, remedies = [], []
    if wanted.backup_id == "latest-full" and backup.type == "incremental":
        reasons.append("it is incremental, and a full one is asked for")
    late = _late(backup, wanted)
    if late is not None and late >= 0 and wanted.before is not None:
        reasons.append(f"it ended at {backup.end_time}, not before {wanted.before[1]}: {spoken(late)} after it")
        remedies.append("let before be later")
    age = None if backup.end_timestamp is None else wanted.now - backup.end_timestamp
    if wanted.max_age is not None and age is not None and age > wanted.max_age[0]:
        reasons.append(f"it is {spoken(age)} old, ended at {backup.end_time}; max_age is {wanted.max_age[1]}")
        remedies.append("let max_age be longer")
    unknown = (wanted.before is not None and late is None) or (wanted.max_age is not None and age is None)
    if known and unknown and backup.status in _COPIED:
        reasons.append("Barman does not tell when it ended")
    return _Look(backup, reasons, remedies)


def _late(backup: Backup, wanted: BackupRequest) -> int | None:
    """How many seconds after `before` the backup ended, negative for earlier; None if not asked or not known."""
    if wanted.before is None:
        return None
    before = wanted.before[0]
    if before.timestamp is not None:
        return None if backup.end_timestamp is None else backup.end_timestamp - before.timestamp
    # Without a zone it is a time as Barman prints it, so it is compared with what Barman prints.
    end = parse_time(backup.end_time or "")
    return None if end is None else end.wall - before.wall


def _waiting(backup: Backup, seconds: int, may_wait: bool) -> _Look:
    """A backup that lacks nothing but WAL, which Barman still expects."""
    [status] = _reasons_unusable(backup)
    if seconds > 0 and may_wait:
        return _Look(backup, [f"{status}, even after wait={seconds} seconds"], ["let wait be longer"])
    if seconds > 0:
        return _Look(backup, [f"{status}; check mode does not wait for it"])
    hint = "Barman has not yet archived all WAL that it needs; with wait=SECONDS it would be waited for"
    return _Look(backup, [f"{status}: {hint}"], ["set wait to give it time"])


def _refusal(passed: Sequence[_Look], wanted: BackupRequest, server: str) -> StandbyError:
    result = [{"backup_id": look.backup.backup_id, "reasons": list(look.reasons)} for look in passed]
    steps = list(dict.fromkeys(remedy for look in passed for remedy in look.remedies))
    if wanted.backup_id not in _KEYWORDS:
        steps += ["choose another backup_id"]
        return StandbyError(
            Refusal("backup_unsupported", f"Backup {_said(passed)}.", f"{', or '.join(steps)}, or latest"),
            passed_over=result,
        )
    steps += [f"take one with `barman backup {server} --wait`"]
    return StandbyError(
        Refusal(
            "no_usable_backup",
            f"Server {server} has no backup that can be cloned ({_said(passed) or 'its catalogue is empty'}).",
            f"{', or '.join(steps)}",
        ),
        passed_over=result,
    )


def _said(passed: Sequence[_Look]) -> str:
    """The reasons in a message. Those of backups that were just not asked for come last: they are as expected."""
    first = sorted(passed, key=lambda look: bool(look.remedies) and look.backup.status == "DONE")
    said = [f"{look.backup.backup_id}: {', '.join(look.reasons)}" for look in first[:_SAID]]
    more = len(first) - _SAID
    return "; ".join([*said, *([f"and {more} more"] if more > 0 else [])])
