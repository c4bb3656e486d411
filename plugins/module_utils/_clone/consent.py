# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each level of ``overwrite`` allows: the one place that knows, for the preflight and for a clone. Pure.

Private to the collection.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup, DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import is_ours

__all__ = ["Admission", "Contents", "admit", "admit_as_it_is", "admit_rewind", "contents_of"]

# Each level includes those before it.
_LEVELS = ("never", "pristine", "same_cluster", "always")

_NONE_OF_POSTGRESQL = "what is not PostgreSQL's is there"


@dataclass(frozen=True)
class Contents:
    """What a data directory holds, as far as consent depends on it.

    ``state`` is that of ``DataDir``. ``same_cluster``: whether the system identifier of what is there is the backup's;
    None if nothing there has one, False if that of the backup is not known. ``postgresql``: a PG_VERSION is there.
    ``rewinding``: an interrupted pg_rewind has left it. ``finished``: a finished copy of that very backup made it.
    """

    state: str
    same_cluster: bool | None = None
    postgresql: bool = True
    rewinding: bool = False
    finished: bool = False


@dataclass(frozen=True)
class Admission:
    """What may be done with a data directory.

    ``action`` is what is done at a sufficient level: for a copy ``none``, ``clone``, ``resume``, ``delta`` or
    ``replace``. ``level`` is the lowest sufficient level of overwrite; None if no level is. ``reason`` is what is
    there, in words without a full stop. ``refusal`` is there if the given level is not sufficient.
    """

    action: str
    level: str | None
    reason: str
    refusal: Refusal | None = None


def contents_of(pgdata: DataDir, system_identifier: str | None, backup: Backup | None = None) -> Contents:
    """A data directory in the terms of consent, for a backup, or a cluster, with that system identifier."""
    record = pgdata.clone or {}
    rewinding = pgdata.state == "incomplete" and record.get("phase") == "rewinding"
    if rewinding:
        same: bool | None = system_identifier is not None and record.get("system_identifier") == system_identifier
    else:
        same = None if pgdata.control is None else pgdata.control.system_identifier == system_identifier
    # One with the backup's identifier is not new, however it looks: it may be the very cluster that was backed up.
    state = "cluster" if pgdata.state == "pristine" and same else pgdata.state
    made_of = (record.get("backup_id"), record.get("server"))
    return Contents(
        state=state,
        same_cluster=same,
        postgresql=pgdata.version is not None,
        rewinding=rewinding,
        finished=backup is not None and is_ours(pgdata) and made_of == (backup.backup_id, backup.server),
    )


def admit(contents: Contents, overwrite: str, again: bool = False) -> Admission:
    """What a copy of the backup may do with what is there, at that level of overwrite.

    ``again``: a finished copy of the very backup is not good enough. That a server runs there is another question.
    """
    action, level, reason = _copy_over(contents, again)
    if _allows(overwrite, level):
        return Admission(action, level, reason)
    return Admission(action, level, reason, _refusal(contents, action, level, reason))


def admit_as_it_is(overwrite: str, ours: bool) -> Admission:
    """Whether a cluster of the upstream's may go on with new settings; ``ours``: it is a standby that a copy made."""
    if ours:
        return Admission("start", "never", "a standby of this cluster is there that this collection has made")
    level = "same_cluster"
    reason = "a cluster of the same system identifier is there that this collection has not made as a standby"
    if _allows(overwrite, level):
        return Admission("start", level, reason)
    step = f"allow overwrite={level} to take it over as it is"
    return Admission("start", level, reason, Refusal("cluster_not_ours", f"{reason}.", step))


def admit_rewind(overwrite: str) -> Admission:
    """Whether pg_rewind may change a cluster of the upstream's whose history has left the upstream's."""
    level = "same_cluster"
    reason = "a cluster of the same system identifier is there whose history has left the upstream's"
    if _allows(overwrite, level):
        return Admission("rewind", level, reason)
    step = f"allow overwrite={level} to bring it to the upstream's history"
    return Admission("rewind", level, reason, Refusal("cluster_diverged", f"{reason}.", step))


def _allows(given: str, needed: str | None) -> bool:
    return needed is not None and _LEVELS.index(given) >= _LEVELS.index(needed)


def _copy_over(contents: Contents, again: bool) -> tuple[str, str | None, str]:
    """What a copy does with what is there, the level that this takes, and what is there in words."""
    if contents.state in ("absent", "empty"):
        return "clone", "never", f"the data directory is {contents.state}"
    if contents.state == "incomplete" and not contents.rewinding:
        return "resume", "never", "an unfinished copy is there"
    if contents.finished and not again:
        return "none", "never", "a finished copy of this backup is there"
    if contents.rewinding:
        what = "a cluster that an interrupted pg_rewind has left is there"
        if contents.same_cluster:  # the rewind had the consent that a delta takes
            return "delta", "never", what
        return "replace", "always", f"{what}, and its system identifier is not known to be the backup's"
    if contents.state == "pristine":
        return "replace", "pristine", "a cluster is there that initdb has made and that is not in use"
    if contents.state == "foreign":
        if contents.postgresql:
            return "replace", "always", "a damaged cluster is there"
        return "replace", None, _NONE_OF_POSTGRESQL
    if contents.same_cluster:
        return "delta", "same_cluster", "a cluster of the same system identifier is there"
    return "replace", "always", "a cluster of another system identifier is there"


def _refusal(contents: Contents, action: str, level: str | None, reason: str) -> Refusal:
    choose, remove = "choose an empty data_directory", "remove what is there yourself"
    if level is None:
        found = f"{reason}, and no overwrite allows to remove that."
        return Refusal("data_directory_foreign", found, f"{choose}, or {remove}")
    purpose = "to bring it to the backup's state" if action == "delta" else "to replace it"
    found, step = f"{reason}.", f"{choose}, allow overwrite={level} {purpose}, or {remove}"
    if contents.state == "foreign":
        return Refusal("data_directory_damaged", found, step)
    if contents.state == "pristine":
        return Refusal("data_directory_pristine", found, step)
    return Refusal("data_directory_cluster", found, step)
