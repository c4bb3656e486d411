"""As whom a server on this host is asked, such as a superuser of another name, and where it listens."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.os_user import user_name
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import signs_of_use
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.local_server import ask_server, place_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.pg_settings import read_settings
from ansible_collections.pgfleet.standby.tests.servers.controlled import as_servers_user
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.servers import SUPERUSER, Server, as_user
from ansible_collections.pgfleet.standby.tests.waiting import wait_until

MAJORS = (pytest.param(10, marks=pytest.mark.long), 18)
ACCOUNT = "nobody" if os.geteuid() == 0 else user_name(os.geteuid())
PASSWORD = "known-to-nobody-else"


@pytest.fixture(scope="module", params=MAJORS)
def server(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Server]:
    """One whose superuser has not the OS user's name: that of the OS user may log in as it, or as a watcher."""
    server = Server.create(request.param, fleet.place(f"l{request.param}"))
    server.start()
    server.sql(f"CREATE ROLE watcher LOGIN PASSWORD '{PASSWORD}'")
    server.sql("GRANT pg_monitor TO watcher")
    server.sql("CREATE ROLE stranger LOGIN")
    server.stop()
    server.put("pg_ident.conf", f"mine {ACCOUNT} {SUPERUSER}\nmine {ACCOUNT} watcher\nmine {ACCOUNT} stranger\n")
    server.put("pg_hba.conf", "local all all peer map=mine\nhost all watcher 127.0.0.1/32 md5\n")
    yield server
    server.stop()


class Starts:
    """The server, started so that it listens at one place."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __call__(self, **settings: str) -> None:
        self._server.start(settings, wait=False)
        ready = self._server.data / "postmaster.pid"
        wait_until(lambda: ready.exists() and "ready" in ready.read_text(), "the start of the server")


@pytest.fixture
def start(server: Server) -> Iterator[Starts]:
    """Start it with these settings, without a session of ours."""
    yield Starts(server)
    server.stop()


def seen(server: Server, user: str | None) -> tuple[str | None, str]:
    """Why it could not be asked, and its words."""
    with as_servers_user():
        answer = ask_server(inspect(str(server.data), str(server.top / "state")), user)
    if answer.unasked is not None:
        return answer.unasked.kind, answer.unasked.refusal.msg
    assert answer.instance is not None
    return None, answer.instance.system_identifier


@pytest.mark.parametrize("user", [SUPERUSER, "watcher"])
def test_it_is_asked_as_the_role_that_is_named(server: Server, start: Starts, user: str) -> None:
    start()
    with as_servers_user():
        pgdata = inspect(str(server.data), str(server.top / "state"))
        assert ask_server(pgdata, user).instance is not None
        settings = read_settings(pgdata, ["work_mem"], user)
        place = place_of(pgdata, user)
        assert settings is not None
        assert settings.settings["work_mem"].value == "4096"
        assert place is not None
        assert "role watcher" in signs_of_use(place)


def test_otherwise_as_the_os_user_who_is_no_role_and_that_is_said(server: Server, start: Starts) -> None:
    start()
    kind, said = seen(server, None)
    assert kind == "refused"
    assert ACCOUNT in said
    assert "login_user" in said


def test_a_relative_directory_of_sockets_is_the_data_directorys(server: Server, start: Starts) -> None:
    start(unix_socket_directories=".")
    assert seen(server, SUPERUSER)[0] is None


def test_without_a_socket_by_its_address_and_a_password(
    server: Server, start: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(unix_socket_directories="")
    passfile = server.top / "passfile"
    passfile.write_text(f"*:*:*:watcher:{PASSWORD}\n", encoding="utf-8")
    passfile.chmod(0o600)
    as_user(passfile)
    kind, said = seen(server, SUPERUSER)
    assert (kind, "no pg_hba.conf entry" in said) == ("refused", True)
    assert PASSWORD not in said
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    assert seen(server, "watcher")[0] is None
