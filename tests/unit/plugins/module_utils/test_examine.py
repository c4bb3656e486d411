# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All verdicts at once, and the plan; the upstream is one that does not answer, or one that a test describes."""

from __future__ import annotations

import shutil

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils import _examine
from ansible_collections.pgfleet.standby.plugins.module_utils._clone import clone
from ansible_collections.pgfleet.standby.plugins.module_utils._examine import Examination, Wish
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import errors
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import SYSTEM_IDENTIFIER, upstream

# The server's parser, as far as these tests need it: the number after the name in the file, or the default.
POSTGRES = """\
#!/bin/sh
[ "$1" != --version ] || { echo 'postgres (PostgreSQL) 15.20'; exit; }
file=${4#config_file=}
value=$(sed -n "s/^$2 = //p" "$file")
[ -n "$value" ] || case $2 in
max_connections) value=100 ;; max_wal_senders) value=10 ;; max_worker_processes) value=8 ;;
max_locks_per_transaction) value=64 ;; max_prepared_transactions) value=0 ;;
esac
echo "$value"
"""


@pytest.fixture
def examine(host, monkeypatch):
    host.program("postgres", POSTGRES)
    host.program("barman-wal-restore", "#!/bin/sh\n")
    monkeypatch.setattr(_examine, "identify", lambda keywords: upstream())

    def run(job=None, **changed):
        wish = Wish(
            **{
                "job": job or host.job(),
                "keywords": {"host": "primary"},
                "config_directory": None,
                "config_created": False,
                "hot_standby_settings": "raise",
                "restore_command": "auto",
                **changed,
            }
        )
        examination = Examination(wish)
        examination.run()
        return examination

    return run


def codes(examination):
    return sorted(str(verdict.error_code) for verdict in errors(examination.verdicts))


def test_an_empty_host_can_become_a_standby(host, examine):
    found = examine()
    assert codes(found) == []
    assert found.plan["action"] == "clone"
    assert found.plan["settings"] == {}
    assert found.plan["wal_to_replay"] == 0x5000000 - 0x3000028
    assert found.plan["upstream"]["system_identifier"] == SYSTEM_IDENTIFIER
    assert [item["location"] for item in found.plan["tablespaces"]] == [str(host.fast)]
    assert found.plan["bytes_to_copy"] == found.plan["bytes"] > 0


def test_nothing_is_changed(host, examine):
    before = read_tree(host.root / "standby")
    examine()
    assert read_tree(host.root / "standby") == before
    assert not host.pgdata.exists()


def test_a_finished_copy_needs_no_action(host, examine):
    clone(host.job())
    assert examine().plan["action"] == "none"


def test_an_interrupted_copy_needs_less(host, examine):
    lost = host.data / "pg_xact" / "0000"
    host.hook(f"case $command in *--server*) rm -f {lost} ;; esac")
    with pytest.raises(_examine.StandbyError):
        clone(host.job())
    host.healthy()
    write_tree(host.data, {"pg_xact/0000": "x" * 8192})
    found = examine()
    assert found.plan["action"] == "resume"
    assert found.plan["bytes_to_copy"] == 8192 < found.plan["bytes"]


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        pytest.param(
            lambda host: write_tree(host.pgdata, {"mine": ""}), ["data_directory_foreign"], id="foreign directory"
        ),
        pytest.param(lambda host: write_tree(host.fast, {"mine": ""}), ["target_not_empty"], id="tablespace in use"),
        pytest.param(lambda host: shutil.rmtree(host.tablespace), ["backup_files_missing"], id="tablespace missing"),
        pytest.param(
            lambda host: (host.data / "postgresql.conf").unlink(), ["configuration_missing"], id="no configuration"
        ),
        pytest.param(
            lambda host: (host.programs / "barman-wal-restore").unlink(), ["barman_cli_missing"], id="no barman-cli"
        ),
        pytest.param(
            lambda host: (host.programs / "postgres").unlink(),
            ["configuration_invalid", "postgresql_not_installed"],
            id="no server",
        ),
        pytest.param(
            lambda host: host.hook("echo 'Connection refused' >&2; exit 255"), ["ssh_refused"], id="no Barman host"
        ),
    ],
)
def test_a_problem_is_told(host, examine, monkeypatch, break_it, expected):
    break_it(host)
    found = examine()
    assert codes(found) == expected
    assert found.plan["action"] == "refuse"


def test_all_problems_are_told_at_once(host, examine, monkeypatch):
    monkeypatch.setattr(_examine, "identify", lambda keywords: upstream(system_identifier="1"))
    write_tree(host.pgdata, {"mine": ""})
    write_tree(host.fast, {"mine": ""})
    (host.programs / "barman-wal-restore").unlink()
    (host.data / "postgresql.conf").unlink()
    assert codes(examine(host.job(waldir=str(host.pgdata / "wal")))) == [
        "barman_cli_missing",
        "configuration_missing",
        "data_directory_foreign",
        "path_overlap",
        "system_identifier_differs",
        "target_not_empty",
    ]


@pytest.mark.parametrize(
    ("policy", "expected"), [("raise", []), ("refuse", ["hot_standby_settings"])], ids=["raised", "refused"]
)
def test_settings_below_the_primarys(host, examine, policy, expected):
    write_tree(host.data, {"postgresql.conf": "max_connections = 20\n"})
    found = examine(hot_standby_settings=policy)
    assert codes(found) == expected
    assert found.plan["settings"] == {"max_connections": "100"}


@pytest.mark.parametrize(
    ("present", "created", "expected"),
    [(True, False, []), (False, True, []), (False, False, ["configuration_missing"])],
    ids=["present", "to be created", "missing"],
)
def test_a_configuration_elsewhere(host, examine, present, created, expected):
    elsewhere = host.root / "etc"
    if present:
        write_tree(elsewhere, {"postgresql.conf": f"data_directory = {host.pgdata}\nmax_connections = 200\n"})
    assert codes(examine(config_directory=str(elsewhere), config_created=created)) == expected


def test_an_upstream_that_does_not_answer(host, examine, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("PATH", f"{host.programs}:/usr/bin:/bin")
    found = examine(keywords={"host": "/nowhere"})
    assert codes(found) == ["upstream_unreachable"]
    assert "upstream" not in found.plan
