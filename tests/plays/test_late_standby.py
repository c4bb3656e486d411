# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role decides of a standby that is late: its own tasks are run, with answers in place of its modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.pgfleet.standby.tests.waiting import BOUND

ROLE = Path(__file__).parents[2] / "roles/standby_from_barman"
# Notes what it is asked and answers with what it is given.
ANSWER = """\
from ansible.module_utils.basic import AnsibleModule
import json
module = AnsibleModule({"name": {"type": "str"}, "asked": {"type": "dict"}, "told": {"type": "dict"}})
with open("LOG", "a") as log:
    log.write(json.dumps([module.params["name"], module.params["asked"]]) + "\\n")
module.exit_json(**(module.params["told"] or {}))
"""
OWN = ("block", "rescue", "always")


def tasks(name):
    return yaml.safe_load((ROLE / "tasks" / f"{name}.yml").read_text(encoding="utf-8"))


def answered(task, answers):
    """A task of the role, in which each module that has an answer gives that; nothing becomes another user."""
    changed = {name: value for name, value in task.items() if not name.startswith("become") and name != "delegate_to"}
    for part in OWN:
        if part in changed:
            changed[part] = [answered(inner, answers) for inner in changed[part]]
    for module in set(changed) & set(answers):
        asked = {key: value for key, value in (changed.pop(module) or {}).items() if key in ("name", "owner", "state")}
        changed["answer"] = {"name": module, "asked": asked, "told": answers[module]}
    return changed


