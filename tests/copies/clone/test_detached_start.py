# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The beginning of a copy in a process of its own: what it keeps, and what is told of it. Processes are real here."""

from __future__ import annotations

import os
from dataclasses import asdict

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import begin as _begin
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import detached as _detached
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.begin import clone_detached as follow
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.detached import Running
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Result
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.rsync import copy
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import ResultFile
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    CONNECTS,
    PULLS,
    TABLESPACE,
    read_tree,
)
from ansible_collections.pgfleet.standby.tests.waiting import BOUND, wait_until


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(_detached, "_LOOK_SECONDS", 0.01)


def job_of(host, **changed):
    return host.job(**{"lock_timeout": BOUND, **changed})


def refused(*given):
    with pytest.raises(StandbyError) as error:
        follow(given[0], copy, *given[1:])
    return error.value


class TestStarted:
    def test_copies_and_tells_what_it_did(self, host):
        outcome = follow(job_of(host), copy)
        assert isinstance(outcome, Result)
        assert (outcome.action, outcome.left_behind) == ("clone", ())
        assert read_tree(host.fast) == TABLESPACE

    def test_leaves_its_record_and_its_result_and_no_more(self, host):
        follow(job_of(host), copy)
        names = {path.name for path in host.state.iterdir()}
        assert names == {"lock", "progress.json", "result.json", "runner", "state.json"}
        assert {path.stat().st_mode & 0o077 for path in [host.state, *host.state.iterdir()]} == {0}

    def test_keeps_nothing_of_whoever_started_it(self, host):
        seen = host.root / "seen"
        host.hook(f"""case $command in {CONNECTS}
            cut -d')' -f2- /proc/$PPID/stat | cut -d' ' -f5 >"{seen}"
            for name in fd/0 fd/1 fd/2 cwd; do readlink /proc/$PPID/$name; done >>"{seen}"
            grep -E 'Sig(Ign|Cgt)' /proc/$PPID/status >>"{seen}" ;;
        esac""")
        follow(job_of(host, jobs=1), copy)
        session, *streams, work, ignored, caught = seen.read_text(encoding="utf-8").splitlines()
        assert int(session) != os.getsid(0)
        assert (streams, work) == ([os.devnull] * 3, f"{host.state}/work")
        assert {1, 2} <= signals_in(ignored)
        assert {15} <= signals_in(caught)

    def test_tells_why_it_failed_as_the_copy_itself_does(self, host):
        host.hook(f"case $command in {PULLS} rm -f {host.data}/pg_xact/0000 ;; esac")
        error = refused(job_of(host))
        assert (error.code, error.result["rc"]) == ("backup_files_missing", 23)
        assert "pg_xact" in error.result["stderr"]
        assert error.result["cmd"][0] == "rsync"

    @pytest.mark.parametrize("name", ["copy", "inspect_target"])
    def test_tells_of_our_own_mistakes_with_the_traceback(self, host, monkeypatch, name):
        def mistaken(*_given):
            raise ValueError("our own mistake")

        if name == "copy":
            monkeypatch.setitem(globals(), name, mistaken)
        else:
            monkeypatch.setattr(_begin, name, mistaken)
        error = refused(job_of(host))
        assert error.code == "copy_failed"
        assert "our own mistake" in error.msg
        assert "Traceback" in error.result["exception"]

    def test_has_nothing_to_do_where_it_is_done(self, host):
        follow(job_of(host), copy)
        host.forget_calls()
        assert follow(job_of(host), copy).action == "none"
        assert host.calls() == []


def signals_in(line):
    """The numbers in a line of /proc/PID/status."""
    mask = int(line.split()[1], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


class TestNotYetStarted:
    """The process that is to copy has not come to its lock yet."""

    @pytest.fixture
    def held(self, host, monkeypatch):
        """Every process that is to copy waits before it makes its place, until it is told to go on."""
        make_place, select = _detached._make_place, _detached.select.select
        host.go, host.second, host.begun = host.root / "go", host.root / "second", os.getpid()

        def delayed(job):
            first = not host.second.exists()
            if first:
                host.second.touch()
                wait_until(host.go.exists)
            else:  # a second process lets the first one come to its end before it goes on itself
                host.go.touch()
                wait_until(
                    lambda: (
                        (ResultFile(job.state_directory).read() or {}) and Lock.holder(f"{host.state}/runner") is None
                    )
                )
            return make_place(job)

        def waits(readers, writers, errors, seconds=None):
            """Whoever waits without an end waits for the process itself, which may go on then."""
            if os.getpid() == host.begun and seconds is None:
                host.go.touch()
            return select(readers, writers, errors, seconds)

        monkeypatch.setattr(_detached, "_make_place", delayed)
        monkeypatch.setattr(_detached.select, "select", waits)
        return host

    def test_whoever_does_not_wait_hears_of_it_when_it_has_its_lock(self, held):
        running = follow(job_of(held), copy, 0)
        assert isinstance(running, Running)
        done = follow(job_of(held), copy, None, running.run)
        assert done.action == "clone"

    def test_whoever_does_not_wait_hears_why_it_cannot_begin(self, held):
        assert refused(job_of(held, data_directory="/etc"), 0).code == "path_dangerous"

    def test_a_run_that_ends_meanwhile_is_not_copied_once_more(self, host, monkeypatch):
        """Its result came after the look at the results and before the lock of the process that would copy again."""
        make_place = _detached._make_place
        follow(job_of(host), copy)
        earlier = {"run": "earlier", "outcome": asdict(Result("clone", files=7))}

        def delayed(job):
            ResultFile(job.state_directory).write(earlier)
            return make_place(job)

        monkeypatch.setattr(_detached, "_make_place", delayed)
        heard = follow(job_of(host), copy, None, "earlier")
        assert (heard.action, heard.files) == ("clone", 7)
        assert ResultFile(str(host.state)).read()["run"] == "earlier"
