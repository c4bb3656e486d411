# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.modules import standby_rewind
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._rewind.rewinding import THERE, Rewinding
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import upstream


@pytest.fixture
def rewinding(host):
    return Rewinding(host)


@pytest.fixture
def ask(host, run, rewinding, monkeypatch):
    """The module, with an upstream that says who it is; ``asked`` holds what it was asked with."""
    asked = []

    def identify(keywords):
        asked.append(keywords)
        return upstream(**THERE)

    monkeypatch.setattr(standby_rewind, "identify", identify)

    def module(check_mode=False, **changed):
        return run(
            "standby_rewind",
            check_mode,
            **{
                "data_directory": f"{host.pgdata}/",
                "pg_bindir": str(host.programs),
                "upstream_conninfo": "host=n1 user=replicator dbname=other",
                "application_name": "n2",
                "rewind_user": "rewinder",
                **changed,
            },
        )

    module.asked = asked
    return module


def test_rewind(host, ask, rewinding):
    result = ask()
    assert result["changed"] is True
    assert result["rewound_to"] == {"timeline": 1, "lsn": "0/1000000"}
    assert result["bytes"] == 50 << 20
    assert result["kept"] == ["log", "postgresql.auto.conf", "postgresql.conf"]
    assert result["left_behind"] == []
    assert result["seconds"] >= 0
    assert result["diff"]["before"].startswith("it went on to ")
    assert "a standby of primary:5432 on timeline 2" in result["diff"]["after"]
    assert (host.pgdata / "standby.signal").exists()
    assert host.record["data_directory"] == str(host.pgdata)


def test_each_role_does_its_own(ask, rewinding):
    ask(replication_user="streamer")
    assert [keywords["user"] for keywords in ask.asked] == ["streamer"]
    assert "user=rewinder" in rewinding.said("argv")
    assert "dbname=postgres" in rewinding.said("argv")
    assert "dbname=other" not in rewinding.said("argv")


def test_without_a_role_of_its_own_it_is_the_one_that_streams(ask, rewinding):
    ask(replication_user="streamer", rewind_user=None)
    assert "user=streamer" in rewinding.said("argv")


def test_check_mode_changes_nothing_and_tells_the_same(host, ask, rewinding):
    before = read_tree(host.pgdata.parent)
    told = ask(check_mode=True)
    assert read_tree(host.pgdata.parent) == before
    assert rewinding.said("argv").count("--dry-run") == rewinding.said("argv").count("--target-pgdata")
    done = ask()
    same = ("changed", "rewound_to", "reason", "bytes", "kept", "diff")
    assert [told[name] for name in same] == [done[name] for name in same]


def test_what_can_be_seen_here_is_refused_before_the_upstream_is_asked(host, ask):
    process = host.start("postgres", host.pgdata)
    assert ask()["error_code"] == "server_running"
    process.communicate()
    assert ask.asked == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"data_directory": "/nowhere"}, "rewind_impossible"),
        ({"upstream_conninfo": "host=n1 password=Geh3im"}, "conninfo_password"),
        ({"restore_command": "two\nlines"}, "setting_invalid"),
        ({"timeout": 0}, "option_out_of_range"),
        ({"pg_bindir": "/nowhere"}, "postgresql_not_installed"),
    ],
)
def test_refusals(host, ask, changed, code):
    before = read_tree(host.pgdata.parent)
    result = ask(**changed)
    assert (result["failed"], result["error_code"]) == (True, code)
    assert "Geh3im" not in str(result)
    assert read_tree(host.pgdata.parent) == before


def test_all_reasons_come_along(host, ask):
    (host.programs / "pg_rewind").unlink()
    result = ask()
    assert result["error_code"] == "rewind_impossible"
    assert result["reasons"] == [f"there is no {host.programs}/pg_rewind"]
