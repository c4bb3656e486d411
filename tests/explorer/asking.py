# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules asked on a host, as the user that runs them, and what became of it.

What other servers answer is made up, as in the tests of the preflight. All else is the collection's own.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pwd
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from types import ModuleType
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._backup import remote_files as _remote_files
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import configuration_facts as _configuration_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import wal_proof as _wal_proof
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import detached as _detached
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import connect as _connect
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import programs as _programs
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.questions import Questions
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind import feasibility as _feasibility
from ansible_collections.pgfleet.standby.plugins.module_utils._server import process as _process
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import capabilities as _capabilities
from ansible_collections.pgfleet.standby.tests.explorer.clusters import OID, OTHER_IDENTIFIER
from ansible_collections.pgfleet.standby.tests.explorer.hosts import Host
from ansible_collections.pgfleet.standby.tests.explorer.state import OTHERS, State
from ansible_collections.pgfleet.standby.tests.explorer.system import User, acting_as
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils import samples
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._preflight.examining import LEFT, Answers
from ansible_collections.pgfleet.standby.tests.waiting import wait_until

__all__ = ["Outcome", "ask", "remembering"]

PLUGINS = "ansible_collections.pgfleet.standby.plugins"
MODULES = ("pgdata_info", "standby_preflight", "standby_clone", "standby_directories", "standby_server")
for name in MODULES:
    importlib.import_module(f"{PLUGINS}.modules.{name}")


@dataclass(frozen=True)
class Outcome:
    """What a module has returned, or how it has ended. ``signals`` are those that it has sent, with the process."""

    result: dict[str, Any] = field(default_factory=dict)
    code: str | None = None
    codes: tuple[str, ...] = ()
    msg: str = ""
    crash: str | None = None
    signals: tuple[tuple[int, int], ...] = ()

    @property
    def refused(self) -> bool:
        return self.code is not None

    @property
    def action(self) -> str | None:
        """What was done, or is to be done."""
        plan = self.result.get("plan")
        return plan["action"] if plan is not None else self.result.get("action")


def ask(
    host: Host, state: State, module: str, check_mode: bool = False, options: Mapping[str, Any] | None = None
) -> Outcome:
    """Run a module on the host. The database's OS user runs it, but for what the role runs as root."""
    user = None if module in ("standby_directories", "standby_server") else host.user
    params = {**defaults(module), **_params(host, state, module), **(options or {})}
    work = sys.modules[f"{PLUGINS}.modules.{module}"].work
    noted = host.base / "signals"
    noted.touch()
    noted.chmod(0o666)  # whoever runs the module notes what it sends
    with _answers(host, state):
        told = _told(partial(work, params, check_mode), user)
    _settle(host)
    return Outcome(**told, signals=_signals(host))


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """Meanwhile the Barman host and the programs of a version are not asked twice for what is always the same."""
    substitutes = {
        _capabilities.probe: _probed,
        _remote_files.list_backup: lambda host, backup: iter(_listed(host, backup)),
        _configuration_facts.of_backup: lambda host, backup, root, places: _read(host, backup, (root, places)),
        _programs.server_version: _version_of,
    }
    with _instead(substitutes):
        yield


