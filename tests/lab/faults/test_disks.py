"""A disk that is full, and one that fails, under a copy. I1 and I2 hold in each case."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import pytest
from clone_on_host import PLACE, Clone
from faulty_copy import arrived, await_bytes, begin, expect_failure, expect_rest, halt, ranked
from held import MIB, Held
from standby_host import DATA

CLUSTER = str(PurePosixPath(DATA).parent)


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


@pytest.mark.parametrize(
    ("place", "limit", "mended"),
    [
        pytest.param(DATA, "size=200m", "size=1g", id="bytes"),
        pytest.param(CLUSTER, "size=200m", "size=1g", id="bytes, also of our own records", marks=pytest.mark.long),
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
