"""A standby that runs and cannot be asked is told of by what is seen from outside, on every major version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.local_server import Answer, ask_server
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.releases import RELEASES
from ansible_collections.pgfleet.standby.tests.servers.servers import SUPERUSER, Server
from ansible_collections.pgfleet.standby.tests.waiting import wait_until

_NUMBERS = count()


@pytest.fixture(params=sorted(RELEASES))
def lonely(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Server]:
    """A standby of its own, not started, that has no upstream."""
    server = fleet.primary(request.param).copy(fleet.place(f"l{next(_NUMBERS)}") / "data")
    server.make_standby({"restore_command": "false"})
    yield server
    server.stop()


def seen(server: Server, awaited: Callable[[DataDir], bool]) -> tuple[DataDir, Answer]:
    """Look until the directory shows what is awaited, and ask."""
    wait_until(lambda: awaited(inspect(str(server.data))), "what the directory shows")
    found = inspect(str(server.data))
    return found, ask_server(found, SUPERUSER)


def test_with_hot_standby_off(lonely: Server) -> None:
    lonely.start({"hot_standby": "off"}, wait=False)
    found, answer = seen(lonely, lambda directory: directory.status == "standby")
    assert found.pid == lonely.pid
    assert answer.unasked is not None
    assert (answer.unasked.kind, answer.unasked.refusal.code) == ("no_hot_standby", "hot_standby_off")
    assert "in archive recovery" in answer.unasked.refusal.found
    assert lonely.running


def test_with_a_pg_hba_conf_that_lets_nobody_in(lonely: Server) -> None:
    lonely.put("pg_hba.conf", "local all nobody trust\n")
    lonely.start(wait=False)
    found, answer = seen(lonely, lambda directory: directory.status == "ready")
    assert found.pid == lonely.pid
    assert answer.unasked is not None
    assert (answer.unasked.kind, answer.unasked.refusal.code) == ("refused", "instance_unreachable")
    assert "startup process is" in answer.unasked.refusal.found
    assert lonely.running


def test_through_another_path_of_its_directory(lonely: Server) -> None:
    lonely.start()
    elsewhere = Path(f"{lonely.data}.link")
    elsewhere.symlink_to(lonely.data)
    found = inspect(str(elsewhere))
    assert found.pid == lonely.pid
    assert ask_server(found, SUPERUSER).instance is not None


def test_without_its_postmaster_pid(lonely: Server) -> None:
    lonely.start()
    (lonely.data / "postmaster.pid").unlink()
    found = inspect(str(lonely.data))
    assert found.pid == lonely.pid
    answer = ask_server(found, SUPERUSER)
    assert answer.unasked is not None
    assert answer.unasked.refusal.code == "server_hidden"
