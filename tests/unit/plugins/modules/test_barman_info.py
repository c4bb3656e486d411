# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""barman_server_info and barman_backup_info on what every recorded Barman printed."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman import catalog as _catalog
from ansible_collections.pgfleet.standby.plugins.module_utils._module import backup_of
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import BARMAN_VERSIONS


@pytest.fixture(params=BARMAN_VERSIONS)
def version(request, host):
    host.install_barman(request.param)
    return request.param


@pytest.fixture(params=[{}, {"barman_host": "barman@backup"}], ids=["here", "over ssh"])
def where(request):
    return request.param


def test_server_info(run, version, where):
    result = run("barman_server_info", barman_server="pg", **where)
    assert (result["changed"], result["barman_version"]) == (False, version)
    assert (result["server"]["active"], result["server"]["backup_method"]) == (True, "rsync")
    assert result["failed_checks"] == []
    assert len(result["checks"]) > 10
    assert "conninfo" not in str(result["server"])


def test_server_info_without_checks(run, version):
    assert "checks" not in run("barman_server_info", barman_server="pg", check=False)


def test_server_info_tells_whom_a_standby_can_follow(run, version, where):
    told = run("barman_server_info", barman_server="pg", check=False, upstream=True, **where)["upstream"]
    # One was recorded without a streaming_conninfo.
    name, user = ("conninfo", "barman") if version == "3.19.1" else ("streaming_conninfo", "streaming_barman")
    assert told["conninfo"] == {"host": "primary", "user": user}
    assert (told["source"], told["left_out"]) == (f"{name} of Barman's server pg", [])


def test_server_info_warns_of_failed_checks(run, version):
    result = run("barman_server_info", barman_server="pg_empty")
    [failed] = result["failed_checks"]
    assert f"barman check pg_empty: {failed} failed (" in str(result["warnings"])


def test_backup_info_asks_for_the_verdicts_as_well(run, version, where):
    alone = run("barman_server_info", barman_server="pg", **where)
    along = run("barman_backup_info", barman_server="pg", backup_id="latest", check=True, **where)
    told = ("server", "checks", "failed_checks")
    assert [along[name] for name in told] == [alone[name] for name in told]
    assert along["selected"]["backup_id"] == along["backups"][0]["backup_id"]
    assert "checks" not in run("barman_backup_info", barman_server="pg", **where)


def test_backup_info_tells_the_verdicts_also_if_no_backup_will_do(run, version):
    """They may say why there is none: a cron that does not run, an archiver that fails."""
    result = run("barman_backup_info", barman_server="pg_empty", backup_id="latest", check=True)
    [failed] = result["failed_checks"]
    assert (result["error_code"], result["server"]["name"]) == ("no_usable_backup", "pg_empty")
    assert f"barman check pg_empty: {failed} failed (" in str(result["warnings"])


def test_backup_info_lists(run, version, where):
    result = run("barman_backup_info", barman_server="pg", **where)
    [listed] = result["backups"]
    assert (listed["status"], listed["type"]) == ("DONE", "rsync")
    assert (result["changed"], result["selected"], result["passed_over"]) == (False, None, [])


@pytest.mark.parametrize(("server", "mode"), [("pg", "rsync-concurrent"), ("pg_postgres", "postgres")])
def test_backup_info_chooses_what_the_other_modules_take(run, version, where, server, mode):
    selected = run("barman_backup_info", barman_server=server, backup_id="latest", **where)["selected"]
    assert selected["mode"] == mode
    assert backup_of(selected).directory.endswith(f"/{server}/base/{selected['backup_id']}")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"barman_server": "pg_empty", "backup_id": "latest"}, "no_usable_backup"),
        ({"barman_server": "pg", "backup_id": "20000101T000000"}, "backup_unknown"),
        ({"barman_server": "nosuch"}, "barman_unknown_server"),
    ],
)
def test_backup_info_refuses(run, version, options, code):
    result = run("barman_backup_info", **options)
    assert (result["failed"], result["error_code"]) == (True, code)


