# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is staged with `serial`: the role's own tasks decide, batch by batch, who holds it and who gives it up."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.pgfleet.standby.tests.waiting import BOUND

ROLE = Path(__file__).parents[2] / "roles/standby_from_barman"
MODULE = "pgfleet.standby.barman_backup_stage"
# Says what the module would be asked.
TOLD = {"ansible.builtin.debug": {"msg": "{{ 'asked ' ~ asked | to_json }}"}}


def told(task, **answer):
    """A task of the role, with a word of what it asks in place of what it would do."""
    name, options = task["name"], task[MODULE]
    asked = {"host": "{{ inventory_hostname }}", "owner": options["owner"], "state": options.get("state", "present")}
    return [
        {"name": name, **TOLD, "vars": {"asked": asked}, "when": task.get("when", [])},
        *(
            [{"name": name, "ansible.builtin.set_fact": {task["register"]: answer}, "when": task.get("when", [])}]
            if answer
            else []
        ),
    ]


def tasks(name):
    return yaml.safe_load((ROLE / "tasks" / f"{name}.yml").read_text(encoding="utf-8"))


def play():
    """As much of the role as concerns staging, in its order and with its conditions."""
    first, hold, remember, _again = tasks("stage")
    own, _warning = tasks("unstage")
    whole, _warning = tasks("unstage_play")
    [conditions] = [task["when"] for task in tasks("main")[0]["always"] if "unstage_play" in str(task)]
    begin = {"ansible.builtin.set_fact": {"__standby_from_barman_before": {}}}
    choose = {"ansible.builtin.set_fact": {"__standby_from_barman_choice": {"backup": {"backup_id": "b"}}}}
    needs = "inventory_hostname not in healthy"
    fail = {"ansible.builtin.fail": None, "when": "inventory_hostname in failing"}
    record = {"ansible.builtin.set_fact": {"__standby_from_barman_record": {"state": "failed"}}}
    staging = [choose, *told(first, backup={}), *told(hold), remember]
    return {
        "block": [begin, {"block": staging, "when": needs}, fail],
        "rescue": [record, {"ansible.builtin.fail": None}],
        "always": [{"block": told(own), "when": needs}, {"block": told(whole), "when": conditions}],
    }


WHOLE = "a:whole play"


@pytest.mark.parametrize(
    ("how", "held", "given_up", "restores"),
    [
        pytest.param(
            {"serial": 1, "order": "reverse_sorted", "healthy": "ab"}, ["c", "d"], ["a"], 1, id="the last need nothing"
        ),
        pytest.param({"serial": 2, "failing": "b"}, ["a", "b"], ["b", "c", "d"], 2, id="one fails, the play goes on"),
        pytest.param({"serial": 1, "failing": "b"}, ["a", "b"], ["b"], 1, id="a batch fails, the play ends"),
    ],
)
def test_who_holds_it_for_the_play_and_who_gives_it_up(tmp_path, how, held, given_up, restores):
    book = {
        "hosts": "all",
        "gather_facts": False,
        **{name: how[name] for name in ("serial", "order") if name in how},
        "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
        "vars": {
            "healthy": list(how.get("healthy", "")),
            "failing": list(how.get("failing", "")),
            "standby_from_barman_host": "barman@backup",
            "standby_from_barman_server": "pg",
            "standby_from_barman_data_directory": "/data",
        },
        "tasks": [play()],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([book], sort_keys=False), encoding="utf-8")
    done = subprocess.run(
        ["ansible-playbook", "-i", "a,b,c,d", "-c", "local", "play.yml"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0"},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    asked = [
        json.loads(json.loads(line.partition(": ")[2]).partition(" ")[2])
        for line in done.stdout.splitlines()
        if line.strip().startswith('"msg": "asked ')
    ]
    assert sorted(a["host"] for a in asked if (a["owner"], a["state"]) == (WHOLE, "present")) == held, done.stdout
    assert sorted(a["host"] for a in asked if (a["owner"], a["state"]) == (WHOLE, "absent")) == given_up, done.stdout
    claims, restored = set(), 0
    for ask in asked:
        restored += not claims and ask["state"] == "present"
        (claims.add if ask["state"] == "present" else claims.discard)(ask["owner"])
    assert (claims, restored) == (set(), restores), asked
