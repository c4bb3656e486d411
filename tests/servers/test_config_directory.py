"""A cluster whose configuration is in a directory of its own, as Debian's packaging has it, and no unit starts it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.servers.controlled import Control, may_run_python
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.servers import Server, as_user

MAJORS = (pytest.param(10, marks=pytest.mark.long), 18)


@pytest.fixture(scope="module", params=MAJORS)
def made(request: pytest.FixtureRequest, fleet: Fleet) -> Server:
    """What initdb has made, once for each version."""
    return Server.create(request.param, fleet.place(f"c{request.param}"))


@pytest.fixture
def server(made: Server, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Its configuration is moved away from the data directory, into one whose name a shell would take for more."""
    may_run_python(monkeypatch)
    place = fleet.place(f"d{made.major}")
    server = made.copied(place)
    own = configuration_of(server)
    own.mkdir()
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        (server.data / name).rename(own / name)
    write(
        server,
        f"unix_socket_directories = '{place}'\nport = {server.port}\nhba_file = '{own}/pg_hba.conf'\n"
        f"ident_file = '{own}/pg_ident.conf'\nmax_connections = 23\n",
    )
    yield server
    Control(server).to("stopped")
    shutil.rmtree(place)


def configuration_of(server: Server) -> Path:
    return server.top / "its etc; exit 1"


def write(server: Server, more: str) -> None:
    with (configuration_of(server) / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write(more)
    as_user(server.top)


def answers(server: Server, name: str) -> str:
    """A setting of the server that runs."""
    connection = server.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SHOW {name}")
            return str(cursor.fetchone()[0])
    finally:
        connection.close()


def test_it_starts_with_that_configuration_and_keeps_it(server: Server) -> None:
    own = str(configuration_of(server))
    named = Control(server, config_directory=own)
    named.to("started")
    assert (answers(server, "max_connections"), answers(server, "config_file")) == ("23", f"{own}/postgresql.conf")
    write(server, "max_connections = 24\n")
    named.to("restarted")
    assert answers(server, "max_connections") == "24"
    write(server, "max_connections = 25\n")
    Control(server).to("restarted")  # nobody names it now, and pg_ctl would keep it as well
    assert answers(server, "max_connections") == "25"


def test_its_words_are_found_where_that_configuration_puts_its_log(server: Server) -> None:
    write(server, "logging_collector = on\nlog_directory = 'its_log'\nlog_filename = 'one.log'\n")
    named = Control(server, config_directory=str(configuration_of(server)))
    named.to("started")
    named.to("stopped")
    write(server, "max_connections = 22\nhba_file = '/nosuch/pg_hba.conf'\n")
    with pytest.raises(StandbyError) as failed:
        named.to("started")
    assert failed.value.code == "server_start_failed"
    assert "/nosuch/pg_hba.conf" in failed.value.msg
    assert failed.value.result["cause"] == "hba_invalid"


def test_without_it_there_is_no_configuration_and_that_is_said(server: Server) -> None:
    with pytest.raises(StandbyError) as failed:
        Control(server).to("started")
    assert "postgresql.conf" in failed.value.msg