def _once(function: Callable[..., Any], key: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called once for each key; a refusal is not remembered."""
    known: dict[Any, Any] = {}

    def asked(*given: Any) -> Any:
        name = key(*given)
        if name not in known:
            known[name] = function(*given)
        return known[name]

    return asked


_probed = _once(_capabilities.probe, lambda _host, compress: compress)
_listed = _once(lambda host, backup: list(_REAL_LISTING(host, backup)), lambda _host, backup: backup.directory)
_read = _once(
    lambda host, backup, more: _REAL_READING(host, backup, *more), lambda _host, backup, _more: backup.version
)
_version_of = _once(_programs.server_version, lambda bindir: bindir)
_REAL_LISTING, _REAL_READING = _remote_files.list_backup, _configuration_facts.of_backup


def _told(work: Callable[[], dict[str, Any]], user: User | None) -> dict[str, Any]:
    try:
        with acting_as(user) if user is not None else contextlib.nullcontext():
            return {"result": {name: value for name, value in work().items() if name != "warnings_to_show"}}
    except StandbyError as failed:
        codes = tuple(failed.result.get("error_codes", ()))
        plan = {"plan": failed.result["plan"]} if "plan" in failed.result else {}
        return {"result": plan, "code": failed.code, "codes": codes, "msg": failed.msg}
    except Exception:
        return {"crash": traceback.format_exc()[-3000:]}


def _settle(host: Host) -> None:
    """Wait for all that a copy has started, also if that was killed."""
    with contextlib.suppress(StandbyError, OSError):
        for name in ("runner", "lock"):
            path = str(host.state_directory / name)
            if os.path.isfile(path) and not os.path.islink(path):
                wait_until(lambda path=path: Lock.holder(path) is None, "the end of a copy")


def _signals(host: Host) -> tuple[tuple[int, int], ...]:
    path = host.base / "signals"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.unlink()
    return tuple((int(pid), int(number)) for pid, number in map(str.split, lines))


def _params(host: Host, state: State, module: str) -> dict[str, Any]:
    directories = {"data_directory": str(host.main), "state_directory": None}
    waldir = str(host.waldir) if state.wal == "linked" else None
    if module == "pgdata_info":
        return {**directories, "pg_bindir": str(host.bindir(state.version))}
    if module == "standby_server":
        return {**directories, "pg_bindir": str(host.bindir(state.version))}
    if module == "standby_directories":
        tablespaces = [{"name": "fast", "location": str(host.fast), "oid": OID, "bytes": 1}]
        name = pwd.getpwuid(host.user.uid).pw_name
        return {**directories, "waldir": waldir, "tablespaces": tablespaces, "os_user": name}
    params = {
        **directories,
        "waldir": waldir,
        "barman_host": "barman@backup-host",
        "backup": asdict(_backup(host, state.version)),
        "pg_bindir": str(host.bindir(state.version)),
        "tablespace_mapping": {"/srv/tablespaces/fast": str(host.fast)},
        "overwrite": state.overwrite,
        "keep_old": state.keep_old == "yes",
    }
    if module == "standby_clone":
        return {**params, "again": state.again == "yes", "lock_timeout": 0, "jobs": 1, "compress": "none"}
    return {
        **params,
        "upstream_conninfo": {"host": "primary", "user": "replicator"},
        "application_name": "n1",
        "restore_command": "cp /wal/%f %p",
        "upstream_connection": "none" if state.upstream == "not_asked" else "required",
        "directories_created": True,
    }


def _backup(host: Host, version: str) -> Backup:
    return samples.backup(version=int(version) * 10000 + 2, directory=str(host.backup(version)))


@cache
def defaults(module: str) -> dict[str, Any]:
    """Every option of a module with its default."""

    class _CapturedError(Exception):
        pass

    def capture(argument_spec: dict[str, Any], **_more: object) -> None:
        raise _CapturedError(argument_spec)

    of = sys.modules[f"{PLUGINS}.modules.{module}"]
    real, of.AnsibleModule = of.AnsibleModule, capture
    try:
        of.main()
    except _CapturedError as captured:
        return {name: option.get("default") for name, option in captured.args[0].items()}
    finally:
        of.AnsibleModule = real
    raise AssertionError(f"{module} has no options")


# --- what others answer, and what is watched -------------------------------------------------
@contextlib.contextmanager
def _answers(host: Host, state: State) -> Iterator[None]:
    """Meanwhile the other servers answer as the state has it, and signals are noted."""
    answers = Answers(upstream=_upstream(state), rate=1e6)
    substitutes = {
        Questions: answers.questions,
        _wal_proof.prove: answers.of_cluster,
        _feasibility.reasons_impossible: lambda *_asked, **_more: ["no checksums"],
        _connect.local_instance: lambda *_asked: _instance(state),
        _connect.signs_of_use: lambda *_asked: [] if state.answer == "unused" else ["a table"],
        _process.wait: partial(_process.wait, pause=0.002),
    }
    kill, pause = os.kill, _detached._LOOK_SECONDS
    _detached._LOOK_SECONDS = 0.005
    os.kill = partial(_kill, host, kill)
    try:
        with _instead(substitutes):
            yield
    finally:
        os.kill, _detached._LOOK_SECONDS = kill, pause


@contextlib.contextmanager
def _instead(substitutes: Mapping[Any, Any]) -> Iterator[None]:
    """Other functions in every file of the collection that has imported them by name."""
    for original, substitute in substitutes.items():
        for module, key in places_of(original):
            setattr(module, key, substitute)
    try:
        yield
    finally:
        for original in substitutes:
            for module, key in places_of(original):
                setattr(module, key, original)


@cache
def places_of(original: object) -> list[tuple[ModuleType, str]]:
    """Where the collection has it, by whatever name it was imported."""
    ours = [module for name, module in list(sys.modules.items()) if name.startswith(PLUGINS)]
    found = [(module, key) for module in ours for key, value in vars(module).items() if value is original]
    assert found, f"nothing of the collection has {original}"
    return found


def _kill(host: Host, kill: Callable[[int, int], None], pid: int, number: int) -> None:
    """Note what is sent to whom. What is not ours to end is not ended."""
    if number != 0:
        with open(host.base / "signals", "a", encoding="utf-8") as file:
            file.write(f"{pid} {int(number)}\n")
    if number == 0 or pid not in (1, host.neighbour.pid, host.stranger.pid):
        kill(pid, number)


def _upstream(state: State) -> Any:
    version = int(state.version) * 10000 + 2
    if state.upstream == "silent":
        return StandbyError(Refusal("upstream_unreachable", "It does not answer.", "see whether it runs"))
    other = {"system_identifier": OTHER_IDENTIFIER} if state.upstream == "other" else {}
    return samples.upstream(version=version, **(LEFT if state.upstream == "left" else {}), **other)


def _instance(state: State) -> Any:
    if state.answer == "refused":
        raise StandbyError(Refusal("instance_unreachable", "Too many clients.", "see the server's log"))
    own: dict[str, Any] = {"version": int(state.version) * 10000 + 2}
    if state.disk in OTHERS:
        own["system_identifier"] = OTHER_IDENTIFIER
    if state.answer in ("primary", "unused"):
        return samples.instance(in_recovery=False, receiver=None, receive_lsn=None, replay_lsn=None, **own)
    if state.answer == "streaming":
        return samples.instance(**own)
    return samples.instance(receiver=None, timeline=2 if state.answer == "diverged" else 1, **own)
