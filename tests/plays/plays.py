# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays of the real role on hosts that are not there: `stand_in.py` answers in place of every module.

What a play does with hosts that fail, with batches and with strategies is Ansible's and the role's YAML alone; here it
takes a second, and any number of hosts.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.pgfleet.standby.tests.waiting import BOUND

COLLECTION = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name("stand_in.py")
INPUTS = {
    "host": "barman@backup",
    "server": "pg",
    "data_directory": "/data/one",
    "upstream_conninfo": "host=primary user=replicator",
    "service": "",
}


@dataclass(frozen=True)
class Told:
    """What a play did: its exit code and output, the calls of modules in their order, and the report."""

    code: int
    output: str
    story: list[dict[str, Any]]
    report: list[dict[str, Any]] | None

    def calls(self, module: str, host: str | None = None) -> list[dict[str, Any]]:
        return [call for call in self.story if call["module"] == module and host in (None, call["host"])]

    def hosts(self, module: str) -> list[str]:
        """The hosts on which the module was called, each once."""
        return sorted({call["host"] for call in self.calls(module)})

    def reported(self, name: str = "state") -> dict[str, Any]:
        """A column of the report by host, from the file on the controller."""
        assert self.report is not None, self.output
        return {record["host"]: record.get(name) for record in self.report}

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        lines = self.output.partition("PLAY RECAP")[2].splitlines()[1:]
        counts = {line.partition(":")[0].strip(): re.findall(r"(\w+)=(\d+)", line) for line in lines if ":" in line}
        return {host: {name: int(count) for name, count in pairs} for host, pairs in counts.items()}


class Plays:
    """A directory to play in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.report_path = path / "report.json"
        collection = path / "ansible_collections/pgfleet/standby"
        (collection / "plugins/action").mkdir(parents=True)
        (collection / "plugins/modules").mkdir()
        for part in ("roles", "meta", "plugins/filter", "plugins/module_utils", "plugins/doc_fragments"):
            (collection / part).symlink_to(COLLECTION / part)
        for module in (COLLECTION / "plugins/modules").glob("[a-z]*.py"):
            (collection / "plugins/action" / module.name).symlink_to(STAND_IN)
        slots = path / "ansible_collections/community/postgresql/plugins/action"
        slots.mkdir(parents=True)
        (slots / "postgresql_slot.py").symlink_to(STAND_IN)

    def run(
        self,
        *applications: Mapping[str, Any],
        hosts: str = "abcd",
        healthy: Iterable[str] = (),
        drifted: Iterable[str] = (),
        late: str = "",
        rewinding: str = "",
        fed: str | None = None,
        former: Iterable[Mapping[str, Any]] = (),
        plan: Mapping[str, Any] | None = None,
        fails: Mapping[str, Mapping[str, Any]] | None = None,
        options: Iterable[str] = (),
        unreachable: str = "",
        **keywords: Any,
    ) -> Told:
        """A play that applies the role with each of these inputs in turn, or once with those above.

        ``healthy`` has standbys that stream already, as HOST:DATA_DIRECTORY, and ``drifted`` those of them of which
        something was changed; the standbys of ``late`` run and do not stream yet; on the hosts of ``rewinding`` an
        earlier play has begun a rewind; ``fed`` is what it has left of a WAL feed; ``former`` are slots that the
        standby does not use any more; ``plan`` has what the preflight plans otherwise than a clone; ``fails`` has the
        answer of a module that fails on a host: {HOST: {MODULE: answer}}; nothing reaches the hosts of
        ``unreachable``; ``keywords`` are those of the play.
        """
        world = {
            "healthy": list(healthy),
            "drifted": list(drifted),
            "late": list(late),
            "rewinding": list(rewinding),
            "fed": fed,
            "former": list(former),
            "plan": plan or {},
            "fails": fails or {},
            "unreachable": list(unreachable),
        }
        (self.path / "world").write_text(json.dumps(world), encoding="utf-8")
        story, book = self.path / "story", self.path / "play.yml"
        story.write_text("", encoding="utf-8")
        self.report_path.unlink(missing_ok=True)
        roles = [
            {
                "role": "pgfleet.standby.standby_from_barman",
                **{
                    f"standby_from_barman_{name}": value
                    for name, value in {**INPUTS, "report_path": str(self.report_path), **application}.items()
                },
            }
            for application in applications or [{}]
        ]
        play = {"hosts": "all", "gather_facts": False, **keywords, "roles": roles}
        book.write_text(yaml.safe_dump([play], sort_keys=False), encoding="utf-8")
        inventory = {"all": {"hosts": {host: {"ansible_connection": "local"} for host in hosts}}}
        (self.path / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        done = subprocess.run(
            ["ansible-playbook", "-i", "hosts.yml", "-e", "ansible_become=false", *options, book.name],
            cwd=self.path,
            env={
                **os.environ,
                "HOME": str(self.path),
                "STAND_IN": str(self.path),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_FORKS": "10",
                "ANSIBLE_SHOW_CUSTOM_STATS": "1",
                "ANSIBLE_LOCALHOST_WARNING": "0",
                "ANSIBLE_COLLECTIONS_PATH": f"{self.path}:{COLLECTION.parents[2]}",
            },
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
        )
        calls = [json.loads(line) for line in story.read_text(encoding="utf-8").splitlines()]
        report = json.loads(self.report_path.read_text(encoding="utf-8")) if self.report_path.exists() else None
        return Told(done.returncode, done.stdout + done.stderr, calls, report)
