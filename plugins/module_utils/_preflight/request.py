# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preflight is asked: what the host is to become, and who answers for it. Private to the collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.basebackup_facts import UpstreamSource
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._model import CheckItem

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """What the host is to become, and whom to ask.

    ``job`` copies a backup of Barman's. It is None if no backup could be chosen, for which ``no_backup`` is the reason,
    or if ``basebackup`` is given: then the upstream itself is copied. ``keywords`` lead to the upstream.
    ``upstream_asked``: whether to log in to it; if not, what only the upstream could prove is reported as not checked.
    ``upstream_derived`` is what the plan reports of where ``keywords`` come from, if they were derived.
    ``restore_command`` is the command that the server will run, ``restore_trial`` the same for a trial;
    ``restore_note`` is the reason why that is not Barman's own script. ``barman_checks`` are the lines of
    ``barman check``, None if Barman was not asked.
    ``rehearse`` is ``always`` if a rehearsal that cannot be had is a problem, ``auto`` if it is not, or ``never``.
    ``settings`` are what the recovery settings are to hold beside, as options of a module.
    ``login_user`` is the role as whom a server here is asked, None for that of the OS user's name.
    ``units`` are the properties of systemd's units about which root has asked, by their names.
    ``directories_created``, ``slot_created`` and ``config_created``: the play makes them before it copies anything.
    """

    data_directory: str
    state_directory: str
    keywords: dict[str, str]
    job: Job | None
    overwrite: str = "never"
    bindir: str | None = None
    slot_name: str | None = None
    config_directory: str | None = None
    config_created: bool = False
    config_from_backup: bool = False
    hot_standby_settings: str = "raise"
    restore_command: str | None = None
    restore_trial: str | None = None
    restore_note: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    barman: Barman | None = None
    barman_checks: tuple[CheckItem, ...] | None = None
    no_backup: Refusal | None = None
    service: str | None = None
    units: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    directories_created: bool = False
    slot_created: bool = False
    rewind_user: str | None = None
    login_user: str | None = None
    basebackup: UpstreamSource | None = None
    upstream_asked: bool = True
    upstream_derived: Mapping[str, Any] | None = None
    rehearse: str = "auto"

    @property
    def method(self) -> str:
        """What brings the files: ``pg_basebackup``, or the method of the job; ``rsync`` if there is no job."""
        if self.basebackup is not None:
            return "pg_basebackup"
        return self.job.method if self.job is not None else "rsync"
