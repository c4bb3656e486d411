# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a server runs on a directory, as a look at the directory tells."""

from __future__ import annotations

import json
import os
import time

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import inspect as _inspect
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import BACKUP_ID, CONTROL_TEXT

CLUSTER = {"PG_VERSION": "15\n", "global/pg_control": CONTROL_TEXT}


class TestRunning:
    """A process counts as the directory's server when it works there."""

    @pytest.fixture
    def worker(self, host, pgdata):
        """A real process in the data directory; its name is what the test says."""
        write_tree(pgdata, {**CLUSTER, "standby.signal": ""})
        started = []

        def start(name="postgres", cwd=pgdata):
            process = host.start(name, cwd)
            started.append(process)
            return process

        yield start
        for process in started:
            process.communicate()

    def pid_file(self, pgdata, pid, started=1795262540):
        write_tree(pgdata, {"postmaster.pid": f"{pid}\n{pgdata}\n{started}\n5433\n/tmp\n"})

    def test_by_its_pid_file(self, inspect, pgdata, worker):
        process = worker()
        self.pid_file(pgdata, process.pid)
        found = inspect()
        assert (found.running, found.pid, found.port, found.socket_directory) == (True, process.pid, 5433, "/tmp")

    def test_without_its_pid_file(self, inspect, pgdata, worker):
        process = worker()
        found = inspect()
        assert (found.pid, found.port) == (process.pid, None)

    @pytest.mark.parametrize("text", [None, "garbage"], ids=["gone", "damaged"])
    def test_although_its_pg_control_is_no_more(self, inspect, pgdata, worker, text):
        process = worker()
        (pgdata / "global/pg_control").unlink()
        if text is not None:
            write_tree(pgdata, {"global/pg_control": text})
        found = inspect()
        assert (found.state, found.pid) == ("foreign", process.pid)

    def test_with_a_wrong_pid_file(self, inspect, pgdata, worker):
        process = worker()
        self.pid_file(pgdata, os.getpid())
        assert inspect().pid == process.pid

    @pytest.mark.parametrize(
        "files",
        [
            pytest.param({"base/1/1": ""}, id="an unfinished copy"),
            pytest.param({"lost+found/x": ""}, id="what looks empty"),
            pytest.param({"notes": ""}, id="something else"),
        ],
    )
    def test_whatever_is_left_in_the_directory(self, host, inspect, tmp_path, files):
        pgdata = tmp_path / "pgdata"
        write_tree(pgdata, files)
        state = {"phase": "copying", "backup_id": BACKUP_ID, "data_directory": str(pgdata)}
        write_tree(tmp_path / ".pgdata.standby", {"state.json": json.dumps(state)})
        process = host.start("postgres", pgdata)
        try:
            assert inspect().pid == process.pid
        finally:
            process.communicate()

    @pytest.mark.parametrize(
        ("said", "told"),
        [("/run/pg", "/run/pg"), (".", "{pgdata}/."), ("sock", "{pgdata}/sock"), ("@pg", "@pg"), ("", None)],
    )
    def test_its_socket_is_where_the_server_has_made_it(self, inspect, pgdata, worker, said, told):
        process = worker()
        write_tree(
            pgdata, {"postmaster.pid": f"{process.pid}\n{pgdata}\n1795262540\n5433\n{said}\n::1\n1 2\nready   \n"}
        )
        found = inspect()
        assert found.socket_directory == (told and told.format(pgdata=pgdata))
        assert (found.listen_address, found.status) == ("::1", "ready")

    def test_not_for_certain(self, inspect, pgdata):
        write_tree(pgdata, CLUSTER)
        self.pid_file(pgdata, 1, started=int(time.time()))
        found = inspect()
        assert (found.running, found.state) == (False, "cluster")
        assert "container" in found.doubt
        with pytest.raises(StandbyError) as refused:
            _inspect.require_stopped(found)
        assert refused.value.code == "server_uncertain"

    def test_not_by_a_number_that_was_reused(self, inspect, pgdata, worker):
        process = worker("other", cwd="/")
        self.pid_file(pgdata, process.pid)
        assert not inspect().running

    def test_not_by_a_process_of_another_name(self, inspect, pgdata, worker):
        worker("other")
        assert not inspect().running

    def test_not_by_a_process_that_has_ended(self, inspect, pgdata, worker):
        process = worker()
        self.pid_file(pgdata, process.pid)
        process.kill()
        process.wait()
        assert not inspect().running
