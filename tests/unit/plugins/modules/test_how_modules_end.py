# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules end: without secrets, with results that mean what they say, and never with a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.module_utils.basic import PASSWORD_MATCH, AnsibleModule
from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pgfleet.standby.plugins.module_utils import _module
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import login_options, upstream_options
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL_TEXT

MODULES = sorted(path.stem for path in (Path(__file__).parents[4] / "plugins" / "modules").glob("*.py"))


@pytest.fixture
def ended(capsys, monkeypatch):
    """Ends a module that has these options after that work, and returns what it prints."""

    def module(work, **options):
        monkeypatch.setattr(warnings, "_global_warnings", {})
        spec = {**upstream_options(), **login_options()}
        given = {"upstream_conninfo": {"host": "p"}, "application_name": "n1", **options}
        with patch_module_args(given), pytest.raises(SystemExit):
            _module.finish(AnsibleModule(argument_spec=spec, supports_check_mode=True), work)
        return json.loads(capsys.readouterr().out)

    return module


PLAN = {
    "action": "clone",
    "data_directory": "/var/lib/postgresql/15/main",
    "tablespaces": [{"location": "/srv/data/fast"}],
    "settings": {"max_wal_senders": "20"},
}

SHORT = ["postgres", "data", "main", "fast", "clone", "2", "/", "a", "plan"]


@pytest.mark.parametrize("password", SHORT)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(lambda word: {"upstream_password": word}, id="password"),
        pytest.param(lambda word: {"upstream_conninfo": {"host": "p", "sslpassword": word}}, id="dictionary"),
        pytest.param(lambda word: {"upstream_conninfo": f"host=p sslpassword={word}"}, id="string"),
    ],
)
def test_no_password_changes_the_plan_that_root_acts_on(ended, password, options):
    assert ended(lambda params, check_mode: {"plan": PLAN, "changed": False}, **options(password))["plan"] == PLAN


CANARY = "canary-7Hq2"
CONNINFO = {"host": "primary", "sslpassword": f"{CANARY}-a", "password": f"{CANARY}-b"}


def refuse(params, check_mode):
    raise StandbyError(
        Refusal("upstream_unreachable", f"No login with {params['upstream_conninfo']}.", "look"),
        stderr=f"password={params['upstream_password']}",
        cmd=["psql", str(params["upstream_password"])],
    )


def mistake(params, check_mode):
    raise ValueError(params["upstream_password"])


def not_let_in(params, check_mode):
    raise PermissionError(13, "Permission denied", f"/srv/{params.get('upstream_password')}")


def warn(params, check_mode):
    return {"reasons": [str(params)], "diff": {"after": str(params)}, "warnings_to_show": [str(params)]}


@pytest.mark.parametrize("work", [refuse, mistake, not_let_in, warn])
@pytest.mark.parametrize(
    "conninfo", [CONNINFO, f"host=primary sslpassword='{CANARY}-a b'", f"postgresql://u:{CANARY}@p"]
)
def test_no_end_of_a_module_tells_a_secret(ended, work, conninfo):
    told = ended(work, upstream_conninfo=conninfo, upstream_password=f"{CANARY}-c")
    assert CANARY not in json.dumps(told)
    assert told["invocation"]["module_args"]["application_name"] == "n1"


def test_hosts_and_ports_are_told(ended):
    told = ended(warn, upstream_conninfo={"host": "primary", "sslpassword": "x"})
    assert told["invocation"]["module_args"]["upstream_conninfo"]["host"] == "primary"


@pytest.mark.parametrize(
    ("work", "code", "words"),
    [(not_let_in, "system_error", "/srv/********: Permission denied"), (mistake, "internal_error", "ValueError")],
)
def test_what_nobody_foresaw_is_a_refusal_with_a_code(ended, work, code, words):
    told = ended(work, upstream_password="p4ssw0rd")
    assert (told["failed"], told["error_code"]) == (True, code)
    assert words in told["msg"]
    assert "Next: " in told["msg"]


@pytest.mark.parametrize("name", MODULES)
def test_no_module_ends_with_a_traceback_whatever_it_cannot_read(name, run, monkeypatch):
    module = __import__(f"ansible_collections.pgfleet.standby.plugins.modules.{name}", fromlist=["main"])
    monkeypatch.setattr(module, "AnsibleModule", WithoutRequirements)
    monkeypatch.setattr(module, "work", not_let_in)
    told = run(name)
    assert (told["failed"], told["error_code"]) == (True, "system_error")
    assert "/srv/None: Permission denied" in told["msg"]


class WithoutRequirements(AnsibleModule):
    """A module whose options may all be left out."""

    def __init__(self, argument_spec, supports_check_mode, **_rules):
        spec = {name: {**how, "required": False} for name, how in argument_spec.items()}
        super().__init__(argument_spec=spec, supports_check_mode=supports_check_mode)


UNREADABLE = [
    pytest.param("pgdata_info", "main/PG_VERSION", {}, id="a data directory's version"),
    pytest.param("pgdata_info", "main/postmaster.pid", {}, id="its pid file"),
    pytest.param("standby_recovery", "home/.pgpass", {"upstream_password": "x"}, id="a password file"),
    pytest.param("standby_recovery", "main/postgresql.conf", {}, id="a configuration"),
    pytest.param("standby_recovery", "main/postgresql.auto.conf", {}, id="settings"),
    pytest.param("repmgr_conf_info", "repmgr.conf", {}, id="repmgr's configuration"),
]


@pytest.mark.parametrize(("name", "path", "more"), UNREADABLE)
def test_what_cannot_be_read_is_named_in_a_refusal(name, path, more, run, host, tmp_path):
    """Here it is a directory: for root there is no file that it may not read."""
    write_tree(tmp_path / "main", {"PG_VERSION": "15\n", "global/pg_control": CONTROL_TEXT, "standby.signal": ""})
    (tmp_path / path).unlink(missing_ok=True)
    (tmp_path / path).mkdir(parents=True)
    options = {
        "pgdata_info": {"data_directory": f"{tmp_path}/main"},
        "repmgr_conf_info": {"path": f"{tmp_path}/repmgr.conf"},
        "standby_recovery": {
            "data_directory": f"{tmp_path}/main",
            "upstream_conninfo": {"host": "p", "user": "u"},
            "application_name": "n1",
            "restore_command": "none",
            "passfile": f"{tmp_path}/home/.pgpass",
        },
    }[name]
    told = run(name, **{**options, **more})
    assert told["failed"]
    assert told["error_code"] in ("system_error", "configuration_invalid", "repmgr_conf_unreadable")
    assert f"{tmp_path}/{path}" in told["msg"]
    assert "Is a directory" in told["msg"]


@pytest.mark.parametrize("name", MODULES)
def test_every_option_that_sounds_like_a_secret_says_whether_it_is_one(name, monkeypatch):
    """Without a word Ansible warns of it at every run."""
    specs = []
    module = __import__(f"ansible_collections.pgfleet.standby.plugins.modules.{name}", fromlist=["main"])

    def look(**given):
        specs.append(given["argument_spec"])
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "AnsibleModule", look)
    with pytest.raises(KeyboardInterrupt):
        module.main()
    [spec] = specs
    silent = [option for option, how in spec.items() if PASSWORD_MATCH.search(option) and "no_log" not in how]
    assert silent == []