@pytest.fixture
def run(tmp_path):
    """Run tasks of the role on a host with these facts. Returns what was asked of modules, and what was said."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library/answer.py").write_text(ANSWER.replace("LOG", str(tmp_path / "log")), encoding="utf-8")
    (tmp_path / "log").touch()

    def play(some, facts, fails=False, **inputs):
        book = {
            "hosts": "all",
            "gather_facts": False,
            "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
            "vars": {
                "standby_from_barman_host": "barman@backup",
                "standby_from_barman_server": "pg",
                "standby_from_barman_data_directory": "/data",
                "standby_from_barman_upstream_conninfo": {"host": "primary"},
                "__standby_from_barman_part": "provision",
                "ansible_python_interpreter": sys.executable,
                **inputs,
            },
            "tasks": [{"ansible.builtin.set_fact": facts}, *some] if facts else some,
        }
        (tmp_path / "play.yml").write_text(yaml.safe_dump([book], sort_keys=False), encoding="utf-8")
        done = subprocess.run(
            ["ansible-playbook", "-i", "n1,", "-c", "local", "play.yml"],
            cwd=tmp_path,
            env={
                **os.environ,
                "HOME": str(tmp_path),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_LOCALHOST_WARNING": "0",
                "ANSIBLE_LIBRARY": str(tmp_path / "library"),
            },
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
        )
        assert done.returncode == (2 if fails else 0), done.stdout + done.stderr
        return [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()], done.stdout

    return play


INFO, LOOK, PGDATA, SLOT, KEEP, SERVER = (
    "pgfleet.standby.standby_info",
    "pgfleet.standby.standby_drift_info",
    "pgfleet.standby.pgdata_info",
    "community.postgresql.postgresql_slot",
    "pgfleet.standby.barman_backup_keep",
    "pgfleet.standby.standby_server",
)
FAILED = {
    "__standby_from_barman_slot": {"changed": True},
    "__standby_from_barman_pin": {"results": [{"owners": ["n1:/data"]}]},
    "__standby_from_barman_choice": {"backup": {"backup_id": "b"}},
    "__standby_from_barman_look": {"settled": False, "standby": {"ready": False, "pgdata": {"ours": True}}},
    "__standby_from_barman_record": {"state": "failed"},
    "__standby_from_barman_preflight": {
        "plan": {
            "action": "clone",
            "copies": True,
            "slot": {
                "name": "n1",
                "login_host": "primary",
                "login_port": 5432,
                "login_user": "r",
                "login_db": "postgres",
                "connect_params": {},
            },
        }
    },
}


@pytest.mark.parametrize(
    ("left", "goes_on"),
    [
        pytest.param({"pgdata": {"running": True, "state": "standby"}}, True, id="it runs and is late"),
        pytest.param({"pgdata": {"running": False, "state": "standby"}}, False, id="it does not run"),
        pytest.param({"pgdata": {"running": False, "state": "incomplete"}}, False, id="the copy is not whole"),
        pytest.param({"msg": "not to be seen"}, True, id="it is not known"),
    ],
)
def test_a_failed_play_leaves_slot_and_wal_to_a_standby_that_runs(run, left, goes_on):
    answers = {PGDATA: left, SLOT: {}, KEEP: {"pinned": False}, SERVER: {}}
    [provision, *_report] = tasks("provision")
    [undo_when] = [task["when"] for task in provision["rescue"] if "undo" in str(task)]
    [release_when] = [task["when"] for task in provision["always"] if "release" in str(task)]
    undo = {"block": [answered(task, answers) for task in tasks("undo")], "when": undo_when}
    release = {"block": [answered(task, answers) for task in tasks("release") if KEEP in task], "when": release_when}
    asked, said = run([undo, release], FAILED)
    dropped = [asking for name, asking in asked if name == SLOT]
    released = [asking for name, asking in asked if name == KEEP]
    assert dropped == ([] if goes_on else [{"name": "n1", "state": "absent"}])
    assert released == ([] if goes_on else [{"owner": "n1:/data", "state": "absent"}])
    assert ("SELECT pg_drop_replication_slot('n1')" in said) == goes_on
    assert ("Barman keeps backup b" in said) == goes_on


def test_a_play_that_succeeds_gives_its_claim_up(run):
    answers = {KEEP: {"pinned": False}}
    release = [answered(task, answers) for task in tasks("release") if KEEP in task]
    facts = {**FAILED, "__standby_from_barman_record": {"state": "streaming"}}
    assert [asking for _name, asking in run(release, facts)[0]] == [{"owner": "n1:/data", "state": "absent"}]


def look(answer):
    return [answered(task, {LOOK: answer}) for task in tasks("look") if LOOK in task]


LATE = {"ready": False, "catching_up": True, "pgdata": {"ours": True}, "reasons": ["late"]}


@pytest.mark.parametrize(
    ("answer", "fails"),
    [
        ({"settled": True}, False),
        ({**LATE, "error_code": "standby_catching_up", "msg": "It is late."}, False),
        ({**LATE, "error_code": "standby_not_ready", "msg": "It does not run."}, False),
        ({**LATE, "error_code": "replay_paused", "msg": "It is paused. Next: resume it."}, True),
    ],
)
def test_a_standby_whose_replay_is_paused_ends_the_play_before_any_change(run, answer, fails):
    assert ("It is paused. Next: resume it." in run(look(answer), {}, fails)[1]) == fails


@pytest.mark.parametrize("ready", [True, False])
def test_the_proof_fails_with_the_words_and_the_code_of_what_was_seen(run, ready):
    answer = {"ready": True} if ready else {**LATE, "error_code": "standby_catching_up", "msg": "It is late."}
    prove = [answered(task, {INFO: answer}) for task in tasks("prove")]
    said = {"ansible.builtin.debug": {"msg": "{{ ansible_failed_result.error_code }}: {{ ansible_failed_result.msg }}"}}
    _asked, told = run([{"block": prove, "rescue": [said]}], {})
    assert ("standby_catching_up: It is late." in told) is not ready


@pytest.mark.parametrize("msg", ["It does not start. It says: FATAL:  no. Next: mend it.", ""])
def test_the_last_word_of_a_failed_host_is_the_reason(run, msg):
    record = {"state": "failed", "task": "Start | Start", "error_code": "server_start_failed", "msg": msg}
    last = [task for task in tasks("report") if "ansible.builtin.fail" in task]
    _asked, told = run(last, {"__standby_from_barman_record": record}, True)
    assert (msg or "read the output of the play") in told
    assert "(server_start_failed, at the task `Start | Start`)" in told


def test_every_run_judges_lag_and_replay_as_the_first_does():
    [first], [later] = (
        [task[module] for task in tasks(name) if module in task] for name, module in (("prove", INFO), ("look", LOOK))
    )
    assert first["wait"].startswith("{{ 'ready' if ")
    assert first["max_lag_bytes"] == later["max_lag_bytes"]
    assert first["slot_name"] == later["primary_slot_name"]
    assert first["upstream_connection"] == later["upstream_connection"]


def test_a_run_restarts_a_server_at_most_once():
    """Only one task may, it is asked once, and what it is asked for comes from the module that compares."""
    states = {
        (path.stem, task[SERVER].get("state"))
        for path in (ROLE / "tasks").glob("*.yml")
        for task in every(yaml.safe_load(path.read_text(encoding="utf-8")))
        if SERVER in task
    }
    assert {state for _file, state in states} == {"stopped", None, "{{ __standby_from_barman_recovery.server_state }}"}
    assert len([file for file, state in states if state and "server_state" in state]) == 1
    used = [str(task) for task in every(tasks("converge")) if "'settings.yml'" in str(task)]
    assert len(used) == 1


def every(some):
    """Tasks, those of blocks as well."""
    for task in some:
        inner = [one for part in OWN for one in task.get(part, ())]
        if inner:
            yield from every(inner)
        else:
            yield task
