# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of one data directory: started, stopped, restarted and told to reload. Private to the collection.

Whose server it is is known by the process that the directory's postmaster.pid names, and proven of a unit by its main
process. Waiting has no limit but standing still: how long a shutdown or a start takes depends on the cluster.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import Completed, LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import private_directory, read_small
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import PidFile
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import control_data, inspect, uncertain
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import require_makeable
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.os_user import acting_as, owner_of
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import find_bindir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.postmaster import postmaster
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.local_server import place_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import configured
from ansible_collections.pgfleet.standby.plugins.module_utils._server.boot import decided_by_packaging
from ansible_collections.pgfleet.standby.plugins.module_utils._server.causes import cause_of
from ansible_collections.pgfleet.standby.plugins.module_utils._server.decision import (
    STARTABLE,
    ObservedServer,
    act,
    require_own_unit,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._server.last_words import LastWords
from ansible_collections.pgfleet.standby.plugins.module_utils._server.log_files import (
    LogPlaces,
    ServerLog,
    config_file_of_start,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._server.process import (
    StalledError,
    lives,
    wait,
    work_of,
    working_directory,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._server.reload import after_reload
from ansible_collections.pgfleet.standby.plugins.module_utils._server.unit import (
    PROPERTIES,
    Unit,
    debian_directory,
    parse_unit,
    unit_of_cgroup,
)

__all__ = ["Server", "ServerRequest"]

# How long pg_ctl itself waits for a start; afterwards we go on waiting while the server works.
_PG_CTL_SECONDS = 15

# Neither systemctl nor pg_ctl is asked to wait longer than this.
_SECONDS = 600

# What pg_control says of a server that has begun to replay: how far it is is not a question of starting any more.
_REPLAYING = "in archive recovery"


@dataclass(frozen=True)
class ServerRequest:
    """Which server. ``service`` is the name of a systemd unit, None for pg_ctl; ``patience`` is in seconds without any
    progress. ``config_directory`` holds postgresql.conf, if the data directory does not; a unit knows that by itself.
    """

    data_directory: str
    state_directory: str
    service: str | None = None
    bindir: str | None = None
    patience: float = 300
    config_directory: str | None = None


class Server:
    """The server of one data directory, as it was when it was looked at. Raises StandbyError."""

    def __init__(self, request: ServerRequest) -> None:
        self.request = request
        # Root has no business in another user's directory, and may not even see what is in it (NFS, root_squash).
        self._owner = owner_of(request.data_directory)
        with acting_as(self._owner):
            self.pgdata: DataDir = inspect(request.data_directory, request.state_directory)
        self.unit = self._unit()
        self.seen = self._see()
        # What it says from the beginning of an act on.
        self._log: ServerLog | None = None
        # Settings of which it has said at a reload that they wait for a restart.
        self.waiting: tuple[str, ...] = ()

    def action(self, state: str) -> str:
        """What is to be done for a state of the module's option. Raises StandbyError if that is refused."""
        if self.pgdata.doubt is not None:
            raise StandbyError(uncertain(self.pgdata))
        action = act(state, self.seen)
        require_own_unit(self.seen, action)
        if action in ("start", "restart") and not self.startable:
            path, what = self.pgdata.path, self.pgdata.state
            found = f"No server is started on {path}: the directory is {what}. Nothing was changed."
            step = "run the role again, which brings what is missing"
            raise StandbyError(Refusal("data_directory_not_startable", found, step))
        if action in ("start", "restart") and self.unit is None:
            with acting_as(self._owner):  # pg_ctl's log will be there
                require_makeable(self.request.state_directory)
        return action

    @property
    def startable(self) -> bool:
        """Whether the directory holds a whole cluster, on which a server may run."""
        return self.pgdata.state in STARTABLE

    def carry_out(self, action: str) -> None:
        """Do it, and wait until it is done. Raises StandbyError."""
        steps: dict[str, Callable[[], None]] = {
            "start": self._start,
            "stop": self._stop,
            "restart": self._restart,
            "reload": self._reload,
        }
        steps[action]()

    def is_enabled(self, enabled: bool) -> bool:
        """Whether the unit starts at boot as it should: also if that is decided elsewhere, or there is no unit."""
        unit = self.unit
        return unit is None or unit.is_as_wanted(enabled) or decided_by_packaging(unit.name)

    def enable(self, enabled: bool) -> None:
        """Have the unit started at boot, or not. Raises StandbyError."""
        self._systemctl("enable" if enabled else "disable")

    @property
    def started_by(self) -> str | None:
        """The unit that is named, or else the one whose main process the running server is; None without a unit."""
        pid = self.seen.pid
        return self.request.service or (self._unit_of(pid) if pid is not None else None)

    @property
    def running(self) -> PidFile | None:
        """The server now."""
        with acting_as(self._owner):
            return postmaster(self.request.data_directory)

    # --- what there is -------------------------------------------------------------------

    def _unit(self) -> Unit | None:
        if self.request.service is None:
            return None
        done = LocalShell().run(
            ["systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", self.request.service], _SECONDS
        )
        if done.rc != 0:
            raise _systemd(done, f"Cannot ask systemd for the unit {self.request.service}", "correct service")
        return parse_unit(self.request.service, done.out)

    def _see(self) -> ObservedServer:
        unit, pid = self.unit, self.pgdata.pid
        strange = unit is not None and pid is not None and unit.main_pid != pid
        return ObservedServer(
            self.pgdata.path,
            self.pgdata.state,
            os.path.realpath(self.pgdata.path),
            pid,
            unit,
            own_unit=self._unit_of(pid) if strange and pid is not None else None,
            configured=self._configured(unit) if unit is not None else None,
            works_in=working_directory(unit.main_pid) if unit is not None and unit.main_pid is not None else None,
        )

    def _unit_of(self, pid: int) -> str | None:
        """The unit whose main process it is; that of a login's session or of another program is not."""
        name = unit_of_cgroup(read_small(f"/proc/{pid}/cgroup") or "")
        if name is None:
            return None
        done = LocalShell().run(["systemctl", "show", "--property=MainPID", "--", name], _SECONDS)
        return name if done.rc == 0 and parse_unit(name, done.out).main_pid == pid else None

    def _configured(self, unit: Unit) -> str | None:
        """The data directory that the unit's environment, or Debian's configuration for it, names. A real path."""
        directory = debian_directory(unit.name)
        named = unit.pgdata
        if directory is not None:
            named = configured(os.path.join(directory, "postgresql.conf")).get("data_directory")
        if not named:
            return None
        with contextlib.suppress(OSError), acting_as(self._owner):
            if os.path.samefile(named, self.pgdata.path):  # by another mount of it, perhaps
                return os.path.realpath(self.pgdata.path)
        return os.path.realpath(named)

    # --- what is done --------------------------------------------------------------------

    def _start(self, before: int | None = None) -> None:
        self._log = self._listen()
        if self.unit is not None:
            self._systemctl("start" if before is None else "restart", "--no-block")
        else:
            self._pg_ctl()
        try:
            wait(lambda: self._is_up(before), self._movement, self.request.patience)
        except StalledError:
            raise self._stalled("start") from None

    def _pg_ctl(self) -> None:
        bindir = find_bindir(self.pgdata.major, self.request.bindir)
        with acting_as(self._owner):  # a cluster that we did not make has none yet
            private_directory(self.request.state_directory)
        log = os.path.join(self.request.state_directory, "server.log")
        argv = [os.path.join(bindir, "pg_ctl"), "start", "--wait", "--silent", f"--timeout={_PG_CTL_SECONDS}"]
        config_file = self._config_file()
        if config_file is not None:  # pg_ctl gives it to a shell
            argv.append(f"--options=-c config_file={shlex.quote(config_file)}")
        done = LocalShell().run([*argv, f"--pgdata={self.pgdata.path}", f"--log={log}"], _SECONDS)
        if done.rc != 0 and self.running is None:
            raise self._failed(said_by("pg_ctl", done.err))

    def _config_file(self) -> str | None:
        """The configuration file that pg_ctl has to name: that of the configuration directory, or, as `pg_ctl restart`
        has it, that with which the server was started that runs here. None for that of the data directory."""
        directory, path = self.request.config_directory, self.request.data_directory
        if directory is None:
            return config_file_of_start(path) if self.seen.pid is not None else None
        named = os.path.join(directory, "postgresql.conf")
        return named if os.path.realpath(directory) != os.path.realpath(path) and os.path.exists(named) else None

    def _is_up(self, before: int | None) -> bool:
        """Raises StandbyError if it has ended, or the unit has started something else."""
        now, unit = self.running, self._unit()
        if now is None or now.pid == before:
            if unit is None or (unit.at_rest and self.running is None):
                raise self._failed("")
            self._require_no_other(unit, before)
            return False
        if unit is not None and unit.main_pid != now.pid and unit.active != "activating":
            self._require_no_other(unit, before)
            return False
        return now.is_up or self._replays()

    def _replays(self) -> bool:
        with contextlib.suppress(StandbyError), acting_as(self._owner):
            return control_data(self.request.data_directory).state == _REPLAYING
        return False

    def _require_no_other(self, unit: Unit, before: int | None) -> None:
        """That the unit has not started another directory's server. One that it has started is stopped again.

        Raises StandbyError.
        """
        main = unit.main_pid
        where = working_directory(main) if main is not None and main != before else None
        other = postmaster(where) if where is not None and os.path.exists(os.path.join(where, "PG_VERSION")) else None
        if main is None or where is None or other is None or other.pid != main:
            return
        if os.path.samefile(where, self.pgdata.path):
            return
        self._systemctl("stop", "--no-block")
        with contextlib.suppress(StalledError):
            wait(lambda: not lives(main), self._movement, self.request.patience)
        raise StandbyError(
            Refusal(
                "service_other_server",
                f"The unit {unit.name} is not that of the server of {self.pgdata.path}: it has started the server of"
                f" {where}. The unit was stopped again{'' if not lives(main) else ', and does not end'}.",
                "name the unit of this data directory in service",
            )
        )

    def _listen(self) -> ServerLog:
        unit = self.unit.name if self.unit is not None else None
        request = self.request
        return ServerLog(LogPlaces(request.data_directory, request.state_directory, unit, request.config_directory))

    def _stop(self) -> None:
        self._log = self._listen()
        pid = self.seen.pid
        if self.unit is not None and (self.seen.by_unit or pid is None):
            self._systemctl("stop", "--no-block")
        elif pid is not None:
            self._signal(pid, signal.SIGINT)
        try:
            wait(lambda: self._is_down(pid), self._movement, self.request.patience)
        except StalledError:
            raise self._stalled(f"shutdown (pid {pid})") from None

    def _is_down(self, pid: int | None) -> bool:
        unit = self._unit()
        ended = pid is None or not lives(pid)
        return ended and self.running is None and (unit is None or unit.at_rest or not self.seen.by_unit)

    def _restart(self) -> None:
        if self.seen.by_unit:
            self._start(before=self.seen.pid)
        else:
            self._stop()
            self._start()

    def _reload(self) -> None:
        """What `pg_ctl reload` does (pg_ctl.c, do_reload), for a server of any unit and of none."""
        pid = self.seen.pid
        if pid is None:
            return
        self._log = self._listen()
        self._signal(pid, signal.SIGHUP)
        said = after_reload(self._log, place_of(self.pgdata))
        self.waiting = said.waiting
        if said.refused:
            words = LastWords(said.refused, cause_of("\n".join(said.refused)))
            raise StandbyError(
                Refusal(
                    "server_reload_refused",
                    f"The server of {self.pgdata.path} goes on with what it had, for it has not taken all of its"
                    f" configuration. {words.sentence}",
                    words.step("mend what it names, then run again"),
                ),
                **words.result,
            )

    # --- how it is done ------------------------------------------------------------------

    def _systemctl(self, verb: str, *options: str) -> None:
        argv = ["systemctl", verb, *options, "--", str(self.request.service)]
        done = LocalShell().run(argv, _SECONDS)
        if done.rc != 0:
            raise _systemd(done, f"systemd does not {verb} the unit {self.request.service}", "run the same command")

    def _signal(self, pid: int, number: signal.Signals) -> None:
        """What pg_ctl does: SIGINT is a fast shutdown (PostgreSQL manual, 18.5), SIGHUP a reload."""
        now = self.running
        if now is None or now.pid != pid:
            return
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError as refused:
            raise StandbyError(
                Refusal(
                    "server_not_ours",
                    f"The server of {self.pgdata.path} (pid {pid}) belongs to another user, and cannot be sent"
                    f" {number.name}. Nothing was changed.",
                    "run as root, or as the database's OS user",
                )
            ) from refused

    def _movement(self) -> Any:
        now, unit = self.running, self._unit()
        return (now, unit, work_of(now.pid) if now is not None else 0)

    def _failed(self, said: str) -> StandbyError:
        words = self._said()
        told = words.sentence or (f"It says: {said}." if said else "It has said nothing that could be read here.")
        return StandbyError(
            Refusal(
                "server_start_failed",
                f"The server of {self.pgdata.path} does not start. {told}",
                words.step("mend what its log tells, then run again"),
            ),
            **words.result,
        )

    def _said(self) -> LastWords:
        """What the server has said since the beginning of the act."""
        return self._log.words() if self._log is not None else LastWords()

    def _stalled(self, what: str) -> StandbyError:
        words = self._said()
        found = (
            f"The server of {self.pgdata.path} does not get on with its {what}: for {self.request.patience:g} seconds"
            f" it has neither computed nor read nor written. {words.sentence}"
        )
        step = words.step("look at what it waits for (its log, its disk), or raise timeout")
        return StandbyError(Refusal("server_stalled", found.rstrip(), step), **words.result)


def _systemd(done: Completed, what: str, step: str) -> StandbyError:
    return StandbyError(
        Refusal(
            "systemd_failed",
            f"{what}: {said_by('systemctl', done.err) or f'exit code {done.rc}'}.",
            f"{step}, and run this module as root",
        ),
        cmd=list(done.argv),
    )
