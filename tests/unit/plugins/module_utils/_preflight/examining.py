# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test of the preflight needs: the other servers' answers, and a host in the state that it is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._checks.wal_proof import WalProof
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import ClusterFiles, UpstreamFacts
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.examination import Examined
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.questions import Questions
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.rehearse import Rehearsed
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit import Starter, StartUnit
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, errors, problem
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import upstream

SEGMENT = "000000010000000000000003"
ALL_WAL = WalProof((Verdict("wal", "ok", "all is there"),), SEGMENT, 20 << 20, in_archive=SEGMENT)
NO_WAL = WalProof((problem("wal", Refusal("wal_missing", "It is gone.", "clone")),), "0" * 24, 20 << 20)
FETCHED = Verdict("restore_command", "ok", "it fetches a segment")

# The upstream has left the history of the clusters that a test makes.
LEFT = {"timeline": 2, "history": ((1, 0x1741000),)}


NOT_IN_PART = StandbyError(Refusal("rehearsal_failed", "The program is too old.", "see"))


@dataclass
class Answers:
    """What other servers answer; a test changes the answer that it is about. ``asked`` is what they were asked for.

    ``upstream`` is who the upstream is, or what is raised instead. ``wal`` is the proof for a clone of the backup,
    ``wal_of_cluster`` that for the cluster which is there. Without a ``rate`` the real measurement is made.
    ``starter`` is the unit that would start the server. ``no_rewind`` are reasons why pg_rewind cannot help.
    ``rehearsed`` is what becomes of the rehearsal, or what is raised instead,
    ``in_part`` the same of what needs no cluster.
    """

    upstream: Upstream | Exception = field(default_factory=upstream)
    wal: WalProof = ALL_WAL
    wal_of_cluster: WalProof = ALL_WAL
    fetched: Verdict = FETCHED
    facts: UpstreamFacts = field(default_factory=UpstreamFacts)
    files: ClusterFiles | str = "it was not asked"
    starter: Starter | None = field(default_factory=lambda: Starter(StartUnit("postgresql-15", file_state="enabled")))
    rate: float | None = None
    no_rewind: list[str] = field(default_factory=lambda: ["no checksums"])
    rehearsed: Rehearsed | Exception = field(default_factory=Rehearsed)
    in_part: Rehearsed | Exception = field(default_factory=lambda: NOT_IN_PART)
    asked: dict[str, Any] = field(default_factory=dict)

    def questions(self) -> Questions:
        """The questions that are answered so."""
        measured: dict[str, Callable] = {} if self.rate is None else {"rate": lambda source, roots: self.rate}
        return Questions(
            identify=self._identify,
            upstream_files=lambda keywords: self.files,
            upstream_compatibility=self._compatibility,
            wal=lambda begin, *rest: self._noted("begin", begin, self.wal),
            starter=lambda service, told: self._noted("service", service, self.starter),
            fetch=lambda command, *segment: self._noted("restore_command", command, self.fetched),
            rehearse=lambda standby: self._rehearsal("rehearse", standby, self.rehearsed),
            rehearse_in_part=lambda standby: self._rehearsal("in_part", standby, self.in_part),
            **measured,
        )

    def of_cluster(self, begin: tuple[int, int], *_rest: object) -> WalProof:
        """The proof for the cluster that is there."""
        return self._noted("begin_of_cluster", begin, self.wal_of_cluster)

    def _identify(self, keywords):
        self.asked["upstream"] = keywords
        if isinstance(self.upstream, Exception):
            raise self.upstream
        return self.upstream

    def _rehearsal(self, name, standby, answer):
        self.asked[name] = standby
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _compatibility(self, standby, *_rest):
        return self._noted("standby", standby, ([], self.facts))

    def _noted(self, name, value, answer):
        self.asked[name] = value
        return answer


def codes(examined: Examined) -> list[str]:
    """The codes of all errors."""
    return sorted(str(verdict.error_code) for verdict in errors(examined.verdicts))


def of_check(examined: Examined, check: str) -> list[Verdict]:
    """The verdicts of one check."""
    return [verdict for verdict in examined.verdicts if verdict.check == check]


def interrupt(host) -> None:
    """What a copy leaves that was killed before its end: all but pg_control, which a server would need."""
    host.copy()
    (host.pgdata / "global/pg_control").unlink()
    host.change_record(phase="copying")
    host.mark(host.pgdata, host.fast)
