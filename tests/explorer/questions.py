# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions: what is run on a host, one after the other, and which rules each answer is held against."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import is_ours
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.tests.explorer import rules as _rules
from ansible_collections.pgfleet.standby.tests.explorer.asking import Outcome, ask, remembering
from ansible_collections.pgfleet.standby.tests.explorer.clusters import OID, tablespace_name
from ansible_collections.pgfleet.standby.tests.explorer.hosts import Host
from ansible_collections.pgfleet.standby.tests.explorer.rules import Violation
from ansible_collections.pgfleet.standby.tests.explorer.scene import plant
from ansible_collections.pgfleet.standby.tests.explorer.snapshot import Listing, difference
from ansible_collections.pgfleet.standby.tests.explorer.state import State

__all__ = ["QUESTIONS", "violations"]


def violations(host: Host, question: str, state: State) -> list[Violation]:
    """Put the host into the state, ask, and take it all back: every rule that did not hold."""
    try:
        host.make(state)
        if state.disk == "unfinished":
            _unfinished(host, state)
        return list(QUESTIONS[question](host, state))
    finally:
        host.clear()


def _unfinished(host: Host, state: State) -> None:
    """What a copy of ours has left that was killed before its end."""
    host.break_at("killed_at_control")
    ask(host, replace(state, planted="nothing", overwrite="never"), "standby_clone")
    host.break_at("nothing")
    plant(host, state)


class _Watched:
    """What is there before and after a question."""

    def __init__(self, host: Host, state: State) -> None:
        self.host, self.state = host, state
        self.outside, self.inside = host.outside(state), host.inside(state)

    @property
    def mounts(self) -> list[Path]:
        return [
            place for place in self.host.mounted if place.is_relative_to(self.host.main) and place != self.host.main
        ]

    def nothing_outside(self) -> Iterator[Violation]:
        yield from _rules.outside(self.outside, self.host.outside(self.state), self.mounts)

    def nothing_inside(self, rule: str) -> Iterator[Violation]:
        yield from _rules.nothing_changed(rule, self.inside, self.host.inside(self.state))

    def nothing_else_there(self) -> Iterator[Violation]:
        """What was there keeps its kind, its mode, its owner and its place."""
        now = self.host.inside(self.state)
        lost = [path for path, was in self.inside.items() if path not in now or now[path][:4] != was[:4]]
        if lost:
            yield Violation("outside", f"{', '.join(lost[:4])} has another kind, mode or owner")

    def begun(self) -> bool:
        """Whether anything but notes has changed: of the cluster, or the record of a copy."""
        before, after = ({path: was for path, was in seen.items() if self._counts(path)} for seen in self._both())
        return bool(difference(before, after))

    def _both(self) -> tuple[Listing, Listing]:
        return self.inside, self.host.inside(self.state)

    def _counts(self, path: str) -> bool:
        notes = str(self.host.state_directory)
        return path == f"{notes}/state.json" or not path.startswith(notes)


def _look(host: Host, state: State, module: str) -> tuple[Outcome, list[Violation]]:
    """A module that is not to change anything: the answer, and what is wrong with any answer."""
    watched = _Watched(host, state)
    answer = ask(host, state, module, check_mode=True)
    found = [*_rules.known_code(answer), *_rules.advice(state, answer), *_rules.signals(answer)]
    found += [*watched.nothing_outside(), *watched.nothing_inside("check_mode")]
    return answer, found


def look(host: Host, state: State) -> Iterator[Violation]:
    """pgdata_info."""
    answer, found = _look(host, state, "pgdata_info")
    yield from found
    yield from _rules.seen(state, answer)


def judge(host: Host, state: State) -> Iterator[Violation]:
    """standby_preflight, and what a copy then would do."""
    with remembering():
        preflight, found = _look(host, state, "standby_preflight")
        yield from found
        yield from _rules.server(state, preflight)
        yield from _rules.consent(state, preflight)
        yield from _rules.all_problems(state, preflight)
        stops = not preflight.refused and preflight.result.get("plan", {}).get("stop")
        if stops:
            host.end_server()
        copy, found = _look(host, replace(state, upstream="there"), "standby_clone")  # which asks no upstream
    yield from found
    yield from _rules.consent(state, copy)
    yield from _rules.server(replace(state, runs="nothing") if stops else state, copy)
    yield from _rules.preflight_and_copy(preflight, copy)


def directories(host: Host, state: State) -> Iterator[Violation]:
    """standby_directories, in check mode and then in earnest. Only what is missing comes."""
    planned, found = _look(host, state, "standby_directories")
    yield from found
    watched = _Watched(host, state)
    done = ask(host, state, "standby_directories")
    yield from _rules.known_code(done)
    yield from watched.nothing_outside()
    yield from _rules.plan(planned, done)
    if planned.result.get("made") != done.result.get("made"):
        yield Violation("plan", f"{planned.result.get('made')} was planned, {done.result.get('made')} was made")
    if done.refused:
        yield from watched.nothing_inside("refusal")
    else:
        yield from watched.nothing_else_there()


_STATES = ("stopped", "started", "restarted", "reloaded")


