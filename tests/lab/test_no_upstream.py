"""A standby while its upstream is down: what can be made is made, what cannot be proven is told, and proven later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import HOST, Playbook
from lab import Lab
from play import Run


@pytest.fixture
def upstream_address(lab: Lab) -> Iterator[str]:
    lab.reset(HOST)
    yield lab.primary.address
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


def test_a_standby_is_made_without_its_upstream_and_proven_with_it(
    lab: Lab, playbook: Playbook, upstream_address: str, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"

    def play(**extra: object) -> tuple[Run, dict[str, Any]]:
        run = playbook.run("--limit", HOST, report_path=str(report), wait_timeout=60, **extra)
        assert run.rc == 0, run.output
        return run, json.loads(report.read_text(encoding="utf-8"))[0]

    with without_upstream(lab, upstream_address):
        made, record = play(upstream_connection="none")
        assert (record["action"], record["state"]) == ("clone", "waiting_for_upstream"), record
        assert "that its timeline and history hold the backup" in record["not_checked"]
        assert "The upstream was not asked" in made.output
        in_recovery = lab.host(HOST).run(
            ["psql", "-XAtc", "SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn() IS NOT NULL"], user="postgres"
        )
        assert in_recovery.stdout == "t|t\n"

        again, record = play(upstream_connection="none")
        assert (again.recap[HOST]["changed"], record["state"]) == (0, "waiting_for_upstream"), again.output

    proven, record = play()
    assert (proven.recap[HOST]["changed"], record["state"]) == (0, "streaming"), proven.output
