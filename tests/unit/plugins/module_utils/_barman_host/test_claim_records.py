# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy that takes longer than its claim: nothing that it still reads is released or removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host import claim_records as _claim_records
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.keep_backup import keep_backup
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.stage_backup import (
    sweep_staged,
    unstage_backup,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict

KEEPS = """\
#!/bin/sh
cd '{root}' || exit 1
case "$*" in
-v) echo 3.19.1 ;;
*"keep --status"*) printf '{{"pg": {{"keep_status": {{"message": "%s"}}}}}}' "$(cat keep 2>/dev/null || echo nokeep)" ;;
*"keep --target"*) echo full >keep; echo '{{}}' ;;
*"keep --release"*) rm keep; echo '{{}}' ;;
*"show-server "*) printf '{{"pg": {{"worm_mode": false}}}}' ;;
*) exit 99 ;;
esac
"""
WAITS = "import sys; print('here', flush=True); sys.stdin.read()"
BARMAN = {"where": "this host", "server": "pg", "executable": "barman", "config": None}


@pytest.fixture
def claims(host, monkeypatch):
    host.program("barman", KEEPS.format(root=host.root))
    place = host.root / "home" / "claims"
    place.mkdir(parents=True)
    monkeypatch.setattr(_claim_records, "_place", lambda: str(place))
    return place


@pytest.fixture
def reads():
    """Starts a process that reads a directory in one of the ways of those that copy; ended with the test."""
    started = []

    def start(how, directory):
        argv, place = [sys.executable, "-c", WAITS], "/"
        if how == "works there":
            place = directory
        elif how == "is told a path below":
            argv.append(f"{directory}/data/")
        elif how == "is told so in a command":
            argv.append(f"exec cat {directory}/data/base.tar")
        elif how == "only names it":
            argv.append(json.dumps({"directory": directory}))
        elif how == "reads a neighbour":
            argv.append(f"{directory}0/data/")
        process = subprocess.Popen(argv, cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"here\n"

    yield start
    for process in started:
        process.communicate()


WAYS = [
    pytest.param("works there", True, id="works there"),
    pytest.param("is told a path below", True, id="is told a path below"),
    pytest.param("is told so in a command", True, id="is told so in a command"),
    pytest.param("only names it", False, id="a request of another run"),
    pytest.param("reads a neighbour", False, id="a neighbour"),
]


def late_keep(directory, owner="n1:/data"):
    """A keep of ours whose claim has expired."""
    record = _claim_records.record_of("keep", "pg", directory)
    record.write({"server": "pg", "directory": directory, "claims": {owner: 1.0}, "ours": True})


def asked(directory, owner, seconds):
    return {"barman": BARMAN, "directory": directory, "owner": owner, "seconds": seconds, "only_look": False}


@pytest.mark.parametrize(("how", "stays"), WAYS)
@pytest.mark.parametrize("by", ["the sweep of another backup", "the release of another host"])
def test_a_keep(host, claims, reads, how, stays, by):
    backup, other = os.path.realpath(host.backup().directory), f"{host.root}/base/other"
    if by == "the sweep of another backup":
        other = os.path.join(os.path.dirname(backup), "20000101T000000")
    os.makedirs(backup, exist_ok=True)
    late_keep(backup)
    (host.root / "keep").write_text("full\n", encoding="utf-8")
    reads(how, backup)
    keep_backup(asked(other if by == "the sweep of another backup" else backup, "n2:/data", None))
    assert (host.root / "keep").exists() is stays
    left = _claim_records.record_of("keep", "pg", backup).read().get("claims", {})
    assert list(left) == (["n1:/data"] if stays else [])


@pytest.mark.parametrize(("how", "stays"), WAYS)
@pytest.mark.parametrize("by", ["a sweep", "the release of another host"])
def test_what_is_staged(host, claims, reads, how, stays, by):
    source, staged = os.path.realpath(host.backup().directory), host.root / "staging" / "pg"
    (staged / "data").mkdir(parents=True)
    record = _claim_records.record_of("stage", "pg", source)
    record.write({"server": "pg", "directory": source, "staging": str(staged), "whole": True, "claims": {"n1": 1.0}})
    reads(how, str(staged))
    if by == "a sweep":
        sweep_staged(os.path.dirname(source))
    else:
        request = {"barman": BARMAN, "backup": as_dict(host.backup()), "owner": "n2", "only_look": False}
        unstage_backup({**request, "seconds": 3600, "directory": None})
    assert (staged.exists(), bool(record.read())) == (stays, stays)
