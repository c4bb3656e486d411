# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preflight decides, what check mode tells, and what a copy does are one and the same."""

from __future__ import annotations

import itertools
import json
import re
import shutil

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import overwrite as _overwrite
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.begin import exclusively
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.consent import _LEVELS, contents_of
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import inspect_target, preview
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import is_ours
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.decision import HostState, decide
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    RECORD,
    REWINDING,
    control_text,
    noted,
)

CONTROL = "global/pg_control"
CLUSTER = {"PG_VERSION": "15\n", CONTROL: control_text(), "base/5/16384": "a user's"}
OTHER = {**CLUSTER, CONTROL: control_text(system_identifier=1)}
STANDBY = {**CLUSTER, "standby.signal": ""}
NEW = {name: text for name, text in CLUSTER.items() if name != "base/5/16384"}
HALF = {name: text for name, text in CLUSTER.items() if name != CONTROL}
# What is in the data directory, and the record beside it.
HOSTS = {
    "nothing": (None, None),
    "an empty directory": ({}, None),
    "files": ({"notes.txt": "mine"}, None),
    "a damaged cluster": (HALF, None),
    "a new cluster": (NEW, None),
    "the same cluster": (CLUSTER, None),
    "another cluster": (OTHER, None),
    "a standby": (STANDBY, None),
    "this copy": (STANDBY, RECORD),
    "an older copy": (STANDBY, {**RECORD, "backup_id": "older"}),
    "an unfinished copy": (HALF, {**RECORD, "phase": "copying"}),
    "an unfinished copy of nothing": (None, {**RECORD, "phase": "copying"}),
    "a half rewound cluster": (STANDBY, REWINDING),
    "another half rewound cluster": (OTHER, {**REWINDING, "system_identifier": "1"}),
}


def arrange(host, files, record):
    shutil.rmtree(host.pgdata.parent)
    host.state.mkdir(parents=True)
    if files is not None:
        host.pgdata.mkdir(mode=0o700)
        write_tree(host.pgdata, files)
    if record is not None:
        text = json.dumps({**record, "data_directory": str(host.pgdata), "targets": []})
        write_tree(host.state, {"state.json": text})
        if record["phase"] == "copying":
            place = host.fast if files is None else host.pgdata
            place.mkdir(exist_ok=True)
            host.mark(place)
        elif record["phase"] == "rewinding":
            host.change_record(marked=noted(host.pgdata))


def told(job):
    """The action and what is kept, or the refusal's code and the level that it names."""
    try:
        result = preview(job)
    except StandbyError as error:
        return named(error)
    return result.action, result.kept_old


def done(job, host):
    permits = []

    def work(run, _lock):
        permits.append((run.permit.action, run.permit.kept_old))
        return run.result(run.permit.action)

    try:
        result = exclusively(job, Progress(str(host.root / "progress")), work)
    except StandbyError as error:
        return named(error)
    return permits[0] if permits else (result.action, ())


def named(error):
    return error.code, re.findall(r"overwrite=(\w+)", error.msg)


def decided(job):
    """A cluster that could go on by itself is not copied over, and no test of a copy."""
    pgdata = inspect_target(job.target)
    identifier = job.backup.system_identifier
    same = None if pgdata.control is None else pgdata.control.system_identifier == identifier
    now = HostState(contents_of(pgdata, identifier, job.backup), same_cluster=same, ours=is_ours(pgdata))
    return decide(now, job.consent.overwrite)


@pytest.mark.parametrize("name", HOSTS)
def test_preview_copy_and_decision_agree(host, monkeypatch, name):
    monkeypatch.setattr(_overwrite, "plan", lambda *_given: ())
    outcomes = set()
    for overwrite, keep_old, again, known in itertools.product(_LEVELS, (False, True), (False, True), (True, False)):
        arrange(host, *HOSTS[name])
        of = host.backup() if known else host.backup(system_identifier=None)
        job = host.job(backup=of, overwrite=overwrite, keep_old=keep_old, again=again)
        before = told(job)
        assert done(job, host) == before, job
        outcomes.add(before[0])
        if not again and before[0] == "none":  # a preflight asks for what a copy of this host would do
            continue
        decision = decided(job)
        if decision.refusal is not None:
            assert re.findall(r"overwrite=(\w+)", decision.reason) == before[1], job
        elif keep_old and decision.action in ("delta", "replace"):
            assert before == ("clone", (f"{host.pgdata}.old",)), job
        else:
            assert before == (decision.action, ()), job
    assert outcomes
