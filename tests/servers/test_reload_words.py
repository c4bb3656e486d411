"""A reload that a real server does not take: what it has said of that is told, and what it has taken stands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.servers.controlled import Control, may_run_python
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.servers import Server

MAJORS = (*(pytest.param(major, marks=pytest.mark.long) for major in (10, 13, 16)), 18)
HBA = "local all all trust\nhost all all 127.0.0.1/32 trust\n"
LOGS = {
    "stderr": {},
    "a collector": {"logging_collector": "on", "log_directory": "its_log", "log_filename": "one.log"},
}


@pytest.fixture(scope="module", params=MAJORS)
def server(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Server]:
    """A server of its own, which pg_ctl starts."""
    server = Server.create(request.param, fleet.place(f"reloaded{request.param}"))
    server.edit("postgresql.conf", {"unix_socket_directories": str(server.top), "port": str(server.port)})
    yield server
    Control(server).to("stopped")


@pytest.fixture(params=LOGS)
def control(request: pytest.FixtureRequest, server: Server, monkeypatch: pytest.MonkeyPatch) -> Control:
    """It runs with a healthy configuration, which writes its log so."""
    may_run_python(monkeypatch)
    control = Control(server)
    control.to("stopped")
    server.put("postgresql.auto.conf", "".join(f"{name} = '{value}'\n" for name, value in LOGS[request.param].items()))
    server.put("pg_hba.conf", HBA)
    control.to("started")
    return control


def auto_conf(server: Server, more: str) -> None:
    server.put("postgresql.auto.conf", (server.data / "postgresql.auto.conf").read_text(encoding="utf-8") + more)


@pytest.mark.parametrize(
    ("more", "words", "cause"),
    [
        ("nosuch = 1\n", 'unrecognized configuration parameter "nosuch"', "setting_invalid"),
        ("work_mem = 'a lot'\n", 'invalid value for parameter "work_mem"', "setting_invalid"),
        ("work_mem 1 2 3\n", "syntax error in file", "setting_invalid"),
        ("hba", "line 3 of configuration file", "hba_invalid"),
    ],
    ids=["an unknown setting", "an invalid value", "a line that is none", "pg_hba.conf"],
)
def test_what_it_does_not_take_is_told(server: Server, control: Control, more: str, words: str, cause: str) -> None:
    if more == "hba":
        server.put("pg_hba.conf", f"{HBA}host all all nonsense\n")
    else:
        auto_conf(server, f"maintenance_work_mem = '5MB'\n{more}")
    with pytest.raises(StandbyError) as failed:
        control.to("reloaded")
    assert failed.value.code == "server_reload_refused"
    assert words in failed.value.msg
    assert failed.value.result["cause"] == cause
    assert failed.value.result["server_log"] != []


def test_what_only_a_restart_changes_is_told_and_is_no_failure(server: Server, control: Control) -> None:
    auto_conf(server, "max_connections = 21\nwork_mem = '5MB'\n")
    assert control.to("reloaded").waiting == ("max_connections",)
    assert control.to("restarted").waiting == ()


def test_a_reload_that_is_taken_says_nothing(server: Server, control: Control) -> None:
    auto_conf(server, "work_mem = '5MB'\n")
    assert control.to("reloaded").waiting == ()