class TestChoosing:
    """The newest backup that each version recorded, with another status, name or end."""

    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch):
        """Ours shows the evening of the day of the recordings."""
        monkeypatch.setattr(
            _catalog,
            "time",
            SimpleNamespace(time=lambda: 1_795_300_000.5, monotonic=time.monotonic, sleep=time.sleep),
        )

    @pytest.fixture
    def retold(self, host, version):
        """A barman whose list is changed by one sed command, and what it shows by one for every time it is asked."""

        def program(listed, *shown):
            recorded = (host.programs / "barman").read_text(encoding="utf-8")
            inner = host.program("barman-recorded", recorded)
            turns = host.root / "turns"
            turns.write_text("".join(f"{turn}\n" for turn in shown), encoding="utf-8")
            host.program(
                "barman",
                f"""#!/bin/sh
case $* in
*list-backup*) {inner} "$@" | sed '{listed}' ;;
*show-backup*)
    turn=$(sed -n 1p {turns})
    [ "$(sed -n '$=' {turns})" = 1 ] || sed -i 1d {turns}
    {inner} "$@" | sed "$turn" ;;
*) exec {inner} "$@" ;;
esac
""",
            )

        return program

    WAITING = 's/"status": "DONE"/"status": "WAITING_FOR_WALS"/'
    FAILED = 's/"status": "DONE"/"status": "FAILED"/'
    NAMED = 's/"backup_id"/"backup_name": "release", "backup_id"/'

    @pytest.mark.parametrize(
        "options",
        [
            {"backup_id": "latest"},
            {"backup_id": "oldest"},
            {"backup_id": "latest-full"},
            {"backup_id": "latest", "before": "2026-11-22T00:00:00Z"},
            {"backup_id": "latest", "before": "Sun Nov 22 00:00:00 2026"},
            {"backup_id": "latest", "max_age": "12 hours"},
            {"backup_id": "latest", "wait": 3600},
        ],
        ids=str,
    )
    def test_takes_what_is_asked_for(self, run, version, where, options):
        result = run("barman_backup_info", barman_server="pg", **options, **where)
        assert result["selected"]["backup_id"] == result["backups"][0]["backup_id"]
        assert result["selected"]["end_timestamp"] == result["backups"][0]["end_timestamp"]
        assert (result["changed"], result["passed_over"]) == (False, [])

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            ({"backup_id": "latest", "before": "2026-11-21T00:00:00Z"}, "no_usable_backup"),
            ({"backup_id": "latest", "max_age": "10h"}, "no_usable_backup"),
            ({"backup_id": "latest", "before": "tomorrow"}, "time_invalid"),
            ({"backup_id": "latest", "max_age": "old"}, "time_invalid"),
            ({"backup_id": "latest", "wait": -5}, "option_out_of_range"),
            ({"backup_id": "-h"}, "backup_unknown"),
        ],
        ids=str,
    )
    def test_refuses(self, run, version, options, code):
        result = run("barman_backup_info", barman_server="pg", **options)
        assert (result["failed"], result["error_code"]) == (True, code)

    @pytest.mark.parametrize("options", [{"before": "2026-11-22T00:00:00Z"}, {"max_age": "1d"}], ids=str)
    def test_a_time_alone_chooses_nothing(self, run, version, options):
        result = run("barman_backup_info", barman_server="pg", **options)
        assert result["failed"]
        assert "backup_id" in result["msg"]

    def test_a_name(self, run, retold):
        retold(self.NAMED, self.NAMED)
        result = run("barman_backup_info", barman_server="pg", backup_id="release")
        assert result["selected"]["name"] == result["backups"][0]["name"] == "release"

    def test_waits(self, run, retold, monkeypatch):
        monkeypatch.setattr(_catalog, "_ASK_SECONDS", 0.01)
        retold(self.WAITING, self.WAITING, self.WAITING, self.WAITING, "")
        result = run("barman_backup_info", barman_server="pg", backup_id="latest", wait=3600)
        assert (result["selected"]["status"], result["passed_over"]) == ("DONE", [])

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({}, "with wait=SECONDS it would be waited for"),
            ({"wait": 3600, "check_mode": True}, "check mode does not wait for it"),
        ],
        ids=["by default", "check mode"],
    )
    def test_does_not_wait(self, run, retold, options, reason):
        retold(self.WAITING, self.WAITING, "")
        result = run("barman_backup_info", barman_server="pg", backup_id="latest", **options)
        assert result["error_code"] == "no_usable_backup"
        assert reason in result["msg"]
        assert reason in result["passed_over"][0]["reasons"][0]

    def test_one_that_fails_is_never_used(self, run, retold, monkeypatch):
        monkeypatch.setattr(_catalog, "_ASK_SECONDS", 0.01)
        retold(self.WAITING, self.WAITING, self.FAILED)
        result = run("barman_backup_info", barman_server="pg", backup_id="latest", wait=3600)
        assert result["error_code"] == "no_usable_backup"
        assert result["passed_over"][0]["reasons"] == ["its status is FAILED, not DONE"]


def test_a_compressed_backup_is_chosen(run, version):
    chosen = run("barman_backup_info", barman_server="pg_gzip", backup_id="latest")["selected"]
    assert (chosen["status"], chosen["compression"]) == ("DONE", "gzip")
