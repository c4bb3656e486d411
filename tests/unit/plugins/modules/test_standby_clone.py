# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
import yaml
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict
from ansible_collections.pgfleet.standby.plugins.modules import standby_clone


@pytest.fixture
def clone(host, run):
    def module(check_mode=False, **changed):
        return run(
            "standby_clone",
            check_mode,
            **{
                "barman_host": "barman@backup",
                "backup": json.loads(json.dumps(as_dict(host.backup()))),
                "data_directory": str(host.pgdata),
                "pg_bindir": str(host.programs),
                "tablespace_mapping": {"/srv/tablespaces/fast": str(host.fast)},
                **changed,
            },
        )

    return module


def test_check_mode_tells_what_a_run_does(host, clone):
    told = clone(check_mode=True)
    assert not host.pgdata.exists()
    done = clone()
    same = ("changed", "action", "backup_id", "files", "bytes", "bytes_sent", "diff")
    assert {name: told[name] for name in same} == {name: done[name] for name in same}
    assert (done["changed"], done["action"]) == (True, "clone")
    assert done["diff"]["before"] == "it is absent\n"
    assert str(host.backup().backup_id) in done["diff"]["after"]


def returned(when):
    """The documented return values."""
    documented = yaml.safe_load(standby_clone.RETURN)
    return {name for name, value in documented.items() if value["returned"] in ("success", f"success, when {when}")}


COMMON = {"changed", "diff", "invocation"}


def test_what_is_returned_is_documented(clone):
    assert set(clone()) - COMMON == returned("finished")


def test_a_copy_sends_what_it_says_and_is_verified(host, clone):
    host.write_manifest()
    done = clone()
    assert (done["finished"], done["verified"], done["retries"], done["left_behind"]) == (True, "manifest", 0, [])
    assert 0 < done["bytes_sent"] <= done["bytes"]
    assert done["bytes_received"] > 0
    assert done["compress"] in ("lz4", "none", "zstd")


@pytest.mark.parametrize(
    ("verify", "verified"), [("none", "size"), ("size", "size"), ("manifest", "size"), ("checksum", "checksum")]
)
def test_without_a_manifest_a_copy_is_verified_as_far_as_it_can_be(clone, verify, verified):
    assert clone(verify=verify)["verified"] == verified


@pytest.mark.parametrize("check_mode", [False, True])
def test_another_backup_of_the_same_cluster_is_a_delta_where_that_is_wanted(host, clone, check_mode):
    first = clone()
    newer = json.loads(json.dumps(as_dict(host.second_backup())))
    assert clone(check_mode, backup=newer)["error_code"] == "data_directory_cluster"
    done = clone(check_mode, backup=newer, overwrite="same_cluster")
    assert (done["changed"], done["action"]) == (True, "delta")
    assert first["backup_id"] in first["diff"]["after"]
    assert "it holds a standby" in done["diff"]["before"]


def test_a_copy_that_goes_on_is_named_and_its_result_can_be_had_later(host, clone):
    host.hook(f"while [ ! -e '{host.root}/go' ]; do sleep 0.05; done")
    try:
        told = clone(attach_timeout=0)
        assert (told["changed"], told["finished"], told["progress"]["phase"]) == (True, False, "preparing")
        assert set(told) - COMMON == returned("not finished")
        assert not host.pgdata.exists()
    finally:
        (host.root / "go").touch()
    done = clone(attach_run=told["run"])
    assert (done["changed"], done["finished"], done["action"]) == (True, True, "clone")
    assert clone()["action"] == "none"


def test_what_was_there_is_kept_where_that_is_wanted(host, clone):
    first = clone()
    newer = json.loads(json.dumps(as_dict(host.second_backup())))
    request = {"backup": newer, "overwrite": "same_cluster", "keep_old": True}
    told, done = clone(check_mode=True, **request), clone(**request)
    kept = [f"{host.pgdata}.old", f"{host.fast}.old"]
    assert first["kept_old"] == []
    for result in (told, done):
        assert (result["changed"], result["action"], result["kept_old"]) == (True, "clone", kept)
        assert kept[0] in result["diff"]["after"]
    assert clone(**request)["action"] == "none"


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_second_run_changes_nothing_and_says_so(clone, check_mode):
    clone()
    result = clone(check_mode)
    assert (result["changed"], result["action"], result["bytes_sent"]) == (False, "none", 0)
    assert result["diff"]["before"] == result["diff"]["after"]


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"backup": {}}, "backup_invalid"),
        ({"data_directory": "pgdata"}, "path_dangerous"),
        ({"tablespace_mapping": {"/typo": "/x"}}, "tablespace_unknown"),
        ({"barman_host": "-oProxyCommand=id"}, "barman_host_invalid"),
        ({"pg_bindir": "/nowhere"}, "postgresql_not_installed"),
    ],
)
def test_refusals(host, clone, check_mode, changed, code):
    result = clone(check_mode, **changed)
    assert (result["failed"], result["error_code"]) == (True, code)
    assert not host.pgdata.exists()
