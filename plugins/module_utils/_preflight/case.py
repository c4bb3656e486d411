# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preflight knows of a host when the action is decided. Private to the collection."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._checks.basebackup_facts import UpstreamFiles
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.configuration_facts import ConfigurationPlaces
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.wal_proof import WalProof
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir, Upstream
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.decision import COPYING, Decision
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.request import Request
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit import Starter

__all__ = ["Case"]

# Actions that leave the cluster that is there in place, with its own configuration.
_GOING_ON = ("start", "settings", "rewind")


@dataclass(frozen=True)
class Case:
    """One host, what it is to become, and the decision. All questions that remain are about these.

    ``job`` copies Barman's backup, or the upstream itself, which ``upstream_files`` then describes; None if there is
    nothing to copy from. ``upstream`` is None if it was not asked or did not answer, ``pgdata`` and ``decision`` if the
    data directory could not be read. ``proof`` says whether the cluster that is there finds its WAL. ``paths_fit``:
    the paths of the request may be written. ``starter`` is what the unit starts that is named; None if none is, or if
    systemd does not tell.
    """

    request: Request
    job: Job | None = None
    upstream: Upstream | None = None
    upstream_files: UpstreamFiles | None = None
    pgdata: DataDir | None = None
    decision: Decision | None = None
    proof: WalProof | None = None
    paths_fit: bool = True
    starter: Starter | None = None

    @property
    def action(self) -> str:
        """The decision's action; ``refuse`` if there is no decision."""
        return self.decision.action if self.decision is not None else "refuse"

    @property
    def copies(self) -> bool:
        """Whether files are copied, or would be if the refusal were lifted."""
        return self.action in (*COPYING, "refuse")

    @property
    def goes_on(self) -> bool:
        """Whether the cluster that is there stays, and goes on with its own configuration."""
        return self.action in _GOING_ON

    @property
    def wal_to_replay(self) -> int:
        """Bytes of WAL up to what the upstream has written: from the cluster that goes on, or from the backup."""
        if self.goes_on and self.proof is not None:
            return self.proof.bytes
        begin = self.job.backup.begin_lsn if self.job is not None else None
        return max(0, self.upstream.lsn - parse_lsn(begin)) if self.upstream is not None and begin else 0

    def configuration_places(self, bindir: str) -> ConfigurationPlaces:
        """Where the standby's configuration is, or will be."""
        request = self.request
        return ConfigurationPlaces(
            request.data_directory,
            bindir,
            request.config_directory,
            request.config_created,
            request.config_from_backup,
        )
