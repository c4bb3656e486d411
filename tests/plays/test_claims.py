# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is claimed with `serial`: the role's own tasks decide, batch by batch, who claims and who gives up."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.pgfleet.standby.tests.waiting import BOUND

ROLE = Path(__file__).parents[2] / "roles/standby_from_barman"
# By the file that claims: the module, what it answers to show that it has done so, and what it is about.
KINDS = {
    "keep": ("pgfleet.standby.barman_backup_keep", {"owners": ["somebody"]}),
    "stage": ("pgfleet.standby.barman_backup_stage", {"backup": {"backup_id": "b"}}),
}
# Says what the module would be asked.
TOLD = {"ansible.builtin.debug": {"msg": "{{ 'asked ' ~ asked | to_json }}"}}


def tasks(name):
    return yaml.safe_load((ROLE / "tasks" / f"{name}.yml").read_text(encoding="utf-8"))


def of_module(name, kind):
    """The task in a file that runs the module of a kind of claim, and what comes right after it."""
    found = tasks(name)
    [index] = [number for number, task in enumerate(found) if KINDS[kind][0] in task]
    return found[index], found[index + 1]


def told(task, kind):
    """A task of the role, with a word of what it asks in place of what it would do."""
    module, answer = KINDS[kind]
    options = task[module]
    asked = {"host": "{{ inventory_hostname }}", "owner": options["owner"], "state": options.get("state", "present")}
    loop = {"loop": task["loop"]}
    results = {task["register"]: {"results": [answer]}}
    return [
        {"name": task["name"], **TOLD, "vars": {"asked": asked}, **loop},
        {"name": task["name"], "ansible.builtin.set_fact": results, "when": f"({task['loop'][3:-3]}) | length > 0"},
    ]


def play(kind):
    """As much of the role as concerns this kind of claim, in its order and with its conditions."""
    claim, note = of_module(kind, kind)
    release, _next = of_module("release", kind)
    [provision, *_report] = tasks("provision")
    [conditions] = [task["when"] for task in provision["always"] if "release" in str(task)]
    begin = {"ansible.builtin.set_fact": {"__standby_from_barman_look": {}}}
    chosen = {"backup": {"backup_id": "b"}}
    facts = {
        "__standby_from_barman_choice": chosen,
        "__standby_from_barman_question": "{{ __standby_from_barman_key }}",
    }
    needs = "inventory_hostname not in healthy"
    fail = {"ansible.builtin.fail": None, "when": "inventory_hostname in failing"}
    record = {"ansible.builtin.set_fact": {"__standby_from_barman_record": {"state": "failed"}}}
    claiming = [{"ansible.builtin.set_fact": facts}, *told(claim, kind), note]
    return [
        {
            "block": [begin, {"block": claiming, "when": needs}, fail],
            "rescue": [record],
            "always": [{"block": told(release, kind), "when": conditions}],
        },
        {"ansible.builtin.fail": None, "when": "__standby_from_barman_record is defined"},
    ]


WHOLE = "a:whole play"


@pytest.mark.parametrize(
    ("how", "held", "given_up", "restores"),
    [
        pytest.param(
            {"serial": 1, "order": "reverse_sorted", "healthy": "ab"}, ["c", "d"], ["a"], 1, id="the last need nothing"
        ),
        pytest.param({"serial": 2, "failing": "b"}, ["a", "b"], ["c", "d"], 1, id="one fails, the play goes on"),
        pytest.param({"serial": 2, "failing": "ab"}, ["a", "b"], ["a", "b"], 1, id="a whole batch fails"),
        pytest.param({"serial": 1, "failing": "b"}, ["a", "b"], ["b"], 1, id="a batch fails, the play ends"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_who_claims_it_for_the_play_and_who_gives_it_up(tmp_path, kind, how, held, given_up, restores):
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
        "tasks": play(kind),
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
