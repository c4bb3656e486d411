"""A chain of incremental backups, brought by plays to two hosts at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chain import SERVER, SETTINGS, SMALL, Chain
from conftest import RELEASES, in_lab
from standby import Standby

pytestmark = pytest.mark.long

HOSTS = ("n1", "n2")


@pytest.fixture(scope="module", params=[RELEASES["forky"]], ids=["forky"])
def chain(request: pytest.FixtureRequest) -> Iterator[Chain]:
    """On the release whose PostgreSQL and Barman are the newest."""
    with in_lab(request.param, standbys=len(HOSTS)) as lab:
        yield Chain([Standby(lab, name=name) for name in HOSTS])


@pytest.fixture(scope="module")
def backup(chain: Chain) -> dict[str, Any]:
    backup = chain.build()
    assert backup["type"] == "incremental"
    return backup


def test_too_little_room_is_told_before_anything_changes(chain: Chain, backup: dict[str, Any]) -> None:
    chain.lab.barman.run(["install", "-d", "-o", "barman", SMALL])
    chain.lab.barman.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=0777", "tmpfs", SMALL])
    full = chain.module("barman_backup_stage", backup=backup, owner="one", staging_directory=SMALL)
    assert (full.get("error_code"), chain.left()) == ("staging_space", ""), full


def test_one_restore_is_for_all_who_claim_it(chain: Chain, backup: dict[str, Any]) -> None:
    first, second = (chain.module("barman_backup_stage", backup=backup, owner=owner) for owner in ("one", "two"))
    assert (first["restored"], second["restored"]) == (True, False), (first, second)
    assert second["backup"] == first["backup"]
    chain.module("barman_backup_stage", backup=backup, owner="one", state="absent")
    assert f"{SERVER}-{backup['backup_id']}" in chain.left()
    chain.module("barman_backup_stage", backup=backup, owner="two", state="absent")
    assert chain.left() == ""


def test_a_play_that_fails_after_the_restore_leaves_nothing(chain: Chain, backup: dict[str, Any]) -> None:
    failed = chain.play()
    assert (failed.rc, '"error_code": "configuration_missing"' in failed.output) == (2, True), failed.output
    assert chain.left() == ""


@pytest.mark.parametrize(("method", "restores"), [("rsync", 1), ("barman", 0)])
def test_two_standbys_are_made_at_once(chain: Chain, backup: dict[str, Any], method: str, restores: int) -> None:
    """Staged once, or restored to each by Barman; either way nothing is left on its host."""
    chain.empty()
    chain.configure()
    done = chain.play(config_directory=SETTINGS, start=False, method=method)
    assert (done.rc, chain.left()) == (0, ""), done.output
    assert done.output.count('"restored": true') == restores, done.output
    assert [done.recap[name]["failed"] for name in HOSTS] == [0, 0]
    chain.assert_start()
