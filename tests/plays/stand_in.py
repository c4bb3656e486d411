# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for every module that the role calls: it answers from a world of hosts, and notes who asked what.

An action plugin, so that a call costs no process. `plays.py` lays it into a collection under the modules' names.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

# What a note keeps of a module's options.
NOTED = (
    "data_directory",
    "barman_server",
    "backup",
    "owner",
    "state",
    "settings",
    "service",
    "name",
    "enabled",
    "wal_feed",
    "slot",
)

COPYING = frozenset({"standby_clone", "standby_basebackup", "standby_restore"})


class ActionModule(ActionBase):
    """One call, on one host, about one data directory."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        assert task_vars is not None
        module = self._task.action.rsplit(".", 1)[-1]
        host = task_vars["inventory_hostname"]
        # Some modules are told no directory; the role's own input is the same.
        data_directory = self._task.args.get("data_directory") or task_vars["standby_from_barman_data_directory"]
        with (Path(os.environ["STAND_IN"]) / "story").open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            story = [json.loads(line) for line in file]
            options = {name: self._task.args[name] for name in NOTED if name in self._task.args}
            call = {"host": host, "module": module, "data_directory": data_directory, "options": options}
            call["check_mode"] = self._task.check_mode
            file.write(f"{json.dumps(call)}\n")
        world = json.loads((Path(os.environ["STAND_IN"]) / "world").read_text(encoding="utf-8"))
        if host in world["unreachable"]:
            raise AnsibleConnectionFailure("nothing answers")
        if module in world["fails"].get(host, {}):
            return {"failed": True, "changed": False, **world["fails"][host][module]}
        made = any(
            past["module"] in COPYING.difference(world["fails"].get(host, {}))
            and (past["host"], past["data_directory"]) == (host, data_directory)
            for past in story
        )
        self.runs = made or f"{host}:{data_directory}" in world["healthy"]
        streams = self.runs and host not in world["late"]
        # Until somebody has waited for it.
        self.rewinds = host in world["rewinding"] and not any(
            past["module"] == "standby_rewind" and past["host"] == host for past in story
        )
        self.world = world
        self.drifted = f"{host}:{data_directory}" in world["drifted"]
        return {"changed": False, **getattr(self, f"_{module}", self._nothing)(streams)}

    # --- the answers, each with what the role takes from it ------------------------------

    def _nothing(self, _streams: bool) -> dict[str, Any]:
        return {}

    def _standby_drift_info(self, streams: bool) -> dict[str, Any]:
        return {
            "settled": streams and not self.drifted,
            "drift": [],
            "after_reboot": {"starts": True, "why": "seen at once", "step": ""} if streams else None,
            "standby": self._standby_info(streams),
            "wal_feed": self.world["fed"] or None,
            "rewinds": self.rewinds,
            "former_slots": self.world["former"],
        }

    def _standby_info(self, streams: bool) -> dict[str, Any]:
        return {
            "ready": streams,
            "state": "streaming" if streams else "not_ready",
            "running": self.runs,
            "instance": {"in_recovery": True} if self.runs else None,
            "reasons": [] if streams else ["no server runs"],
            "lag_bytes": 0 if streams else None,
            "upstream": {"lsn": "0/3000060"},
            "pgdata": {"ours": self.runs, "clone": {"backup_id": "earlier"} if self.runs else None},
        }

    def _pgdata_info(self, _streams: bool) -> dict[str, Any]:
        return {"pgdata": {"running": self.runs}}

    def _barman_backup_info(self, _streams: bool) -> dict[str, Any]:
        server = self._task.args["barman_server"]
        return {"selected": {"backup_id": f"of {server}", "server": server}, "checks": []}

    def _standby_preflight(self, _streams: bool) -> dict[str, Any]:
        backup = self._task.args.get("backup")
        if not backup and self._task.args.get("method") != "pg_basebackup":
            why = self._task.args.get("no_backup") or {}
            return {"failed": True, "error_code": why.get("error_code", "no_backup"), "msg": why.get("msg", "")}
        plan = {
            "action": "clone",
            "reason": "the data directory is empty",
            "method": "rsync",
            "server": backup["server"] if backup else None,
            "bytes": 1000,
            "files": 10,
            "copies": True,
            "staged": False,
            "stop": False,
            "backup_id": backup["backup_id"] if backup else None,
            "bytes_to_copy": 1000,
            "seconds": 1,
            "tablespaces": [],
            "settings": {"max_connections": self._task.args["data_directory"]},
            "slot": {"create": False},
            "not_checked": [],
        }
        return {"plan": {**plan, **self.world["plan"]}}

    def _postgresql_slot(self, _streams: bool) -> dict[str, Any]:
        return {"changed": True}

    def _barman_backup_keep(self, _streams: bool) -> dict[str, Any]:
        return {"changed": True, "owners": [self._task.args["owner"]], "pinned": True}

    def _standby_wal_feed(self, _streams: bool) -> dict[str, Any]:
        present = self._task.args.get("state") != "absent"
        return {"changed": True, "action": "started" if present else "ended", "running": present}

    def _standby_clone(self, _streams: bool) -> dict[str, Any]:
        backup_id = self._task.args["backup"]["backup_id"]
        return {"changed": True, "backup_id": backup_id, "bytes_sent": 1000, "seconds": 1, "kept_old": []}

    def _standby_basebackup(self, _streams: bool) -> dict[str, Any]:
        return {"changed": True, "bytes_received": 1000, "seconds": 1, "kept_old": []}

    def _standby_server(self, _streams: bool) -> dict[str, Any]:
        """Enabled by nobody before, and for good from the first call on that asks for it."""
        starts = bool(self._task.args.get("enabled"))
        return {"after_reboot": {"starts": starts, "why": f"enabled: {starts}", "step": ""}}

    def _standby_recovery(self, streams: bool) -> dict[str, Any]:
        drift = bool(self._task.args["settings"]) and not streams
        return {"changed": drift, "server_state": "started"}
