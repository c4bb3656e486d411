"""overwrite=same_cluster: what is not touched, and what an interrupted run leaves."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from clone_on_host import FAST
from copies_under_way import Copy
from delta import OLD, TAMPER, THERE, WALDIR, WORK, Small, pg_ctl
from held import MIB, Held
from standby_host import DATA, STATE
from untouched import look, motionless, python


def expect_untouched(small: Small, code: str, words: list[str], *places: str, **options: Any) -> dict[str, Any]:
    before = look(small.host, *OLD, *places)
    refused = small.to("second", **options)
    assert refused["error_code"] == code, refused
    for word in [*words, "Next:"]:
        assert word in refused["msg"]
    assert look(small.host, *OLD, *places) == before
    return refused


def test_without_leave_a_cluster_is_not_touched(small: Small) -> None:
    words = [DATA, "is not empty", "a standby of PostgreSQL 15", "Nothing was changed", "overwrite=same_cluster"]
    expect_untouched(small, "data_directory_cluster", words, overwrite="never")


@pytest.mark.parametrize("overwrite", ["never", "same_cluster"])
def test_another_cluster_is_not_touched(small: Small, overwrite: str) -> None:
    small.empty()
    small.host.run(["cp", "-a", f"{WORK}/another/.", DATA], user="postgres")
    words = [DATA, "a cluster of PostgreSQL 15", "Nothing was changed"]
    expect_untouched(small, "data_directory_cluster", [*words, "overwrite=always"], overwrite=overwrite)
    assert not small.host.exists(STATE)


@pytest.mark.parametrize("overwrite", ["never", "same_cluster"])
def test_a_running_server_is_never_touched(small: Small, overwrite: str) -> None:
    assert small.try_to_start()[0] == 0
    with motionless(small.host, DATA) as pid:
        words = [DATA, f"pid {pid}", "A running server is never replaced", "stop the server"]
        expect_untouched(small, "server_running", words, overwrite=overwrite)
    pg_ctl(small.host, "status")


@pytest.mark.parametrize("stranger", ["PG_14_202107181", "notes"])
def test_a_tablespace_that_holds_something_else_is_refused(small: Small, stranger: str) -> None:
    """Another major version's directory, which may be in use, and files of nobody's."""
    make = f"mkdir -p {FAST}/{stranger}; echo mine >{FAST}/{stranger}/file"
    small.host.run(["sh", "-euc", make], user="postgres")
    words = ["tablespace fast", FAST, "is not empty", "Nothing was changed", "tablespace_mapping"]
    expect_untouched(small, "target_not_empty", words)


def test_a_wal_directory_of_somebody_else_is_refused(small: Small) -> None:
    small.host.run(["sh", "-euc", f"mkdir -p {WALDIR}; echo mine >{WALDIR}/file"])
    words = ["for the WAL", WALDIR, "is not empty", "Nothing was changed", "waldir"]
    expect_untouched(small, "target_not_empty", words, WALDIR, waldir=WALDIR)


def test_an_interrupted_delta_cannot_be_started_and_is_resumed(small: Small, hold: Held) -> None:
    for moment in ("before the first file", "all is there but pg_control"):
        small.interrupted(hold, moment)
        assert small.state()["phase"] == "copying"
        small.assert_unstartable()
    done = small.to("second", overwrite="never")
    assert done["action"] in ("resume", "clone"), done
    assert done["bytes_sent"] < done["bytes"] // 5
    small.assert_healthy()


def unfinished(small: Small, hold: Held, name: str) -> None:
    """A copy of a backup that was ended half-way."""
    small.empty()
    small.options["backup"] = small.backups[name]
    copy = Copy.begun(hold, small, 8 * MIB)
    copy.signal([copy.note["pid"]], "TERM")
    assert copy.result()["error_code"] == "interrupted"
    hold.go_on()
    assert small.host.run(["pgrep", "-ax", "rsync"], check=False).stdout == ""


def test_an_unfinished_copy_of_another_backup_is_gone_on_with(small: Small, hold: Held) -> None:
    unfinished(small, hold, "first")
    small.assert_unstartable()
    done = small.to("second", overwrite="never")
    assert done["action"] == "clone", done
    assert done["bytes_sent"] < done["bytes"] * 3 // 4
    small.assert_healthy()


@pytest.mark.parametrize("doubt", ["a cluster", "another backup's copy", "a copy before a reboot"])
def test_doubt_outlives_an_interruption(small: Small, hold: Held, doubt: str) -> None:
    """Of files that are not ours, or may not have reached the disk, size and time prove nothing. That a run began to
    compare, and was killed before it came to a file, makes that file no better."""
    if doubt != "a cluster":
        unfinished(small, hold, "first" if doubt == "another backup's copy" else "second")
    if doubt == "a copy before a reboot":
        state = {**small.state(), "boot_id": "another"}
        small.host.write(f"{STATE}/state.json", json.dumps(state), "postgres", 0o600)
    there = small.lab.barman.run(["find", f"{THERE}/second/data/base/1", "-printf", f"{DATA}/base/1/%f %T@\n"]).stdout
    times = dict(line.split() for line in there.splitlines())
    seen = look(small.host, f"{DATA}/base/1")
    alike = [path for path in seen if times.get(path, "").replace(".", "")[:19] == str(seen[path][3])]
    hidden = [path for path in alike if re.search(r"/\d{4}$", path) and seen[path][-2] > 0]
    assert len(hidden) > 20
    python(small.host, TAMPER, *hidden)

    small.options["backup"] = small.backups["second"]
    small.interrupted(hold, "before the first file", jobs=1, compress="none")
    small.assert_unstartable()
    assert "msg" not in small.to("second")
    small.assert_healthy()
