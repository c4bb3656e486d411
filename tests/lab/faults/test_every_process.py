"""I1 and I2 under signals: to every process that takes part in a copy, and with several runs at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from clone_on_host import Clone
from copies_under_way import HALF_WAY, TWO_WORKERS, Copy, taking_part
from held import MIB, Held
from lab import Lab
from podman import BOUND, wait_for
from standby_host import DATA, STATE


@pytest.fixture(scope="module")
def clone(lab: Lab) -> Iterator[Clone]:
    clone = Clone.on(lab)
    yield clone
    clone.empty()
    clone.host.run(["rm", "-rf", STATE])


def finished(clone: Clone) -> int:
    """The bytes of the files that are there with the backup's size and time, which rsync sets last."""
    directory = clone.options["backup"]["directory"]
    find = ["find", "base", "-type", "f", "-printf", r"%s %T@ %P\n"]
    of_backup = clone.lab.barman.run(["sh", "-c", 'cd "$1/data" && shift && "$@"', "sh", directory, *find]).stdout
    here = clone.host.run(["sh", "-c", 'cd "$1" && shift && "$@"', "sh", DATA, *find]).stdout
    return sum(int(line.split()[0]) for line in set(here.splitlines()) & set(of_backup.splitlines()))


def assert_resumed(clone: Clone, resumed: dict[str, Any], before: int) -> None:
    """The copy is finished, and nothing that was complete before was sent again."""
    assert resumed.get("action") == "resume", resumed
    assert resumed["bytes_sent"] <= resumed["bytes"] - before
    clone.assert_healthy()


def assert_unstartable(clone: Clone) -> None:
    """I1; which of pg_control and PG_VERSION is missed first depends on how far the copy was."""
    assert clone.try_to_start()[0] != 0
    assert not clone.host.exists(f"{DATA}/global/pg_control")


@pytest.fixture
def fresh(clone: Clone) -> Iterator[Clone]:
    clone.empty()
    yield clone
    held = clone.host.run(["sh", "-c", f"! flock --nonblock {STATE}/runner true"], check=False).returncode == 0
    if held and clone.host.exists(f"{STATE}/runner"):  # of a test that failed
        pid = json.loads(clone.host.read(f"{STATE}/runner"))["pid"]
        clone.host.run(["kill", "-KILL", *map(str, taking_part(clone, pid, ""))], check=False)


def test_a_copy_goes_on_without_whoever_waits_for_it(fresh: Clone, hold: Held) -> None:
    copy = Copy.begun(hold, fresh)
    run = copy.note["run"]
    copy.signal(copy.waiters())
    assert copy.waiting.wait(BOUND) != 0

    hold.go_on()
    later = fresh.run()
    assert later["action"] == "clone", later
    assert later["bytes_sent"] == later["bytes"]
    assert json.loads(fresh.host.read(f"{STATE}/result.json"))["run"] == run
    fresh.assert_healthy()
    assert fresh.run()["action"] == "none"


def test_a_killed_rsync_is_started_again(fresh: Clone, hold: Held) -> None:
    copy = Copy.begun(hold, fresh)
    wait_for(lambda: finished(fresh) > 0, "a file that is complete")
    copy.signal(copy.pids("rsync")[:1])
    hold.go_on()
    done = copy.result()
    assert done.get("action") == "clone", done
    assert done["retries"] == 1
    assert done["bytes_sent"] <= done["bytes"]
    fresh.assert_healthy()


def test_the_rsyncs_of_a_killed_copy_end_before_another_one_writes(fresh: Clone, hold: Held) -> None:
    copy = Copy.begun(hold, fresh)
    assert copy.pids("rsync")
    copy.signal([copy.note["pid"]])
    killed = copy.result()
    assert killed["error_code"] == "copy_killed"
    assert "run again: it resumes" in killed["msg"]
    before = finished(fresh)
    assert_unstartable(fresh)
    again = fresh.start(compress="none")
    wait_for(lambda: fresh.progress().get("phase") == "waiting", "the new run to wait")
    hold.go_on()
    resumed = fresh.finish(again)
    # The largest file was on its way; whoever sent it has finished it.
    largest = 300 << 20
    assert_resumed(fresh, resumed, before + largest)


