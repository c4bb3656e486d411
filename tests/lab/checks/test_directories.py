"""I9: what root makes on a standby, and what root must not touch, whatever the database's user has planned for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from lab import Lab
from modules import Modules
from play import Playbook, errors
from standby_host import DATA, HOST, STATE

# A directory of postgres, as /var/lib/postgresql is, and one of root alone, as /srv is.
HIS, ROOTS = "/srv/postgres-own", "/srv/root-own"
VICTIM = "/srv/victim"
EVES = "/srv/eves-own"
SETTING = f"""\
set -eu
rm -rf {HIS} {ROOTS} {VICTIM} {EVES}
install -d -m 755 -o root -g root {ROOTS} {VICTIM}
install -d -m 755 -o postgres -g postgres {HIS}
install -d -m 755 -o nobody -g nogroup {EVES}
echo precious >{VICTIM}/file
"""
LISTING = f"find {HIS} {ROOTS} {VICTIM} {EVES} -printf '%p %y %u:%g %m %s %C@ %l\\n' | sort"


@dataclass
class Places(Modules):
    """Directories of several users, and the module that makes others in them."""

    def make(self, **options: Any) -> dict[str, Any]:
        return self.module_as("root", "standby_directories", **{"data_directory": f"{HIS}/main", **options})

    def listing(self) -> str:
        return self.host.run(["sh", "-c", LISTING]).stdout

    def as_postgres(self, *commands: str) -> None:
        for command in commands:
            self.host.run(["sh", "-euc", command], user="postgres")

    def owner_and_mode(self, path: str) -> str:
        return self.host.run(["stat", "--format=%F %U %a", path]).stdout.strip()


@pytest.fixture
def places(lab: Lab) -> Iterator[Places]:
    places = Places(lab, lab.host(HOST))
    places.install()
    places.host.run(["sh", "-c", SETTING])
    yield places
    places.host.run(["rm", "-rf", HIS, ROOTS, VICTIM, EVES])


NEW = "directory postgres 700"


def test_the_user_makes_what_he_may_and_root_what_root_alone_may(places: Places) -> None:
    spaces = [{"name": "fast", "location": f"{ROOTS}/deep/down/fast"}]
    options = {"waldir": f"{ROOTS}/deep/wal", "tablespaces": spaces}
    before = places.listing()
    checked = places.make(**options, _ansible_check_mode=True)
    assert places.listing() == before
    result = places.make(**options)
    assert result["changed"], result
    assert result["made"] == checked["made"]
    names = ("main", ".main.standby")
    made = [
        *(f"{HIS}/{name}" for name in names),
        *(f"{ROOTS}/{name}" for name in ("deep", "deep/wal", "deep/down", "deep/down/fast")),
    ]
    assert sorted(result["made"]) == sorted(made)
    assert {path: places.owner_and_mode(path) for path in made} == dict.fromkeys(made, NEW)
    after = places.listing()
    assert (places.make(**options)["changed"], places.listing()) == (False, after)


@pytest.mark.parametrize("mode", ["702", "755"])
def test_what_is_there_keeps_its_mode(places: Places, mode: str) -> None:
    """702 is that of a directory that pg_rewind has left half way: no server starts on it."""
    places.as_postgres(f"mkdir -m {mode} {HIS}/main {HIS}/.main.standby")
    before = places.listing()
    assert (places.make()["changed"], places.listing()) == (False, before)


# Where each option's directory is planted as a link, and what it leads to: what is root's, there or to be made there.
@pytest.mark.parametrize("target", [VICTIM, f"{VICTIM}/new", f"{VICTIM}/file", f"{ROOTS}/new"])
@pytest.mark.parametrize("role", ["data_directory", "state_directory", "waldir", "tablespaces", "a directory above"])
def test_root_follows_no_link_that_was_planted(places: Places, role: str, target: str) -> None:
    planted = f"{HIS}/planted"
    places.as_postgres(f"ln -s {target} {planted}")
    options: dict[str, Any] = {
        "tablespaces": {"tablespaces": [{"name": "fast", "location": planted}]},
        "a directory above": {"data_directory": f"{planted}/main", "state_directory": f"{HIS}/state"},
    }.get(role, {role: planted})
    before = places.listing()
    for check_mode in (True, False):
        result = places.make(**options, _ansible_check_mode=check_mode)
        assert result["failed"], result
        assert result["error_code"] == ("not_a_directory" if target.endswith("/file") else "link_untrusted"), result
        assert places.listing() == before


def test_a_link_to_what_is_his_own_is_of_no_concern(places: Places) -> None:
    places.as_postgres(f"mkdir -m 700 {HIS}/elsewhere {HIS}/main", f"ln -s {HIS}/elsewhere {HIS}/.main.standby")
    before = places.listing()
    assert (places.make()["changed"], places.listing()) == (False, before)


def test_a_link_that_root_has_made_is_followed(places: Places) -> None:
    places.host.run(["ln", "-s", f"{ROOTS}/there", f"{ROOTS}/link"])
    result = places.make(data_directory=f"{ROOTS}/link/main")
    assert result["made"] == [f"{ROOTS}/there", f"{ROOTS}/there/main", f"{ROOTS}/there/.main.standby"], result
    assert places.owner_and_mode(f"{ROOTS}/there/main") == NEW


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"waldir": f"{EVES}/wal"}, "directory_unsafe"),
        ({"waldir": VICTIM}, "directory_not_writable"),
        ({"data_directory": VICTIM, "state_directory": f"{HIS}/state"}, "data_directory_owner"),
        ({"os_user": "no-such-user"}, "os_user_unknown"),
    ],
)
def test_what_is_not_his_stays_as_it_is(places: Places, options: dict[str, Any], code: str) -> None:
    before = places.listing()
    result = places.make(**options)
    assert (result["failed"], result["error_code"]) == (True, code), result
    assert places.listing() == before


@pytest.mark.long
def test_the_play_refuses_a_planted_state_directory(lab: Lab, playbook: Playbook, empty: None, places: Places) -> None:
    """Before it has made or stopped or claimed anything, in check mode as well."""
    places.as_postgres(f"mkdir -p {os.path.dirname(DATA)}; rm -rf {STATE} {DATA}; ln -s {VICTIM} {STATE}")
    before = places.listing()
    for arguments in (["--check"], []):
        run = playbook.run("--limit", HOST, *arguments)
        assert run.rc != 0, run.output
        assert errors(run) & {"link_untrusted"}, run.output
        assert run.recap[HOST]["changed"] == 0, run.output
        assert places.listing() == before
        assert not places.host.exists(DATA)
