# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup under retention while it is copied: with `barman keep` and without."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from catalogue import SERVER, Catalogue, built
from lab import Lab
from play import Playbook
from standby_host import DATA, HOST

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def catalogue(lab: Lab) -> Iterator[Catalogue]:
    with built(lab) as ours:
        yield ours


def test_retention_removes_a_backup_that_is_not_pinned(catalogue: Catalogue) -> None:
    backup = catalogue.clone.options["backup"]
    result, _said = catalogue.copy_while(backup)
    assert (result.get("failed"), result.get("error_code")) == (True, "backup_deleted"), result
    assert backup["backup_id"] in result["msg"]
    assert "deleted" in result["msg"]
    catalogue.clone.assert_unstartable()


def test_retention_spares_a_backup_that_two_hosts_pin(catalogue: Catalogue) -> None:
    backup = catalogue.backup()
    looked = catalogue.keep(backup, "one", _ansible_check_mode=True)
    assert (looked["changed"], looked["pinned"]) == (True, True)
    assert (catalogue.kept(backup), catalogue.records()) == ("nokeep", [])
    first, second, again = (catalogue.keep(backup, owner) for owner in ("one", "two", "one"))
    assert [found["changed"] for found in (first, second, again)] == [True, True, False]
    assert (again["pinned"], again["target"], again["foreign"]) == (True, "full", False)
    assert again["owners"] == ["one", "two"]
    assert [line.split()[1] for line in catalogue.records()] == ["600", "600"]
    result, refused = catalogue.copy_while(backup)
    assert (result.get("action"), result["changed"]) == ("clone", True), result
    assert "keep" in refused, refused
    assert catalogue.keep(backup, "one", "absent")["pinned"] is True
    assert catalogue.kept(backup) == "full"
    last = catalogue.keep(backup, "two", "absent")
    assert (last["changed"], last["pinned"], catalogue.kept(backup)) == (True, False, "nokeep")
    assert catalogue.keep(backup, "two", "absent")["changed"] is False
    assert catalogue.records() == []


def test_only_what_was_kept_for_a_claim_is_released(catalogue: Catalogue) -> None:
    backup = catalogue.latest()
    name = backup["backup_id"]
    # A foreign keep, whose target somebody changes.
    catalogue.barman("keep", "--target", "standalone", SERVER, name)
    found = catalogue.keep(backup, "one")
    assert (found["pinned"], found["foreign"], found["target"]) == (True, True, "standalone")
    catalogue.keep(backup, "one", "absent")
    assert catalogue.kept(backup) == "standalone"
    # One of ours, whose target somebody changes.
    catalogue.barman("keep", "--release", SERVER, name)
    catalogue.keep(backup, "one")
    catalogue.barman("keep", "--target", "standalone", SERVER, name)
    catalogue.keep(backup, "one", "absent")
    assert catalogue.kept(backup) == "standalone"
    # One that has expired does not hold: whoever comes next for this server releases it, of another backup too.
    catalogue.barman("keep", "--release", SERVER, name)
    catalogue.keep(backup, "killed", expiry="1s")
    older, backup = backup, catalogue.backup()
    assert catalogue.kept(older) == "full"
    catalogue.keep(backup, "one")
    assert (catalogue.kept(older), catalogue.kept(backup)) == ("nokeep", "full")
    catalogue.keep(backup, "one", "absent")
    assert catalogue.records() == []


def test_nothing_is_kept_in_worm_mode(catalogue: Catalogue) -> None:
    backup = catalogue.latest()
    with catalogue.configured("worm_mode = on"):
        found = catalogue.keep(backup, "one")
        released = catalogue.keep(backup, "one", "absent")
    assert (found["changed"], found["pinned"], found["owners"]) == (False, False, []), found
    assert "worm mode" in found["why"]
    assert (released["changed"], catalogue.kept(backup), catalogue.records()) == (False, "nokeep", [])


def test_a_play_that_fails_has_released_what_it_claimed(lab: Lab, playbook: Playbook, empty: None) -> None:
    """It fails after its copy."""
    failed = playbook.run("--limit", HOST, "-v", settings={"no_such_setting": "9"}, wait_timeout=60)
    assert failed.rc != 0, failed.output
    claimed = failed.output.partition("Keep | Claim the backup, for this host and for the batches that come]")[
        2
    ].partition("TASK [")[0]
    assert '"pinned": true' in claimed, failed.output
    released = failed.output.partition("Release | Give the backup back to retention]")[2].partition("TASK [")[0]
    owners = re.findall(r'"owners": \[([^\]]*)\]', released)
    assert owners, failed.output
    assert f'"{HOST}:{DATA}"' not in "".join(owners), failed.output
    assert "changed: [" in released, failed.output
    listed = lab.barman.run(["sh", "-c", "cat /var/lib/barman/.pgfleet/claims/*.json || true"]).stdout
    assert f"{HOST}:{DATA}" not in listed
