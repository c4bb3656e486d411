"""standby_server on real servers: started, stopped, restarted and reloaded by systemd and by pg_ctl, and no other's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from lab import Lab
from modules import Modules
from standby_host import BINDIR, HOST

TOP = "/var/lib/postgresql/server-test"
OURS, OTHER = f"{TOP}/ours", f"{TOP}/other"
UNITS = {OURS: "pgfleet-ours", OTHER: "pgfleet-other"}
PORTS = {OURS: 6201, OTHER: 6202}
# As the PGDG's packages for RHEL have it, but for its names: the server tells systemd that it is ready.
UNIT = """\
[Unit]
Description=A server of a test
[Service]
Type={type}
User=postgres
{environment}
ExecStart={bindir}/postgres -D {data}
ExecReload=/bin/kill -HUP $MAINPID
KillMode=mixed
KillSignal=SIGINT
TimeoutSec=0
[Install]
WantedBy=multi-user.target
"""
MAKE = f"""\
set -eu
mkdir -m 700 {TOP}
for name in ours other; do
    {BINDIR}/initdb --auth=trust --no-sync --pgdata={TOP}/$name >/dev/null
    mkdir -m 700 {TOP}/.$name.standby
done
"""


@dataclass
class Servers(Modules):
    """Two clusters, each with a unit of its own."""

    def ask(self, state: str = "started", service: str | None = UNITS[OURS], **options: Any) -> dict[str, Any]:
        given = {"data_directory": OURS, "state": state, "pg_bindir": BINDIR, "timeout": 60}
        user = "postgres" if service is None else "root"
        return self.module_as(
            user, "standby_server", **{**given, **({"service": service} if service else {}), **options}
        )

    def build(self) -> None:
        self.host.run(["sh", "-c", MAKE], user="postgres")
        for data, name in UNITS.items():
            settings = f"port = {PORTS[data]}\nlisten_addresses = ''\nfsync = off\n"
            self.host.write(f"{data}/postgresql.auto.conf", settings, owner="postgres", mode=0o600)
            self.unit(name, data)

    def unit(self, name: str, data: str, type: str = "notify", environment: str = "") -> None:
        text = UNIT.format(type=type, environment=environment, bindir=BINDIR, data=data)
        self.host.write(f"/etc/systemd/system/{name}.service", text)
        self.systemctl("daemon-reload")

    def remove(self) -> None:
        for data, name in UNITS.items():
            self.systemctl("disable", "--now", name, check=False)
            stop = [f"{BINDIR}/pg_ctl", "stop", "--mode=immediate", f"--pgdata={data}"]
            self.host.run(stop, user="postgres", check=False)
            self.host.run(["rm", "-f", f"/etc/systemd/system/{name}.service"])
        self.systemctl("daemon-reload")
        self.host.run(["rm", "-rf", TOP])

    def systemctl(self, *words: str, check: bool = True) -> str:
        return self.host.run(["systemctl", *words], check=check).stdout.strip()

    def start(self, data: str, by: str | None) -> int:
        if by is None:
            argv = [f"{BINDIR}/pg_ctl", "start", "--wait", "--silent", f"--pgdata={data}", f"--log={data}.log"]
            self.host.run(argv, user="postgres")
        else:
            self.systemctl("start", by)
        return self.pid(data)

    def pid(self, data: str) -> int:
        done = self.host.run(["head", "-n", "1", f"{data}/postmaster.pid"], check=False)
        return int(done.stdout or 0)

    def sql(self, sql: str) -> str:
        argv = ["psql", "-XAtq", "-p", str(PORTS[OURS]), "-c", sql, "postgres"]
        return self.host.run(argv, user="postgres").stdout.strip()


@pytest.fixture
def servers(lab: Lab) -> Iterator[Servers]:
    servers = Servers(lab, lab.host(HOST))
    servers.install()
    servers.remove()
    try:
        servers.build()
        yield servers
    finally:
        servers.remove()


WAYS = pytest.mark.parametrize("service", [UNITS[OURS], None], ids=["a unit", "pg_ctl"])


@WAYS
def test_a_life(servers: Servers, service: str | None) -> None:
    """Each state is reached, reported, and found to be there already."""
    started = servers.ask(service=service)
    assert (started["action"], started["running"]) == ("start", True), started
    assert servers.sql("SELECT 1") == "1"
    assert servers.ask(service=service)["changed"] is False

    servers.host.run(["sh", "-c", f"echo work_mem = 7MB >>{OURS}/postgresql.auto.conf"], user="postgres")
    reloaded = servers.ask("reloaded", service=service)
    assert (reloaded["action"], reloaded["pid"]) == ("reload", started["pid"]), reloaded
    # The process of a new session has read what the postmaster has: it is asked until that has come.
    servers.sql("DO $$BEGIN WHILE current_setting('work_mem') <> '7MB' LOOP PERFORM pg_sleep(0.1); END LOOP; END$$")

    restarted = servers.ask("restarted", service=service)
    assert (restarted["action"], restarted["running"]) == ("restart", True), restarted
    assert restarted["pid"] != started["pid"]

    stopped = servers.ask("stopped", service=service)
    assert (stopped["action"], stopped["running"], servers.pid(OURS)) == ("stop", False, 0), stopped
    control = servers.host.run([f"{BINDIR}/pg_controldata", OURS]).stdout
    assert "shut down\n" in control, control
    assert servers.ask("stopped", service=service)["changed"] is False
    if service is not None:
        assert servers.systemctl("is-active", service, check=False) == "inactive"


def test_a_server_of_no_unit_is_stopped_and_given_to_the_unit(servers: Servers) -> None:
    before = servers.start(OURS, None)
    result = servers.ask("restarted")
    assert result["pid"] not in (before, None), result
    assert servers.systemctl("show", "--property=MainPID", UNITS[OURS]) == f"MainPID={result['pid']}"
    servers.systemctl("stop", UNITS[OURS])
    servers.start(OURS, None)
    assert servers.ask("stopped")["running"] is False


@pytest.mark.parametrize("state", ["stopped", "restarted"])
def test_the_unit_of_another_cluster_is_left_alone(servers: Servers, state: str) -> None:
    other = servers.start(OTHER, UNITS[OTHER])
    ours = servers.start(OURS, UNITS[OURS])
    result = servers.ask(state, service=UNITS[OTHER])
    assert result["error_code"] == "service_other_server", result
    assert f"its main process is {other} in {OTHER}" in result["msg"]
    assert f"give service={UNITS[OURS]}.service" in result["msg"]
    assert (servers.pid(OTHER), servers.pid(OURS)) == (other, ours)


@pytest.mark.parametrize("kind", ["notify", "simple"])
def test_a_unit_that_starts_another_cluster_is_stopped_again(servers: Servers, kind: str) -> None:
    servers.unit(UNITS[OTHER], OTHER, kind)
    result = servers.ask(service=UNITS[OTHER])
    assert result["error_code"] == "service_other_server", result
    assert (servers.pid(OTHER), servers.pid(OURS)) == (0, 0)
    servers.unit(UNITS[OTHER], OTHER, kind, f"Environment=PGDATA={OTHER}")
    told = servers.ask(service=UNITS[OTHER])
    assert f"its configuration names the data directory {OTHER}." in told["msg"], told


@pytest.mark.parametrize("kind", ["notify", "simple"])
def test_a_unit_that_has_just_its_environment(servers: Servers, kind: str) -> None:
    servers.unit(UNITS[OURS], OURS, kind, f"Environment=PGDATA={OURS}/")
    result = servers.ask()
    assert (result["action"], servers.pid(OURS)) == ("start", result["pid"]), result
    assert servers.sql("SELECT 1") == "1"


@WAYS
def test_a_server_that_does_not_start_is_quoted(servers: Servers, service: str | None) -> None:
    servers.host.run(["sh", "-c", f"echo shared_buffers = plenty >>{OURS}/postgresql.auto.conf"], user="postgres")
    result = servers.ask(service=service)
    assert result["error_code"] == "server_start_failed", result
    assert 'invalid value for parameter "shared_buffers": "plenty"' in result["msg"]
    assert servers.pid(OURS) == 0


@WAYS
def test_what_a_copy_has_begun_to_change_is_not_started(servers: Servers, service: str | None) -> None:
    servers.host.run(["mv", f"{OURS}/global/pg_control", f"{TOP}/control"])
    assert servers.ask(service=service)["error_code"] == "data_directory_not_startable"
    left = servers.ask(service=service, unstartable="leave")
    assert (left["changed"], left["running"]) == (False, False), left
    servers.host.run(["mv", f"{TOP}/control", f"{OURS}/global/pg_control"])
    assert servers.ask(service=service, unstartable="leave")["action"] == "start"


def test_it_starts_at_boot(servers: Servers) -> None:
    checked = servers.ask(enabled=True, _ansible_check_mode=True)
    assert (checked["enabled_changed"], checked["running"]) == (True, False), checked
    assert servers.systemctl("is-enabled", UNITS[OURS], check=False) == "disabled"
    assert servers.ask(enabled=True)["enabled_changed"] is True
    assert servers.systemctl("is-enabled", UNITS[OURS]) == "enabled"
    assert servers.ask(enabled=True)["changed"] is False
