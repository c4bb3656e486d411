"""Files that go or change under a copy, on either side, and what a crash leaves. I1 and I2 hold in each case."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest
from clone_on_host import PLACE, Clone
from copies_under_way import TWO_WORKERS
from faulty_copy import (
    OWN,
    arrived,
    await_bytes,
    begin,
    below,
    copying,
    expect_failure,
    expect_rest,
    expect_unstartable,
    ranked,
    send,
    spoil,
)
from held import MIB, Held
from lab import Lab
from podman import BOUND
from standby_host import BINDIR, DATA, STATE

# Stands for pg_verifybackup: the largest file that it is first shown changes in the moment before it looks.
LATE_FLIP = f"""\
#!/usr/bin/python3
import os, sys
here = os.path.dirname(__file__)
shown = [os.path.realpath(os.path.join(sys.argv[-1], name)) for name in os.listdir(sys.argv[-1])]
try:
    note = open(os.path.join(here, "flipped"), "x")
except FileExistsError:
    pass
else:
    path = max(shown, key=os.path.getsize)
    with open(path, "r+b") as file:
        first = file.read(1)[0]
        file.seek(0)
        file.write(bytes([first ^ 1]))
    note.write(path)
    note.close()
os.execv("{BINDIR}/pg_verifybackup", sys.argv)
"""


def await_finished(clone: Clone, path: str) -> None:
    """Wait until a file of the data directory is complete: rsync sets the time last."""
    source = f"{clone.options['backup']['directory']}/data/{path}"
    wanted = clone.lab.barman.run(["stat", "-c", "%Y", source]).stdout.strip()
    script = 'until [ "$(stat -c %Y "$0" 2>/dev/null)" = "$1" ]; do sleep 0.02; done'
    clone.host.run(["sh", "-c", script, f"{DATA}/{path}", wanted])


@contextmanager
def own_copy(clone: Clone, backup: dict[str, Any]) -> Iterator[Clone]:
    """The backup under a second name, whose files may go or be replaced."""
    directory = f"{OWN}/base/{backup['backup_id']}"
    try:
        mend(clone.lab, backup["directory"], directory)
        yield replace(clone, options={**clone.options, "backup": {**backup, "directory": directory}})
    finally:
        clone.lab.barman.run(["rm", "-rf", f"{OWN}/base"])


def mend(lab: Lab, original: str, directory: str) -> None:
    lab.barman.run(["rm", "-rf", directory])
    lab.barman.run(["mkdir", "-p", str(PurePosixPath(directory).parent)], user="barman")
    lab.barman.run(["cp", "--archive", "--link", original, directory], user="barman")


@pytest.mark.parametrize("lost", ["one file", pytest.param("everything", marks=pytest.mark.long)])
def test_what_the_backup_has_lost_is_told_at_once(clone: Clone, hold: Held, lost: str) -> None:
    original = clone.options["backup"]
    tree = str(original["tablespaces"][0]["oid"])
    with own_copy(clone, original) as damaged:
        directory = damaged.options["backup"]["directory"]
        gone = f"{directory}/{tree}/{ranked(damaged, tree)[0]}"
        # Before any file is opened, or while there is much to come in each of the two streams.
        hold.after(0 if lost == "one file" else 10 * MIB)
        copy = damaged.start(**TWO_WORKERS)
        hold.wait(copy)
        damaged.lab.barman.run(["rm", "-rf", gone if lost == "one file" else directory])
        hold.go_on()
        result = damaged.finish(copy)
        if lost == "everything":
            expect_failure(damaged, result, "backup_deleted", "is no longer")
        else:
            expect_failure(damaged, result, "backup_files_missing", directory, "attempt 1", gone)
        there = arrived(damaged)
        mend(damaged.lab, original["directory"], directory)
        expect_rest(damaged.run(), there)
        damaged.assert_healthy()


def test_a_bit_flipped_in_the_backup_is_found_again_and_again(clone: Clone, with_manifest: dict[str, Any]) -> None:
    with own_copy(clone, with_manifest) as damaged:
        name = ranked(damaged)[1]
        path = f"{damaged.options['backup']['directory']}/data/{name}"
        spoil(damaged.lab.barman, path, "flip")
        for _attempt in range(2):
            result = damaged.run(compress="none")
            expect_failure(damaged, result, "manifest_mismatch", f"{DATA}/{name}", "barman verify-backup")
        there = arrived(damaged)
        spoil(damaged.lab.barman, path, "flip")
        size = int(damaged.lab.barman.run(["stat", "-c", "%s", path]).stdout)
        expect_rest(damaged.run(), there - size)
        damaged.assert_healthy()


def test_a_bit_flipped_here_before_the_comparison_is_mended(clone: Clone, with_manifest: dict[str, Any]) -> None:
    programs = f"{PLACE}/bin"
    run = clone.host.run
    run(["install", "-d", "-o", "postgres", programs])
    try:
        run(["ln", "-s", f"{BINDIR}/postgres", programs])
        clone.host.write(f"{programs}/pg_verifybackup", LATE_FLIP, mode=0o755)
        result = clone.run(backup=with_manifest, compress="none", pg_bindir=programs)
        flipped = clone.host.read(f"{programs}/flipped")
    finally:
        run(["rm", "-rf", programs])
    assert not result.get("failed"), result["msg"]
    assert result["verified"] == "manifest"
    assert result["bytes_sent"] == result["bytes"] + int(run(["stat", "-c", "%s", flipped]).stdout)
    replace(clone, options={**clone.options, "backup": with_manifest}).assert_healthy()


def test_a_bit_flipped_here_without_a_manifest_is_mended(clone: Clone, hold: Held) -> None:
    name = ranked(clone)[1]
    copy = begin(clone, hold, verify="checksum")
    await_finished(clone, name)
    spoil(clone.host, f"{DATA}/{name}", "flip")
    hold.go_on()
    result = clone.finish(copy)
    assert not result.get("failed"), result["msg"]
    assert result["verified"] == "checksum"
    assert result["bytes_sent"] > result["bytes"]
    clone.assert_healthy()


@pytest.mark.parametrize(
    "manifest",
    [pytest.param(False, id="without a manifest", marks=pytest.mark.long), pytest.param(True, id="with a manifest")],
)
def test_what_a_crash_has_emptied_is_found_after_the_boot(
    clone: Clone, hold: Held, manifest: bool, request: pytest.FixtureRequest
) -> None:
    """A crash can leave a file that was not synced with its size and its time, full of zeros."""
    backup = request.getfixturevalue("with_manifest") if manifest else clone.options["backup"]
    crashed = replace(clone, options={**clone.options, "backup": backup})
    largest, *_others, name = ranked(crashed)[:3]
    copy = begin(crashed, hold)
    await_finished(crashed, name)
    await_bytes(crashed, f"{DATA}/{largest}", 20 * MIB)
    kill_everything(crashed, copy)
    hold.go_on()
    spoil(crashed.host, f"{DATA}/{name}", "empty")
    state = crashed.state()
    assert state["phase"] == "copying"
    crashed.host.write(f"{STATE}/state.json", json.dumps({**state, "boot_id": "another"}), owner="postgres", mode=0o600)
    expect_unstartable(crashed)
    there = arrived(crashed)
    expect_rest(crashed.run(), there)
    crashed.assert_healthy()


def kill_everything(clone: Clone, module: subprocess.Popen[str]) -> None:
    """As a reset of the machine does; also whoever waits for the copy."""
    listed = clone.host.run(["ps", "-eo", "pid=,ppid=,args="]).stdout
    waiting = [p for p in below({0}, listed) if p.command.startswith("python3 ") and f"{PLACE}/" in p.command]
    send(clone.host, "KILL", [*copying(clone), *waiting])
    module.communicate(timeout=BOUND)