def serve(host: Host, state: State) -> Iterator[Violation]:
    """standby_server. The level of overwrite, which it does not know, says what is wanted."""
    wanted = _STATES[_rules.LEVELS.index(state.overwrite)]
    own = {process.pid for process in host.processes[2:]} if state.runs in _rules.RUNNING else set()
    watched = _Watched(host, state)
    planned = ask(host, state, "standby_server", True, {"state": wanted})
    yield from _rules.signals(planned)
    yield from watched.nothing_inside("check_mode")
    done = ask(host, state, "standby_server", options={"state": wanted})
    yield from _rules.known_code(done)
    yield from _rules.signals(done, own)
    yield from watched.nothing_outside()
    if done.code != "server_start_failed":  # the programs of this host start none
        yield from _rules.plan(planned, done)
    if done.refused:
        yield from watched.nothing_inside("refusal") if done.code != "server_start_failed" else ()
    if host.starts() and state.disk in _HALF_DONE:
        yield Violation("unstartable", f"a server was started on {state.disk}")


_HALF_DONE = (
    *("missing", "empty", "lost_and_found", "foreign", "unfinished", "stale_record_foreign", "stale_record_salvage"),
    *("rewinding_same", "rewinding_other", "no_control", "damaged_control", "unknown_control"),
)


def copy(host: Host, state: State) -> Iterator[Violation]:
    """standby_clone: in check mode, then in earnest and perhaps interrupted, then once more."""
    watched = _Watched(host, state)
    planned = ask(host, state, "standby_clone", check_mode=True)
    yield from _rules.known_code(planned)
    yield from watched.nothing_outside()
    yield from watched.nothing_inside("check_mode")
    host.break_at(state.fault)
    done = ask(host, state, "standby_clone")
    host.break_at("nothing")
    yield from _rules.known_code(done)
    yield from _rules.advice(state, done)
    yield from _rules.signals(done)
    yield from _rules.server(state, done)
    yield from _rules.consent(state, done)
    yield from watched.nothing_outside()
    if state.runs in _rules.RUNNING and not host.serving(state):
        yield Violation("server", "the server that worked there is gone")
    if state.fault == "nothing" or planned.refused or planned.action == "none":
        yield from _rules.plan(planned, done)
    if done.refused and (state.fault == "nothing" or planned.refused):
        yield from watched.nothing_inside("refusal")
    elif done.refused and watched.begun():
        yield from _interrupted(host, state)
    elif not done.refused and done.action != "none":
        yield from _complete(host, state, watched.inside)


def _interrupted(host: Host, state: State) -> Iterator[Violation]:
    """The copy has begun and not come to its end."""
    if os.path.lexists(host.main / "global" / "pg_control"):
        yield Violation("unstartable", f"{state.fault}: there is a pg_control")
        return
    before = host.outside(state)
    again = ask(host, state, "standby_clone", options={"overwrite": "never"})
    yield from _rules.known_code(again)
    yield from _rules.outside(before, host.outside(state))
    if again.refused or again.crash is not None:
        yield Violation("goes_on", f"{state.fault}: the next run ends with {again.code}")
    else:
        yield from _complete(host, state, {})


def _complete(host: Host, state: State, before: Listing) -> Iterator[Violation]:
    """Files are those of the backup, and the directory is a standby of ours."""
    source = host.backup(state.version)
    wanted = {host.main / name: content for name, content in _files(source / "data").items()}
    wanted |= {host.fast / name: content for name, content in _files(source / str(OID)).items()}
    wrong = [str(path) for path, content in wanted.items() if not path.is_file() or path.read_bytes() != content]
    if wrong:
        yield Violation("whole", f"{', '.join(wrong[:4])} is not the backup's")
    if not is_ours(inspect(str(host.main), str(host.state_directory))):
        yield Violation("whole", "it is no standby that a copy has made")
    if not (host.fast / tablespace_name(state.version)).is_dir():
        yield Violation("whole", "the tablespace is missing")
    kept = Path(f"{os.path.realpath(host.main)}.old")
    if state.keep_old == "yes" and before and kept.is_dir() and state.planted != "old_there":
        top = os.path.realpath(host.main)
        of_old = {path.replace(top, str(kept), 1): was for path, was in before.items() if path.startswith(f"{top}/")}
        now = host.inside(state)
        lost = [path for path, was in of_old.items() if path not in now or now[path].inode != was.inode]
        if [path for path in lost if "/pg_tblspc/" not in path and not path.endswith("/pg_wal")]:
            yield Violation("kept", ", ".join(lost[:4]))


def _files(top: Path) -> dict[str, bytes]:
    """Those that a copy leaves as they are."""
    own = ("postgresql.auto.conf",)
    paths = [path for path in top.rglob("*") if path.is_file() and path.name not in own]
    return {str(path.relative_to(top)): path.read_bytes() for path in paths}


QUESTIONS: dict[str, Callable[[Host, State], Iterator[Violation]]] = {
    "look": look,
    "judge": judge,
    "directories": directories,
    "serve": serve,
    "copy": copy,
}
