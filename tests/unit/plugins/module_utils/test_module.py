# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Consent, Target, TransferOptions
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict
from ansible_collections.pgfleet.standby.plugins.module_utils._module import (
    _default_jobs,
    _with_paths_written_once,
    backup_of,
    barman_of,
    job_of,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import backup


def given(**changed):
    """A backup on its way through Ansible."""
    return json.loads(json.dumps({**as_dict(backup()), **changed}))


def without(name):
    return {key: value for key, value in given().items() if key != name}


def params(host, **changed):
    return {
        "barman_host": "barman@backup",
        "ssh_options": ["-p", "2222"],
        "backup": given(),
        "data_directory": "/srv/pg",
        "state_directory": None,
        "pg_bindir": str(host.programs),
        "waldir": None,
        "tablespace_mapping": {},
        "overwrite": "never",
        "keep_old": False,
        **changed,
    }


def test_a_backup_comes_back_from_json():
    assert backup_of(given()) == backup()


def test_what_a_later_version_adds_is_passed_over():
    assert backup_of(given(new="x")) == backup()


@pytest.mark.parametrize("name", ["name", "tablespaces", "begin_lsn", "timeline"])
def test_what_may_be_unknown_may_be_missing(name):
    assert backup_of(without(name)).backup_id == backup().backup_id


NEEDED = ("backup_id", "status", "server", "directory", "version")
TABLESPACES = "its tablespaces are not a list of name, oid and location"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        pytest.param({}, "it lacks backup_id, status, server, directory, version", id="nothing"),
        pytest.param({"selected": given()}, "it lacks backup_id, status, server", id="the whole result"),
        *(pytest.param(without(name), f"it lacks {name}.", id=f"no {name}") for name in NEEDED),
        pytest.param(given(directory=""), "it lacks directory.", id="empty directory"),
        pytest.param(given(version=None), "it lacks version.", id="version unknown"),
        pytest.param(given(version=None, server=None), "it lacks server, version.", id="two of them"),
        pytest.param(given(tablespaces=["fast"]), TABLESPACES, id="names of tablespaces"),
        pytest.param(given(tablespaces=[{"name": "fast"}]), TABLESPACES, id="half a tablespace"),
        pytest.param(given(tablespaces=[{"name": "f", "oid": "x", "location": "/a"}]), TABLESPACES, id="oid no number"),
    ],
)
def test_anything_else_is_refused_with_what_it_lacks(wrong, words):
    with pytest.raises(StandbyError, match="barman_backup_info") as refused:
        backup_of(wrong)
    assert refused.value.code == "backup_invalid"
    assert words in refused.value.msg


@pytest.mark.parametrize(
    ("changed", "where"),
    [({"barman_host": "barman@backup"}, "barman@backup"), ({"barman_host": None}, "this host"), ({}, "this host")],
)
def test_barman_is_asked_where_the_options_say(changed, where):
    barman = barman_of({"barman_server": "pg", "barman_executable": "barman", **changed})
    assert (barman.shell.where, barman.server) == (where, "pg")


@pytest.mark.parametrize("unset", [None, ""])
def test_barman_is_asked_for_another_server_if_the_options_name_none(unset):
    assert barman_of({"barman_server": unset, "barman_executable": "barman"}, "main").server == "main"


def test_a_job_has_defaults(host):
    job = job_of(params(host))
    places = {16388: "/srv/tablespaces/fast"}
    assert job.target == Target(
        "/srv/pg", "/srv/.pg.standby", job.target.bindir, places, waldir=None, lock_timeout=3600
    )
    assert (job.barman_host.destination, job.barman_host.ssh_options) == ("barman@backup", ("-p", "2222"))
    assert (job.consent, job.verify) == (Consent("never", keep_old=False, again=False), "manifest")
    assert job.transfer == TransferOptions(jobs=_default_jobs(), bwlimit=None, compress="auto", io_timeout=300)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("jobs", 5),
        ("bwlimit", 100),
        ("compress", "none"),
        ("io_timeout", 10),
        ("lock_timeout", 0),
        ("overwrite", "same_cluster"),
        ("keep_old", True),
        ("verify", "checksum"),
        ("waldir", "/srv/wal"),
    ],
)
def test_a_job_takes_what_is_wanted(host, option, value):
    job = job_of(params(host, **{option: value}))
    [found] = [getattr(part, option) for part in (job, job.target, job.consent, job.transfer) if hasattr(part, option)]
    assert found == value


def test_a_standby_clone_without_wishes_has_the_same_job_as_its_preflight(host):
    unset = {"jobs": None, "bwlimit": None, "compress": "auto", "io_timeout": 300, "verify": "manifest"}
    assert job_of(params(host, **unset, lock_timeout=3600)) == job_of(params(host))


@pytest.mark.parametrize(
    ("processors", "jobs"), [(None, 2), (1, 2), (2, 2), (4, 2), (5, 2), (6, 3), (16, 8), (17, 8), (256, 8)]
)
def test_half_of_the_processors_copy(monkeypatch, processors, jobs):
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    assert _default_jobs() == jobs


@pytest.mark.parametrize("path", ["/srv/pg/", "/srv//pg", "/srv/./pg"])
def test_a_data_directory_has_one_name(host, path):
    assert job_of(params(host, data_directory=path)) == job_of(params(host))


@pytest.mark.parametrize("path", ["pg", "./pg", "~/pg", "/srv/x/../pg", "/..", " /srv", "\n/srv"])
@pytest.mark.parametrize("option", ["data_directory", "state_directory"])
def test_a_directory_is_absolute_and_straight(host, option, path):
    with pytest.raises(StandbyError, match=f"{option}=") as refused:
        job_of(params(host, **{option: path}))
    assert refused.value.code == "path_dangerous"


def test_a_data_directory_has_no_default(host):
    with pytest.raises(StandbyError, match="data_directory=''"):
        job_of(params(host, data_directory=""))


@pytest.mark.parametrize("path", ["/srv/state/", "/srv//state", "/srv/./state"])
def test_a_state_directory_has_one_name(host, path):
    assert job_of(params(host, state_directory=path)).target.state_directory == "/srv/state"


@pytest.mark.parametrize("path", [None, ""])
def test_a_state_directory_lies_beside_the_data_directory_unless_it_is_named(host, path):
    assert job_of(params(host, state_directory=path)).target.state_directory == "/srv/.pg.standby"


def test_directories_are_spelled_in_one_way_for_every_module(host):
    spelled = params(
        host,
        data_directory="/srv/pg/",
        state_directory="//srv/state/.",
        waldir="/wal//pg/",
        tablespace_mapping={"/srv/tablespaces/fast/": "/fast//"},
    )
    assert _with_paths_written_once(spelled) == {
        **spelled,
        "data_directory": "/srv/pg",
        "state_directory": "/srv/state",
        "waldir": "/wal/pg",
        "tablespace_mapping": {"/srv/tablespaces/fast": "/fast"},
    }
    target = job_of(_with_paths_written_once(spelled)).target
    assert (target.data_directory, target.tablespaces) == ("/srv/pg", {16388: "/fast"})


def test_what_is_not_given_stays_so(host):
    given_params = params(host)
    assert _with_paths_written_once(given_params) == given_params
    assert _with_paths_written_once({"barman_server": "pg"}) == {"barman_server": "pg"}
