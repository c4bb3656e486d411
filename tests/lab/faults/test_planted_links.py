"""Links that somebody has planted on the standby: a copy writes through none."""

from __future__ import annotations

import pytest
from clone_on_host import FAST, Clone, recorded_as
from first_and_second import TOP, compare
from podman import Host
from small_cluster import SMALL
from standby_host import DATA, STATE

CANARY = f"{TOP}/canary"


@pytest.fixture
def first(first_and_second: list[Clone], second: Clone) -> Clone:
    return first_and_second[0]


# What stands for things that somebody else needs. A copy may neither write to them nor remove them.
CANARIES = f"""\
set -eu
umask 077
mkdir {CANARY} {CANARY}/empty {CANARY}/other
for name in soft hard other/file; do echo "precious $name" >{CANARY}/$name; done
touch -d 2001-01-01 {CANARY}/*
"""
LOOK = f"cd {CANARY} && find . -printf '%p %y %m %T@ %s\\n' | sort && find . -type f -exec sha256sum {{}} + | sort"

# In the data directory (the working directory) and the tablespace, $1.
TRAPS = {
    "files": f"""
        ln -sf {CANARY}/soft base/1/1255
        ln -f {CANARY}/hard base/1/1249
        ln -sf {CANARY}/soft $(find $1 -type f ! -name .pgfleet.mark | head -1)
        ln -f {CANARY}/hard $(find $1 -type f ! -name .pgfleet.mark | tail -1)""",
    "files that the copy writes itself": f"""
        ln -sf {CANARY}/soft postgresql.auto.conf
        ln -sf {CANARY}/soft standby.signal
        ln -s {CANARY}/hard global/pg_control.new""",
    "directories": f"""
        mv base/1 $1/PG_* {CANARY}
        ln -s {CANARY}/1 base/1
        ln -s {CANARY}/PG_* $1/""",
    "a directory of directories": f"mv base {CANARY}/base && ln -s {CANARY}/base base",
    "the directory of pg_control": f"mv global {CANARY}/global && ln -s {CANARY}/global global",
    "the WAL": f"rm -r pg_wal && ln -s {CANARY}/other pg_wal",
    "the tablespace": f"ln -sfn {CANARY}/other $(echo pg_tblspc/1*)",
}
# Of a copy that was interrupted before its end.
INTERRUPTED = f"rm -f {DATA}/global/pg_control {DATA}/standby.signal; {recorded_as('copying')}"


def plant(clone: Clone, script: str) -> str:
    """Set a trap; what the canaries look like."""
    clone.host.run(["sh", "-c", CANARIES], user="postgres")
    clone.host.run(["sh", "-euc", f"cd {DATA}; {script}", "sh", FAST], user="postgres")
    return clone.host.run(["sh", "-c", LOOK]).stdout


def look(clone: Clone) -> str:
    return clone.host.run(["sh", "-c", LOOK]).stdout


def renew(host: Host, saved: str) -> None:
    """The clone as it was."""
    host.run(["sh", "-euc", f"rm -rf {DATA} {FAST} {STATE} {CANARY}; cp -a {saved}/. /"])


@pytest.fixture(scope="module")
def saved(first_and_second: list[Clone]) -> str:
    """A finished clone of the first backup, to be had again and again."""
    clone, saved = first_and_second[0], f"{SMALL}/saved"
    clone.empty()
    assert clone.run()["action"] == "clone"
    clone.host.run(["sh", "-euc", f"mkdir {saved} && cp -a --parents {DATA} {FAST} {STATE} {saved}"])
    return saved


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("way", ["resume", "delta"])
def test_a_copy_writes_through_no_link(first: Clone, second: Clone, saved: str, way: str, trap: str) -> None:
    renew(first.host, saved)
    before = plant(first, (f"{INTERRUPTED}; " if way == "resume" else "") + TRAPS[trap])
    clone = first if way == "resume" else second
    options = {} if way == "resume" else {"overwrite": "same_cluster"}
    done = clone.run(**options)
    assert look(clone) == before
    if (way, trap) == ("delta", "the tablespace"):  # where ours should be is somebody's whom the cluster does not know
        assert done["error_code"] == "target_not_empty"
        for said in (FAST, "Nothing was changed", "Next: empty it"):
            assert said in done["msg"]
        clone.host.run(["sh", "-c", f"rm -r {FAST}/*"])
        done = clone.run(**options)
        assert look(clone) == before
    if (way, trap) == ("delta", "the WAL"):  # a cluster may have it like that, and it is not moved without a word
        assert done["error_code"] == "waldir_missing"
        clone.host.run(["rm", f"{DATA}/pg_wal"])
        done = clone.run(**options)
        assert look(clone) == before
    assert done.get("action") == way, done
    elsewhere = trap == "the tablespace" or (way, trap) == ("resume", "the WAL")
    assert done["left_behind"] == ([f"{CANARY}/other"] if elsewhere else [])
    compare(clone, clone.options["backup"], DATA, FAST)
    assert clone.run()["action"] == "none"


# What a link in the place of each of them leads to, and the refusal; where there is none, the copy goes round it.
STATE_TRAPS = {
    "lock": ("soft", "write_failed"),
    "runner": ("soft", "write_failed"),
    "state.json": ("soft", "state_unreadable"),
    "work": ("other", None),
    "result.json": ("soft", None),
    "progress.json": ("soft", None),
}


@pytest.mark.parametrize("name", STATE_TRAPS)
def test_a_copy_writes_through_no_link_of_its_state_directory(second: Clone, name: str) -> None:
    target, code = STATE_TRAPS[name]
    second.host.run(["install", "--directory", "--mode=700", "--owner=postgres", STATE])
    before = plant(second, f"ln -s {CANARY}/{target} {STATE}/{name}")
    done = second.run()
    assert look(second) == before
    assert done.get("error_code") == code, done
    if code:
        assert f"{STATE}/{name}" in done["msg"]
        assert "remove it" in done["msg"].partition("Next: ")[2]
        second.host.run(["rm", f"{STATE}/{name}"])
        done = second.run()
        assert look(second) == before
    assert done.get("action") == "clone", done
    compare(second, second.options["backup"], DATA, FAST)
