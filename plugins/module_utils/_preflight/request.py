# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preflight is asked: what the host is to become, and whom to ask. Private to the collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.basebackup_facts import UpstreamSource
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Job
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._model import CheckItem

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """What the host is to become, and whom to ask. ``job`` is None where no backup could be chosen; ``no_backup`` then
    says why, as a message and its code. ``restore_command`` is the one that the server will run, ``restore_note`` why
    it is not Barman's own script. With ``basebackup`` the upstream is copied itself, and makes the job. Without
    ``upstream_asked`` nobody logs in to the upstream, and what only it could prove is told as not proven.
    ``upstream_derived`` is what the plan tells of where the upstream's conninfo is from, unless somebody gave it.
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
    restore_note: str | None = None
    barman: Barman | None = None
    barman_checks: tuple[CheckItem, ...] | None = None
    no_backup: Refusal | None = None
    service: str | None = None
    directories_created: bool = False
    slot_created: bool = False
    rewind_user: str | None = None
    basebackup: UpstreamSource | None = None
    upstream_asked: bool = True
    upstream_derived: Mapping[str, Any] | None = None
