"""What breaks under a copy: connections, the network, disks, files, a machine. I1 and I2 hold in each case."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import pytest
from clone_on_host import FAST, PLACE, Clone
from copies_under_way import HALF_WAY, TWO_WORKERS
from held import MIB, Held
from lab import Lab
from podman import BOUND, Host, wait_for
from standby_host import BINDIR, DATA, HOST, STATE

CLUSTER = str(PurePosixPath(DATA).parent)
OWN = f"/var/lib/barman/faults-{HOST}"

# Another content of the same size and time, under the same name; other hard links keep the old one.
SPOIL = """
import os, shutil, sys
path, way = sys.argv[1:]
content = bytearray(open(path, "rb").read())
if way == "flip":
    content[len(content) // 2] ^= 1
else:
    content = bytes(len(content))
with open(path + ".spoilt", "wb") as file:
    file.write(content)
shutil.copystat(path, path + ".spoilt")
os.rename(path + ".spoilt", path)
"""

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


# --- processes ------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    command: str


def below(tops: set[int], listed: str) -> list[Process]:
    """These processes and all that they started, of what ps listed."""
    lines = (line.split(None, 2) for line in listed.splitlines())
    everyone = [Process(int(pid), int(parent), command) for pid, parent, command in lines]
    found = set(tops)
    while more := {p.pid for p in everyone if p.parent in found} - found:
        found |= more
    return [process for process in everyone if process.pid in found]


def send(host: Host, number: str, processes: list[Process]) -> None:
    host.run(["kill", f"-{number}", *(str(process.pid) for process in processes)], check=False)


def copying(clone: Clone) -> list[Process]:
    """The process that copies, its rsyncs and connections; none when there is no copy."""
    script = 'test -e "$0" && ! flock --nonblock "$0" true && head -1 "$0" && ps -eo pid=,ppid=,args='
    note, _end, listed = clone.host.run(["sh", "-c", script, f"{STATE}/runner"], check=False).stdout.partition("\n")
    return below({int(json.loads(note)["pid"])}, listed) if listed else []


def serving(clone: Clone) -> list[Process]:
    """What runs on the Barman host for the connections of this host."""
    sockets = f"state established sport = :22 and dst {clone.host.address}"
    script = f"ss --no-header --tcp --processes {sockets} | grep -o 'pid=[0-9]*'; echo; ps -eo pid=,ppid=,args="
    tops, _empty, listed = clone.lab.barman.run(["sh", "-c", script]).stdout.partition("\n\n")
    return below({int(pid) for pid in re.findall(r"\d+", tops)}, listed)


def begin(clone: Clone, hold: Held, **options: Any) -> subprocess.Popen[str]:
    """A copy that is held in the middle of the largest file."""
    hold.after(HALF_WAY)
    copy = clone.start(**{**TWO_WORKERS, **options})
    hold.wait()
    return copy


def halt(clone: Clone) -> None:
    """End what a failed test left at work."""
    if left := copying(clone):
        send(clone.host, "KILL", left)


# --- files ----------------------------------------------------------------------------


def ranked(clone: Clone, tree: str = "data") -> list[str]:
    """The files of one tree of the backup, the largest first."""
    top = f"{clone.options['backup']['directory']}/{tree}"
    listed = clone.lab.barman.run(["find", top, "-type", "f", "-printf", r"%s\t%P\n"]).stdout.splitlines()
    pairs = (line.split("\t") for line in listed)
    return [path for _size, path in sorted(((int(size), path) for size, path in pairs), reverse=True)]


def await_bytes(clone: Clone, path: str, least: int) -> int:
    """Wait until so much of a file has arrived; how much that is."""
    script = 'until [ "$(stat -c %s "$0" 2>/dev/null || echo 0)" -ge "$1" ]; do sleep 0.02; done; stat -c %s "$0"'
    return int(clone.host.run(["sh", "-c", script, path, str(least)]).stdout)


def await_finished(clone: Clone, path: str) -> None:
    """Wait until a file of the data directory is complete: rsync sets the time last."""
    source = f"{clone.options['backup']['directory']}/data/{path}"
    wanted = clone.lab.barman.run(["stat", "-c", "%Y", source]).stdout.strip()
    script = 'until [ "$(stat -c %Y "$0" 2>/dev/null)" = "$1" ]; do sleep 0.02; done'
    clone.host.run(["sh", "-c", script, f"{DATA}/{path}", wanted])


def arrived(clone: Clone) -> int:
    """The bytes of all files that are there, whether complete or not."""
    listed = clone.host.run(["find", DATA, FAST, "-type", "f", "-printf", r"%s\n"]).stdout
    return sum(map(int, listed.split()))


def spoil(host: Host, path: str, way: str) -> None:
    owner = host.run(["stat", "-c", "%U", path]).stdout.strip()
    host.run(["python3", "-", path, way], user=owner, input=SPOIL)


# --- places ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(lab: Lab) -> Clone:
    return Clone.on(lab)


@pytest.fixture
def clone(installed: Clone) -> Iterator[Clone]:
    installed.empty()
    yield installed
    halt(installed)
    stop = [f"{BINDIR}/pg_ctl", "stop", "--mode=immediate", f"--pgdata={DATA}"]
    installed.host.run(stop, user="postgres", check=False)
    installed.empty()


@pytest.fixture(scope="module")
def with_manifest(installed: Clone) -> Iterator[dict[str, Any]]:
    """A backup by pg_basebackup, whose manifest has CRC32C checksums, where and as Barman would have it."""
    latest = installed.options["backup"]
    directory = f"{OWN}/made/{latest['backup_id']}"
    maps = [f"--tablespace-mapping={t['location']}={directory}/{t['oid']}" for t in latest["tablespaces"]]
    take = [f"{BINDIR}/pg_basebackup", "--host=primary", "--username=streaming_barman", f"--pgdata={directory}/data"]
    barman = installed.lab.barman
    try:
        barman.run(["mkdir", "-p", directory], user="barman")
        barman.run([*take, *maps, "--checkpoint=fast", "--wal-method=none", "--no-sync"], user="barman")
        label = barman.read(f"{directory}/data/backup_label")
        begin = label.partition("START WAL LOCATION: ")[2].split()[0]
        yield {**latest, "directory": directory, "begin_lsn": begin}
    finally:
        barman.run(["rm", "-rf", OWN])


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


@contextmanager
def mounted(clone: Clone, place: str, *mount: str) -> Iterator[None]:
    clone.host.run(["mount", *mount, place])
    try:
        clone.host.run(["chown", "--recursive", "postgres:postgres", place])  # lost+found, too, for the look at all
        clone.host.run(["chmod", "700", place])
        yield
    finally:
        halt(clone)
        clone.host.run(["umount", place])


def expect_failure(clone: Clone, result: dict[str, Any], code: str, *words: str) -> None:
    """It says what, where, why and what next, and it was not tried twice; nothing can be started (I1)."""
    assert result.get("failed"), result
    assert result["error_code"] == code, result["msg"]
    for word in ("Next: ", *words):
        assert word in result["msg"]
    assert clone.progress().get("retries", 0) == 0
    expect_unstartable(clone)


def expect_unstartable(clone: Clone) -> None:
    """Also where so little has arrived that pg_ctl itself refuses, before a server could say why."""
    assert not clone.host.exists(f"{DATA}/global/pg_control")
    code, log = clone.try_to_start()
    assert code != 0, log


def expect_rest(result: dict[str, Any], there: int, action: str = "resume") -> None:
    """The copy ended well, and of what was there nothing worth mentioning was sent again."""
    assert not result.get("failed"), result["msg"]
    assert result["action"] == action
    assert result["bytes_sent"] <= result["bytes"] - there + MIB


# --- connections ----------------------------------------------------------------------

WATCHFUL = ["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=3", "-o", "ConnectTimeout=3"]


def ours(clone: Clone, words: str) -> tuple[Host, list[Process]]:
    return clone.host, [p for p in copying(clone) if p.command.startswith("ssh ") and words in p.command]


def theirs(clone: Clone, words: str) -> tuple[Host, list[Process]]:
    return clone.lab.barman, [p for p in serving(clone) if p.command.startswith(words)]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        pytest.param(ours, "ControlMaster=yes", id="the workers' connections"),
        pytest.param(ours, "ControlMaster=no", id="the ssh of each rsync"),
        pytest.param(theirs, "sshd: ", id="the sessions on the Barman host"),
        pytest.param(theirs, "rsync --server", id="the rsyncs on the Barman host"),
    ],
)
def test_a_copy_goes_on_when_these_are_killed(
    clone: Clone, hold: Held, where: Callable[[Clone, str], tuple[Host, list[Process]]], words: str
) -> None:
    largest = f"{DATA}/{ranked(clone)[0]}"
    copy = begin(clone, hold)
    there = await_bytes(clone, largest, 20 * MIB)
    host, processes = where(clone, words)
    assert processes
    send(host, "KILL", processes)
    hold.go_on()
    expect_rest(result := clone.finish(copy), there, "clone")
    assert result["retries"] > 0
    clone.assert_healthy()


@contextmanager
def link_cut(clone: Clone) -> Iterator[None]:
    """Packets to and from the Barman host are lost, and nobody is told."""
    rules = [["INPUT", "-s", clone.lab.barman.address], ["OUTPUT", "-d", clone.lab.barman.address]]
    try:
        for rule in rules:
            clone.host.run(["iptables", "--wait", "--insert", *rule, "-j", "DROP"])
        yield
    finally:
        for rule in rules:
            clone.host.run(["iptables", "--wait", "--delete", *rule, "-j", "DROP"], check=False)


@contextmanager
def far_end_frozen(clone: Clone) -> Iterator[None]:
    """The kernel at the far end still answers, but no process does."""
    processes = serving(clone)
    send(clone.lab.barman, "STOP", processes)
    try:
        yield
    finally:
        send(clone.lab.barman, "CONT", processes)


@contextmanager
def senders_stuck(clone: Clone) -> Iterator[None]:
    """As on a disk that hangs: the connections are well, only nothing comes."""
    processes = [process for process in serving(clone) if "rsync --server" in process.command]
    assert processes
    send(clone.lab.barman, "STOP", processes)
    try:
        yield
    finally:
        send(clone.lab.barman, "KILL", processes)


@pytest.mark.parametrize("silence", [link_cut, far_end_frozen, senders_stuck])
def test_a_copy_goes_on_after_a_silence(
    clone: Clone, hold: Held, silence: Callable[[Clone], AbstractContextManager[None]]
) -> None:
    """What the far end says late, to connections that were given up, does no harm."""
    largest = f"{DATA}/{ranked(clone)[0]}"
    copy = begin(clone, hold, ssh_options=WATCHFUL, io_timeout=5)
    there = await_bytes(clone, largest, 20 * MIB)
    with silence(clone):
        hold.go_on()
        wait_for(lambda: clone.progress()["retries"] > 0, "the silence to be noticed")
    expect_rest(clone.finish(copy), there, "clone")
    clone.assert_healthy()


# --- disks ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "limit", "mended"),
    [
        pytest.param(DATA, "size=200m", "size=1g", id="bytes"),
        pytest.param(CLUSTER, "size=200m", "size=1g", id="bytes, also of our own records"),
        pytest.param(DATA, "nr_inodes=600", "nr_inodes=9999", id="inodes"),
    ],
)
def test_a_full_disk_is_told_and_a_larger_one_resumed(clone: Clone, place: str, limit: str, mended: str) -> None:
    with mounted(clone, place, "-t", "tmpfs", "-o", limit, "tmpfs"):
        result = clone.run(compress="none")
        expect_failure(clone, result, "disk_full", place, "No space left on device", "df", "inodes")
        again = clone.run(compress="none")
        assert again["error_code"] in ("disk_full", "write_failed"), again
        assert "No space left on device" in again["msg"]
        assert "df -i" in again["msg"]
        there = arrived(clone)
        clone.host.run(["mount", "-o", f"remount,{mended}", place])
        expect_rest(clone.run(), there)
        clone.assert_healthy()


def test_a_disk_that_fails_is_told_and_resumed_after_repair(clone: Clone, hold: Held) -> None:
    """The kernel makes a file system read-only when its disk fails."""
    image = f"{PLACE}/disk"
    disk = ("-o", "loop,errors=remount-ro", image)
    clone.host.run(["truncate", "--size=600M", image])
    try:
        clone.host.run(["mkfs.ext4", "-q", "-F", image])
        with mounted(clone, DATA, *disk):
            copy = begin(clone, hold)
            await_bytes(clone, f"{DATA}/{ranked(clone)[0]}", 20 * MIB)
            clone.host.run(["sync", "--file-system", DATA])
            device = clone.host.run(["findmnt", "--noheadings", "--output=SOURCE", DATA]).stdout.strip()
            assert device.startswith("/dev/loop")
            fail = f"echo broken >/sys/fs/ext4/{PurePosixPath(device).name}/trigger_fs_error"
            clone.host.run(["sh", "-c", fail])
            hold.go_on()
            result = clone.finish(copy)
            expect_failure(clone, result, "disk_error", DATA, "Read-only file system", "kernel's log")
        clone.host.run(["e2fsck", "-fy", image], check=False)
        with mounted(clone, DATA, *disk):
            there = arrived(clone)
            assert there > 0
            expect_rest(clone.run(), there)
            clone.assert_healthy()
    finally:
        clone.host.run(["rm", "-f", image])


# --- the backup -----------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["one file", "everything"])
def test_what_the_backup_has_lost_is_told_at_once(clone: Clone, hold: Held, lost: str) -> None:
    original = clone.options["backup"]
    tree = str(original["tablespaces"][0]["oid"])
    with own_copy(clone, original) as damaged:
        directory = damaged.options["backup"]["directory"]
        gone = f"{directory}/{tree}/{ranked(damaged, tree)[0]}"
        largest = ranked(damaged)[0]
        copy = begin(damaged, hold)
        await_bytes(damaged, f"{DATA}/{largest}", 10 * MIB)
        damaged.lab.barman.run(["rm", "-rf", gone if lost == "one file" else directory])
        hold.go_on()
        result = damaged.finish(copy)
        if lost == "everything":
            expect_failure(damaged, result, "backup_deleted", "is no longer")
        else:
            expect_failure(damaged, result, "backup_files_missing", directory, "attempt 1", gone)
        there = arrived(damaged)
        assert there < 300 * MIB, "the copy did not end at once"
        mend(damaged.lab, original["directory"], directory)
        expect_rest(damaged.run(), there)
        damaged.assert_healthy()


# --- contents -------------------------------------------------------------------------


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


@pytest.mark.parametrize("manifest", [False, True], ids=["without a manifest", "with a manifest"])
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
