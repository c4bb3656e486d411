# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's options to the recovery settings that are asked for. Private to the collection."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import (
    default_state_directory,
    spool_of,
    wal_spool_of,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.login import login_of
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.reconcile import RecoveryRequest
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.requested_settings import requested_settings
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.restore_command import (
    restore_command,
    spool_first,
)

__all__ = ["request_of"]


def request_of(params: dict[str, Any]) -> RecoveryRequest:
    """The settings that the options of standby_recovery ask for. Raises StandbyError."""
    path = params["data_directory"]
    state_directory = params["state_directory"] or default_state_directory(path)
    login = login_of(params, params["application_name"])
    command = restore_command(params, spool_of(state_directory))
    text = spool_first(wal_spool_of(state_directory), command.text) if params.get("wal_feed") else command.text
    return RecoveryRequest(
        data_directory=path,
        state_directory=state_directory,
        settings=requested_settings(conninfo_text(login.conninfo), text, params),
        login=login,
        command=command,
        config_directory=params["config_directory"] or None,
        config_files=params["config_files"],
        bindir=params["pg_bindir"],
        rejoin=params.get("rejoin", False),
        login_user=params["login_user"] or None,
    )