def test_a_copy_of_which_every_process_is_killed_is_resumed(fresh: Clone, hold: Held) -> None:
    copy = Copy.begun(hold, fresh)
    wait_for(lambda: finished(fresh) > 20 * MIB, "complete files")
    copy.signal([copy.note["pid"], *copy.pids(""), *copy.waiters()])
    copy.waiting.wait(BOUND)
    hold.go_on()
    before = finished(fresh)
    assert fresh.state()["phase"] == "copying"
    assert_unstartable(fresh)
    assert_resumed(fresh, fresh.run(), before)


def test_a_copy_that_is_told_to_end_does_and_is_resumed(fresh: Clone, hold: Held) -> None:
    copy = Copy.begun(hold, fresh)
    rsyncs = copy.pids("rsync")
    copy.signal([copy.note["pid"]], "TERM")
    ended = copy.result()
    assert ended["error_code"] == "interrupted"
    assert "ended by a signal" in ended["msg"]
    assert "Next: run again, it resumes" in ended["msg"]
    ps = ["ps", "--pid", ",".join(map(str, rsyncs))]
    wait_for(lambda: fresh.host.run(ps, check=False).returncode != 0, "the rsyncs to end with it")
    hold.go_on()
    before = finished(fresh)
    assert_unstartable(fresh)
    assert_resumed(fresh, fresh.run(), before)


def test_of_two_runs_at_once_one_copies_and_both_tell_of_it(fresh: Clone) -> None:
    for _time in range(3):
        fresh.empty()
        both = [fresh.start(compress="none") for _run in range(2)]
        one, other = [fresh.finish(run) for run in both]
        assert one.get("action") == "clone", one
        assert one["bytes_sent"] == one["bytes"]
        assert one == other
    fresh.assert_healthy()


def test_a_run_for_another_backup_is_refused_while_a_copy_runs(fresh: Clone, hold: Held) -> None:
    copy = Copy.begun(hold, fresh)
    note, state = copy.note, fresh.state()
    refused = fresh.run(backup={**fresh.options["backup"], "backup_id": "19990101T000000"})
    assert refused["error_code"] == "clone_running"
    for said in (
        f"pid {note['pid']}",
        f"since {note['since']}",
        note["backup_id"],
        "Nothing was changed",
        "Next: wait",
    ):
        assert said in refused["msg"]
    assert (copy.note, fresh.state()) == (note, state)
    hold.go_on()
    assert copy.result()["action"] == "clone"


def test_a_run_returns_in_time_and_a_later_one_takes_the_result(fresh: Clone, hold: Held) -> None:
    hold.after(HALF_WAY)
    running = fresh.run(**TWO_WORKERS, attach_timeout=2)
    assert (running["finished"], running["changed"]) == (False, True)
    hold.wait()
    wait_for(lambda: fresh.progress()["phase"] == "copying", "the copy to tell of itself")
    before = fresh.progress()["bytes_done"]
    hold.after(HALF_WAY + 100 * MIB)
    hold.wait()
    wait_for(lambda: fresh.progress()["bytes_done"] > before, "the copy to tell of what came since")
    still = fresh.run(**TWO_WORKERS, attach_timeout=1, attach_run=running["run"])
    assert (still["finished"], still["run"]) == (False, running["run"])
    assert still["progress"]["phase"] == "copying"
    assert still["progress"]["bytes_done"] > before

    hold.go_on()
    free = ["flock", "--nonblock", f"{STATE}/runner", "true"]
    wait_for(lambda: fresh.host.run(free, check=False).returncode == 0, "the end of the copy")
    assert fresh.state()["phase"] == "committed"
    done = fresh.run(attach_run=running["run"])
    assert (done["finished"], done["action"], done["changed"]) == (True, "clone", True)
    assert done["bytes_sent"] == done["bytes"]
    assert fresh.run()["action"] == "none"
