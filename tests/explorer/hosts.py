# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of which a state speaks: programs and the Barman host once, the rest anew for every state.

BASE/host/main is the data directory. What a copy may change is `declared`. Everything else below BASE, and whatever is
mounted below the data directory, has to stay as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ansible_collections.pgfleet.standby.tests.explorer import scene as _scene
from ansible_collections.pgfleet.standby.tests.explorer.clusters import Cluster, backup_tree
from ansible_collections.pgfleet.standby.tests.explorer.snapshot import Listing, listing
from ansible_collections.pgfleet.standby.tests.explorer.state import RUNNING, VALUES, State
from ansible_collections.pgfleet.standby.tests.explorer.system import (
    ROOT,
    User,
    acting_as,
    private_mounts,
    temporary_fs,
    unmount,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import FAR_END
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.fake_postgres import POSTGRES
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import BACKUP_ID
from ansible_collections.pgfleet.standby.tests.waiting import FOR_EVER, wait_until

__all__ = ["Host"]

_SSH = f"#!/bin/sh\n{FAR_END}"
_SYNC = '#!/bin/sh\ncommand=sync\n[ ! -e "{root}/hook" ] || . "{root}/hook"\n'
_PG_CTL = '#!/bin/sh\necho "$*" >>"{root}/started"\necho "pg_ctl: could not start server" >&2\nexit 1\n'
_KILL = 'kill -9 $(sed "s/.*\\"pid\\": \\([0-9]*\\).*/\\1/" "{state}/runner"); exit 1'
# What the fake ssh does meanwhile: the moment, and what happens.
_FAULTS = {
    "killed_at_listing": ("*find*", _KILL),
    "killed_at_pull": ("*nice*--server*", _KILL),
    "killed_at_sync": ("sync", _KILL),
    "killed_at_control": ("*nice*--server*) ;; *--server*", _KILL),
    "unsent": ("*nice*--server*", "echo 'rsync: [sender] link_stat failed: No such file or directory' >&2; exit 23"),
}


class Host:
    """A host; ``make`` puts it into a state, ``clear`` takes everything back."""

    def __init__(self) -> None:
        self.user = User.named("nobody") if ROOT else User(os.getuid(), os.getgid())
        self.other_user = User.named("daemon") if ROOT else self.user
        if ROOT:
            private_mounts()
        self.base = Path(tempfile.mkdtemp(prefix="explorer-"))
        if ROOT:  # in memory, which is quick, and gone with this process
            temporary_fs(str(self.base), User(0, 0))
        self.base.chmod(0o755)
        self.programs = self.base / "bin"
        self.host, self.ts, self.wal = self.base / "host", self.base / "ts", self.base / "wal"
        self.main, self.state_directory = self.host / "main", self.host / ".main.standby"
        self.fast, self.waldir = self.ts / "fast", self.wal / "main"
        self.second, self.view = self.base / "second", self.base / "view"
        self.victim, self.roots_victim = self.base / "victim", self.base / "roots_victim"
        self.mounted: list[Path] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self._install()
        for version in VALUES["version"]:
            self.bindir(version)
            self.backup(version)
        self.neighbour = self.start("postgres", self._neighbour())
        self.stranger = self.start("cron", self.base)

    # --- what is there for all states ------------------------------------------------------
    def _install(self) -> None:
        self.programs.mkdir()
        texts = {"ssh": _SSH, "sync": _SYNC, "pg_ctl": _PG_CTL}
        for name, text in texts.items():
            self._program(self.programs / name, text.replace("{root}", str(self.base)))
        for name in ("postgres", "postmaster", "edb-postgres", "bash", "cron"):
            place = self.programs / "processes" / name
            place.parent.mkdir(exist_ok=True)
            shutil.copy("/bin/sleep", place)
        for path in (self.host, self.ts, self.wal, self.second):
            path.mkdir()
            os.chown(path, *self.user)
        if ROOT:
            temporary_fs(str(self.second), self.user)

    def bindir(self, version: str) -> Path:
        """The programs of a major version."""
        place = self.programs / version
        if not place.exists():
            place.mkdir()
            self._program(place / "postgres", POSTGRES.replace("15.20", f"{version}.2"))
            shutil.copy(self.programs / "pg_ctl", place)
        return place

    def backup(self, version: str) -> Path:
        """A backup of a cluster of that major version."""
        place = self.base / "barman" / version / BACKUP_ID
        if not place.exists():
            backup_tree(place, version)
        return place

    @staticmethod
    def _program(path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def _neighbour(self) -> Path:
        """Another cluster beside ours, which a server serves."""
        place = self.host / "other"
        with acting_as(self.user):
            Cluster("15", other=True, runs=True).make(place)
        return place

    # --- processes -------------------------------------------------------------------------
    def start(self, name: str, directory: Path, before: object = None) -> subprocess.Popen[bytes]:
        """A process of that name which works in a directory, as the database's OS user."""
        program = self.programs / "processes" / name
        user = {"user": self.user.uid, "group": self.user.gid, "extra_groups": []} if ROOT and before is None else {}
        process = subprocess.Popen([name, str(FOR_EVER)], executable=program, cwd=directory, preexec_fn=before, **user)
        comm = Path(f"/proc/{process.pid}/comm")
        wait_until(lambda: comm.read_text(encoding="utf-8") == f"{name[:15]}\n", f"{name} has begun")
        self.processes.append(process)
        return process

    # --- one state -------------------------------------------------------------------------
    def make(self, state: State) -> None:
        _scene.make(self, state)

    def break_at(self, fault: str) -> None:
        """From now on this befalls every copy."""
        hook = self.base / "hook"
        if fault == "nothing":
            hook.unlink(missing_ok=True)
            return
        moment, what = _FAULTS[fault]
        action = what.replace("{state}", str(self.state_directory))
        hook.write_text(f"case $command in {moment}) {action} ;; esac\n", encoding="utf-8")

    def declared(self, state: State) -> list[Path]:
        """What a copy may change, and where links of the administrator's lead."""
        places = [self.main, self.state_directory, self.fast]
        if state.wal == "linked":
            places.append(self.waldir)
        if state.mount == "link":
            places.append(self.second / "main")
        if state.tablespace == "linked":
            places.append(self.second / "fast")
        if state.keep_old == "yes" and state.planted != "old_there":
            places += [place.with_name(f"{place.name}.old") for place in places if place != self.state_directory]
        return places

    def outside(self, state: State) -> Listing:
        """All that no copy may change, what is mounted below the data directory with it."""
        # The view is the data directory under another path.
        ours = [self.programs, self.view, self.base / "barman", self.base / "hook", self.base / "started"]
        parents = [self.base, self.host, self.ts, self.wal, self.second]
        found = listing(str(self.base), map(str, [*self.declared(state), *ours]), map(str, parents))
        found |= listing(str(self.backup(state.version)))
        if self.main / "dumps" in self.mounted:
            found |= listing(str(self.main / "dumps"))
        if self.main / "pg_wal" in self.mounted:  # the WAL in it is the cluster's
            found |= listing(str(self.main / "pg_wal" / "lost+found"))
        return found

    def inside(self, state: State) -> Listing:
        """All that a copy may change."""
        found: Listing = {}
        for place in self.declared(state):
            found |= listing(str(place))
        return found

    def serving(self, state: State) -> bool:
        """Whether a server works in the data directory."""
        return state.runs in RUNNING and any(one.poll() is None for one in self.processes[2:])

    def end_server(self) -> None:
        """What a play does before it copies, with a server that may be stopped."""
        for process in self.processes[2:]:
            process.terminate()
            process.wait()
        with acting_as(self.user):
            (self.main / "postmaster.pid").unlink(missing_ok=True)

    def starts(self) -> bool:
        """Whether a server was to be started."""
        return (self.base / "started").exists()

    def clear(self) -> None:
        """Everything that a state has made goes."""
        self.break_at("nothing")
        for process in self.processes[2:]:
            process.kill()
            process.wait()
        del self.processes[2:]
        for place in reversed(self.mounted):
            unmount(str(place))
        self.mounted.clear()
        for top in (self.host, self.ts, self.wal, self.second):
            for path in top.iterdir():
                if path.name != "other":
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path in (self.victim, self.roots_victim, self.view):
            shutil.rmtree(path, ignore_errors=True)
        for name in ("signals", "started"):
            (self.base / name).unlink(missing_ok=True)

    def close(self) -> None:
        """The end of this host."""
        self.clear()
        for process in self.processes:
            process.kill()
            process.wait()
        if ROOT:
            unmount(str(self.second))
            unmount(str(self.base))
        shutil.rmtree(self.base, ignore_errors=True)
