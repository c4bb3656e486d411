# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import libpq as _libpq
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.names import CLONE
from ansible_collections.pgfleet.standby.plugins.modules import repmgr_conf_info

ROOT = Path(__file__).parents[4]
SECRET = "s3cret"
CONF = f"""
node_id = 2
node_name = n1
conninfo = 'host=n1.example.com user=repmgr dbname=repmgr password={SECRET} connect_timeout=2'
replication_user = replicator
data_directory = '/var/lib/postgresql/15/main'
use_replication_slots = yes
barman_host = 'barman@backup.example.com'
barman_server = pg
tablespace_mapping = '/srv/fast=/srv/n1/fast'
rsync_options = '--archive'
service_start_command = 'sudo systemctl start postgresql@15-main'
failover = automatic
barman_hots = {SECRET}
"""


@pytest.fixture
def ask(tmp_path, run):
    def module(text=CONF, **options):
        (tmp_path / "repmgr.conf").write_text(text)
        return run("repmgr_conf_info", path=str(tmp_path / "repmgr.conf"), **options)

    return module


def specified():
    """The inputs of the role."""
    path = ROOT / "roles" / "standby_from_barman" / "meta" / "argument_specs.yml"
    return yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_it_is_for_the_role(ask, tmp_path, check_mode):
    result = ask(check_mode=check_mode)
    assert result["changed"] is False
    assert result["inputs"] == {
        "standby_from_barman_application_name": "n1",
        "standby_from_barman_data_directory": "/var/lib/postgresql/15/main",
        "standby_from_barman_host": "barman@backup.example.com",
        "standby_from_barman_replication_user": "replicator",
        "standby_from_barman_server": "pg",
        "standby_from_barman_service": "postgresql@15-main",
        "standby_from_barman_slot_name": "repmgr_slot_2",
        "standby_from_barman_tablespace_mapping": {"/srv/fast": "/srv/n1/fast"},
    }
    assert result["as_upstream"] == {"host": "n1.example.com", "user": "replicator", "connect_timeout": "2"}
    assert [item["input"] for item in result["missing"]] == ["standby_from_barman_upstream_conninfo"]
    assert sorted(item["name"] for item in result["unsupported"]) == ["conninfo", "rsync_options"]
    assert (result["ignored"], result["unknown"]) == (["failover"], ["barman_hots"])
    assert (result["syntax"], result["refused_lines"], result["files"]) == ("5", [], [str(tmp_path / "repmgr.conf")])


@pytest.mark.parametrize("text", [CONF, CONF.replace("'", ""), CONF.replace("dbname=", "hots=")])
def test_a_password_is_not_shown(ask, text):
    result = ask(text)
    assert SECRET not in json.dumps(result)
    assert "conninfo" in {item["name"] for item in result["unsupported"]}


def test_a_conninfo_may_be_a_uri(ask):
    result = ask(f"conninfo = 'postgresql://repmgr:{SECRET}@n1:5433/repmgr'")
    assert SECRET not in json.dumps(result)
    assert result["node"]["conninfo"] == {"user": "repmgr", "host": "n1", "port": "5433", "dbname": "repmgr"}
    assert result["as_upstream"] == {"user": "repmgr", "host": "n1", "port": "5433"}


def test_an_empty_file_tells_what_is_missing(ask):
    result = ask("")
    assert result["inputs"] == {}
    named = {name for name, option in specified().items() if option.get("required")}
    # The first two not with every method; the last may be derived from what Barman says.
    by_case = {f"standby_from_barman_{name}" for name in ("host", "server", "upstream_conninfo")}
    assert {item["input"] for item in result["missing"]} == named | by_case


def test_an_error_has_a_code_and_no_line_of_the_file(ask):
    result = ask(f"conninfo 'host=n1 password={SECRET}")
    assert (result["failed"], result["error_code"]) == (True, "repmgr_conf_invalid")
    assert SECRET not in json.dumps(result)


def test_without_psycopg2_it_says_so(ask, monkeypatch):
    monkeypatch.setattr(_libpq, "psycopg2", None)
    assert ask()["error_code"] == "psycopg2_missing"


def test_what_it_gives_and_what_it_tells_to_give_exists(ask):
    lines = [f"{name} = '{value}'" for name, value in EVERYTHING.items()]
    result = ask("\n".join(lines))
    assert EVERYTHING.keys() == CLONE
    assert result["inputs"].keys() <= specified().keys()
    assert len(result["inputs"]) > 15
    said = json.dumps([result["missing"], result["unsupported"]])
    assert set(re.findall(r"standby_from_barman_\w+", said)) <= specified().keys()


EVERYTHING = {
    **dict.fromkeys(CLONE, "x"),
    "conninfo": f"host=n1 password={SECRET}",
    "node_id": "1",
    "recovery_min_apply_delay": "5min",
    "pg_basebackup_options": "--waldir=/w -X none",
    "tablespace_mapping": "/a=/b",
    "use_primary_conninfo_password": "1",
    "use_replication_slots": "1",
}


def test_the_samples_are_what_it_returns(ask):
    documented = yaml.safe_load(repmgr_conf_info.RETURN)
    result = ask()
    assert documented.keys() == result.keys() - {"changed", "invocation"}
    for name in ("missing", "unsupported"):
        assert documented[name]["sample"][0].keys() == result[name][0].keys()
    assert documented["node"]["sample"].keys() == result["node"].keys()
    assert documented["inputs"]["sample"].keys() <= specified().keys()
