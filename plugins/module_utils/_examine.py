# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A preflight: observe everything, judge everything, raise nothing on the way. Private to the collection."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ansible_collections.pgfleet.standby.plugins.module_utils import _preflight as judge_of
from ansible_collections.pgfleet.standby.plugins.module_utils import _tree
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_files import fetch
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import (
    Job,
    judge,
    look,
    plan,
    require_empty_targets,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._datadir import (
    control_data,
    home_directories,
    place_exists,
    read_small,
    write_atomically,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._inventory import CONTROL, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._lsn import format_lsn, parse_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import (
    HOT_STANDBY_SETTINGS,
    ControlData,
    DataDir,
    Upstream,
    Verdict,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery import foreign_paths
from ansible_collections.pgfleet.standby.plugins.module_utils._server import identify
from ansible_collections.pgfleet.standby.plugins.module_utils._server_config import (
    configured_data_directory,
    effective,
    server_version,
)

__all__ = ["Examination", "Wish"]

T = TypeVar("T")

# The configuration that a backup may carry in its data directory, includes of the usual names with it.
_CONFIGURATION = re.compile(r"[^/]+\.conf|conf\.d/[^/]+\.conf")


@dataclass(frozen=True)
class Wish:
    """What the standby is to become."""

    job: Job
    keywords: dict[str, str]
    config_directory: str | None
    config_created: bool
    hot_standby_settings: str
    restore_command: str | None
    service: str | None = None


@dataclass
class Examination:
    """All verdicts about one host, and the plan that follows from them."""

    wish: Wish
    verdicts: list[Verdict] = field(default_factory=list)
    plan: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Ask everything that can be asked; what depends on a failed answer is left out."""
        job = self.wish.job
        self.verdicts += judge_of.paths(job.data_directory, job.other_places, home_directories())
        found = self._try("data_directory", lambda: look(job))
        action = None
        if found is not None:
            action = self._try("data_directory", lambda: self._action(found))
            self._try("tablespaces", lambda: require_empty_targets(job, found))
        self.verdicts += self._try("version", lambda: judge_of.version(job.backup, server_version(job.bindir))) or []
        self._check_restore_command()
        self.verdicts += judge_of.starter(self.wish.service, [job.data_directory, job.state_directory])
        server = self._try("upstream", lambda: identify(self.wish.keywords))
        if server is not None:
            self.verdicts += judge_of.upstream(job.backup, server)
        roots = self._try("backup", lambda: plan(job))
        if roots is not None:
            self._check_space(roots, server, action)
            self._try("configuration", lambda: self._check_configuration(roots, server))
        self._complete_plan(action, roots, server)

    def _try(self, check: str, ask: Callable[[], T]) -> T | None:
        """An answer, or an error verdict and None."""
        try:
            return ask()
        except StandbyError as failed:
            self.verdicts.append(Verdict(check, "error", failed.msg, failed.code))
            return None

    def _action(self, found: DataDir) -> str:
        action = judge(self.wish.job, found)
        self.verdicts.append(Verdict("data_directory", "ok", f"{found.path} is {found.state}"))
        return {"copy": "clone", "done": "none"}.get(action, action)

    def _check_restore_command(self) -> None:
        if self.wish.restore_command == "auto" and shutil.which("barman-wal-restore") is None:
            self.verdicts.append(
                Verdict(
                    "restore_command",
                    "error",
                    "restore_command=auto needs barman-wal-restore, which is not installed here."
                    " Next: install barman-cli, or give restore_command yourself.",
                    "barman_cli_missing",
                )
            )

    def _check_space(self, roots: tuple[Root, ...], server: Upstream | None, action: str | None) -> None:
        needed: dict[str, int] = {}
        available: dict[str, int] = {}
        devices: dict[int, str] = {}
        to_copy = 0
        for root in roots:
            place = _existing(root.target)
            name = devices.setdefault(os.stat(place).st_dev, place)
            here = _Present.of(root) if action in ("resume", "delta") else _Present()
            needed[name] = needed.get(name, 0) + root.bytes - here.occupied
            to_copy += root.bytes - (here.complete if action == "resume" else 0)
            status = os.statvfs(place)
            available[name] = status.f_bavail * status.f_frsize
        self.verdicts += judge_of.space(needed, available, self._backlog(server))
        self.plan["bytes_to_copy"] = to_copy
        self.plan["free_after"] = {name: available[name] - size for name, size in needed.items()}

    def _backlog(self, server: Upstream | None) -> int:
        begin = self.wish.job.backup.begin_lsn
        return max(0, server.lsn - parse_lsn(begin)) if server is not None and begin else 0

    def _check_configuration(self, roots: tuple[Root, ...], server: Upstream | None) -> None:
        """What the server will read, from the backup's own small files in a directory that is gone afterwards."""
        job = self.wish.job
        with tempfile.TemporaryDirectory(prefix="pgfleet.") as scratch:
            os.mkdir(os.path.join(scratch, "global"), 0o700)
            carried = list(filter(_CONFIGURATION.fullmatch, roots[0].files.paths))
            for path in carried:
                os.makedirs(os.path.join(scratch, os.path.dirname(path)), exist_ok=True)
            fetch(job.source, roots[0].source, [CONTROL, *carried], scratch)
            control = control_data(scratch, job.bindir)
            named, read = self._config_file(scratch)
            elsewhere = self.wish.config_directory is not None and read == named
            sets = configured_data_directory(job.bindir, named) if elsewhere else None
            if sets == os.path.join(job.state_directory, "initdb"):
                sets = None  # the role had the packaging make this configuration, and is about to correct it
            self.verdicts += judge_of.configuration(named, read is not None, sets, job.data_directory)
            if read is None:
                return
            values = effective(job.bindir, read, scratch, HOT_STANDBY_SETTINGS)
            self._check_hot_standby({name: int(value) for name, value in values.items()}, control, server)

    def _config_file(self, scratch: str) -> tuple[str, str | None]:
        """The configuration file that the server will have, and the file to read for it now, if there is any."""
        job = self.wish.job
        if self.wish.config_directory is None:
            named = os.path.join(job.data_directory, "postgresql.conf")
            read = os.path.join(scratch, "postgresql.conf")
            text = read_small(read)
            if text is None:
                return named, None
            write_atomically(read, foreign_paths(text, lambda name, value: place_exists(scratch, name, value)))
            return named, read
        named = os.path.join(self.wish.config_directory, "postgresql.conf")
        if os.path.exists(named):
            return named, named
        if not self.wish.config_created:
            return named, None
        # The packaging will make one that leaves the settings in question at their defaults.
        read = os.path.join(scratch, "packaged.conf")
        write_atomically(read, "# defaults\n")
        return named, read

    def _check_hot_standby(self, values: dict[str, int], control: ControlData, server: Upstream | None) -> None:
        needed = [control.settings, *([server.settings] if server is not None else [])]
        to_raise = judge_of.settings_to_raise(values, *needed)
        self.verdicts += judge_of.hot_standby(values, to_raise, self.wish.hot_standby_settings)
        self.plan["settings"] = {name: str(value) for name, value in to_raise.items()}

    def _complete_plan(self, action: str | None, roots: tuple[Root, ...] | None, server: Upstream | None) -> None:
        job = self.wish.job
        self.plan.update(
            action=action if action is not None and not judge_of.errors(self.verdicts) else "refuse",
            backup_id=job.backup.backup_id,
            server=job.backup.server,
            data_directory=job.data_directory,
            files=sum(len(root.files) for root in roots or ()),
            bytes=sum(root.bytes for root in roots or ()),
            tablespaces=[
                {"name": root.name, "oid": root.oid, "location": root.target, "bytes": root.bytes}
                for root in (roots or ())[1:]
            ],
        )
        self.plan.setdefault("settings", {})
        if server is not None:
            self.plan["wal_to_replay"] = self._backlog(server)
            self.plan["upstream"] = {
                "host": server.host,
                "port": server.port,
                "system_identifier": server.system_identifier,
                "timeline": server.timeline,
                "lsn": format_lsn(server.lsn),
            }


def _existing(path: str) -> str:
    """The nearest ancestor that exists: its file system is where the path will be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


@dataclass(frozen=True)
class _Present:
    """Bytes of a tree that are here: in files that an earlier copy has finished, and in any of the same names."""

    complete: int = 0
    occupied: int = 0

    @classmethod
    def of(cls, root: Root) -> _Present:
        if not os.path.isdir(root.target):
            return cls()
        complete = occupied = 0
        for position, mark in enumerate(_tree.survey(root).marks):
            size = root.files.sizes[position]
            if mark == _tree.COMPLETE:
                complete += size
                occupied += size
            elif mark == _tree.OTHER:
                occupied += min(size, os.lstat(os.path.join(root.target, root.files.paths[position])).st_size)
        return cls(complete, occupied)
