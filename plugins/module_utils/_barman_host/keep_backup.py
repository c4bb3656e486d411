# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``barman keep`` for as long as somebody claims a backup, on the Barman host. Private to the collection.

``keep_backup`` is sent to the Barman host and runs there, as one program under one lock: neither a lost connection nor
a killed control node ends it half way.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.claim_records import (
    Record,
    record_of,
    records,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.claims import (
    FULL,
    NOKEEP,
    Claims,
    ClaimStep,
    Seen,
    claims_of,
    renewed,
    to_claim,
    to_release,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.stage_backup import sweep_staged
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.processes import uses_below
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["keep_backup"]

_LOCK_SECONDS = 300


def keep_backup(request: Mapping[str, Any]) -> dict[str, Any]:
    """Claim or release a backup, and release backups without a claim. Raises StandbyError."""
    kept = _Kept(Barman.on_its_host(request["barman"]), os.path.realpath(request["directory"]))
    if request["only_look"]:
        step = kept.step(request)
        return kept.answer(step, [kept.backup_id] if step.taken_over else [])
    with kept.record.locked(_LOCK_SECONDS):
        step = kept.step(request)
        kept.take(step)
    taken_over = [*([kept.backup_id] if step.taken_over else []), *_sweep(kept)]
    sweep_staged(os.path.dirname(kept.directory))
    return kept.answer(step, taken_over)


class _Kept:
    """A backup that may be kept, and its record."""

    def __init__(self, barman: Barman, directory: str, record: Record | None = None) -> None:
        self.barman = barman
        self.directory = directory
        self.backup_id = os.path.basename(directory)
        self.record = record or record_of("keep", barman.server, directory)
        self.seen = Seen(NOKEEP)

    def step(self, request: Mapping[str, Any]) -> ClaimStep:
        """What has to be done, after a look at what is."""
        now = time.time()
        uses = renewed(self.record.read(), now, lambda: uses_below(self.directory))
        if request["seconds"] is not None:
            self._ask()
            return to_claim(uses, self.seen, request["owner"], now + request["seconds"])
        try:
            self._ask()
        except StandbyError as error:
            if error.code not in ("backup_unknown", "keep_unsupported"):
                raise
        return to_release(uses, self.seen, request["owner"])

    def _ask(self) -> None:
        """What Barman says of the backup now. Raises StandbyError, also for a Barman that cannot keep a backup."""
        self.barman.require_keep()
        self.seen = Seen(self.barman.keep_target(self.backup_id), self._mark())

    def _mark(self) -> int | None:
        """When the keep was made, in nanoseconds since 1970; None if its file is not where Barman has it.

        Barman writes BACKUP/annotations/keep anew at every `barman keep`, also with the same target
        (barman/annotations.py and cli.py, 3.13.2); there is no other trace of who made it, or when.
        """
        try:
            return os.stat(os.path.join(self.directory, "annotations", "keep")).st_mtime_ns
        except OSError:
            return None

    def take(self, step: ClaimStep) -> None:
        """The record comes before the keep, and goes after it: nothing stays kept of which no record speaks."""
        if step.command == "keep":
            self._keep(step.uses)
            return
        if step.command == "release":
            self.barman.release_keep(self.backup_id)
            self.seen = Seen(NOKEEP)
        if step.uses.claims:
            self._write(step.uses)
        else:
            self.record.remove()

    def _keep(self, uses: Claims) -> None:
        if self.barman.worm_mode():
            raise StandbyError(
                Refusal(
                    "keep_unsupported",
                    f"Server {self.barman.server} is in worm mode, in which Barman's release notes (3.13.2) do not"
                    " support"
                    " keep. What is immutable cannot be deleted either, until it expires.",
                    "nothing has to be done while the storage is immutable for longer than the copy takes",
                )
            )
        before = self.record.read()
        # Without a mark: if this ends between the keep and its mark, nothing tells the keep from one of a person.
        self._write(uses._replace(mark=None))
        try:
            self.barman.keep(self.backup_id, FULL)
        except StandbyError:
            self.record.write(before) if before else self.record.remove()
            raise
        self.seen = Seen(FULL, self._mark())
        self._write(uses._replace(mark=self.seen.mark))

    def _write(self, uses: Claims) -> None:
        self.record.write({"server": self.barman.server, "directory": self.directory, **uses._asdict()})

    def answer(self, step: ClaimStep, taken_over: list[str]) -> dict[str, Any]:
        """What became of it, or would. ``taken_over`` are the backups whose keep was ours and is another one now."""
        target = {"keep": FULL, "release": NOKEEP}.get(step.command or "", self.seen.target)
        return {
            "target": target,
            "foreign": target != NOKEEP and not step.uses.ours,
            "claims": step.uses.claims,
            "changed": step.changed,
            "taken_over": taken_over,
        }


def _sweep(kept: _Kept) -> list[str]:
    """Release this server's other backups whose last claim has expired: the runs that claimed them were killed.

    Returns those that stay kept, because their keep is not ours any more.
    """
    taken_over = []
    for record in records("keep"):
        with contextlib.suppress(StandbyError, OSError):
            found = record.read()
            directory = str(found.get("directory"))
            same = os.path.dirname(directory) == os.path.dirname(kept.directory)
            if same and directory != kept.directory and not claims_of(found, time.time()).claims:
                with record.locked(0):
                    other = _Kept(kept.barman, directory, record)
                    step = other.step({"owner": None, "seconds": None})
                    other.take(step)
                    if step.taken_over and not step.uses.claims:
                        taken_over.append(other.backup_id)
    return taken_over
