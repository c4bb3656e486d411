"""A standby while its upstream is down: what can be made is made, what cannot be proven is told, and proven later.

Nobody has said whom it follows; Barman tells.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab import Lab
from play import Playbook, Run
from standby_host import HOST

# The lab's own server, by another name of the file, with what a connection of Barman's may have.
CONF = f"/etc/barman-follow-{HOST}.conf"
LOG = f"/tmp/barman-follow-{HOST}.log"
SECRET = "Geh3im"
SERVERS = f"""\
[barman]
barman_user = barman
barman_home = /var/lib/barman
log_file = {LOG}

[pg]
description = whom to follow
conninfo = host=primary user=barman dbname=postgres
streaming_conninfo = host=primary user=streaming_barman password={SECRET} sslmode=prefer sslrootcert=/nowhere
ssh_command = ssh postgres@primary
backup_method = rsync
archiver = on

[beside]
description = on the Barman host itself
conninfo = host=localhost user=barman password={SECRET}
backup_method = postgres
"""


@pytest.fixture
def upstream_address(lab: Lab) -> Iterator[str]:
    lab.reset(HOST)
    lab.barman.write(CONF, SERVERS)
    yield lab.primary.address
    lab.barman.run(["rm", "-f", CONF, LOG])
    lab.reset(HOST)


@contextmanager
def without_upstream(lab: Lab, address: str) -> Iterator[None]:
    """Nobody answers on the primary's port, as seen from this host."""
    host = lab.host(HOST)
    rule = ["OUTPUT", "-p", "tcp", "-d", address, "--dport", "5432", "-j", "REJECT"]
    host.run(["iptables", "-A", *rule])
    try:
        yield
    finally:
        host.run(["iptables", "-D", *rule])


@pytest.mark.long
def test_a_standby_is_made_without_its_upstream_and_proven_with_it(
    lab: Lab, playbook: Playbook, upstream_address: str, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    derived = {"upstream_conninfo": "", "replication_user": "replicator", "config": CONF}

    def play(**extra: object) -> tuple[Run, dict[str, Any]]:
        run = playbook.run("--limit", HOST, "-vvv", report_path=str(report), **derived, **extra)
        assert run.rc == 0, run.output
        record = json.loads(report.read_text(encoding="utf-8"))[0]
        assert record["upstream_derived"] == {
            "conninfo": {"host": "primary", "user": "streaming_barman", "sslmode": "prefer"},
            "source": "streaming_conninfo of Barman's server pg",
            "left_out": ["password", "sslrootcert"],
        }
        assert SECRET not in run.output
        return run, record

    with without_upstream(lab, upstream_address):
        made, record = play(upstream_connection="none")
        assert (record["action"], record["state"]) == ("clone", "waiting_for_upstream"), record
        assert "that its timeline and history hold the backup" in record["not_checked"]
        assert "The upstream was not asked" in made.output
        assert (
            "is taken from streaming_conninfo of Barman's server pg, without its password, sslrootcert" in made.output
        )
        in_recovery = lab.host(HOST).run(
            ["psql", "-XAtc", "SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn() IS NOT NULL"], user="postgres"
        )
        assert in_recovery.stdout == "t|t\n"

        again, record = play(upstream_connection="none")
        assert (again.recap[HOST]["changed"], record["state"]) == (0, "waiting_for_upstream"), again.output

    proven, record = play()
    assert (proven.recap[HOST]["changed"], record["state"]) == (0, "streaming"), proven.output


def test_whom_barman_reaches_without_leaving_its_host_nobody_else_can_follow(
    playbook: Playbook, upstream_address: str
) -> None:
    run = playbook.run("--limit", HOST, "--check", "-vvv", upstream_conninfo="", config=CONF, server="beside")
    assert '"error_code": "conninfo_underivable"' in run.output, run.output
    assert "leads to localhost" in run.output
    assert SECRET not in run.output
