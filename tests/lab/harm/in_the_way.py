"""What else may be at the places of a standby: file systems, files that cannot be removed, what is somebody else's."""

from __future__ import annotations

import os

from bed import ELSEWHERE, PLACE, Bed
from clone_on_host import FAST, recorded_as
from small_cluster import SMALL
from standby_host import DATA, STATE

VICTIM = f"{PLACE}/victim"
# Letters of somebody else, in a directory of theirs.
LETTERS = f"""\
umask 022
mkdir {VICTIM} {VICTIM}/deep
echo precious >{VICTIM}/letter
echo deeper >{VICTIM}/deep/letter
chown -R nobody:nogroup {VICTIM}
chown postgres {VICTIM}
chmod 755 {VICTIM}
touch -d 2001-01-01 {VICTIM}/letter {VICTIM}/deep/letter
"""


def letters(bed: Bed) -> None:
    bed.host.run(["sh", "-euc", LETTERS])


def stopped(bed: Bed) -> None:
    bed.standby()


def diverged(bed: Bed) -> None:
    bed.diverged()


# --- file systems ------------------------------------------------------------------------


def a_file_system_inside(bed: Bed) -> None:
    bed.diverged()
    _memory(bed, f"{DATA}/dumps")
    _write(bed, f"{DATA}/dumps/monday.dump")


def a_bind_mount_inside(bed: Bed) -> None:
    """Of the very file system of the data directory: the devices are the same."""
    bed.diverged()
    letters(bed)
    bed.host.run(["sh", "-euc", f"install -d -o postgres {DATA}/archive; mount --bind {VICTIM} {DATA}/archive"])


def a_file_system_inside_another_cluster(bed: Bed) -> None:
    another(bed)
    _memory(bed, f"{DATA}/base/dumps")
    _write(bed, f"{DATA}/base/dumps/monday.dump")


def a_disk_of_its_own(bed: Bed) -> None:
    _disk(bed, DATA)


def a_snapshot_directory(bed: Bed) -> None:
    """As NetApp and ZFS show one at the root of a file system."""
    _memory(bed, DATA)
    bed.host.run(["sh", "-euc", f"mkdir {DATA}/.snapshot; echo hourly >{DATA}/.snapshot/hourly.0"])


def a_wal_disk_in_an_empty_directory(bed: Bed) -> None:
    bed.host.run(["install", "-d", "-m", "700", "-o", "postgres", "-g", "postgres", f"{DATA}/pg_wal"])
    _disk(bed, f"{DATA}/pg_wal")


def a_wal_disk_of_a_cluster(bed: Bed) -> None:
    bed.diverged()
    bed.host.run(["sh", "-euc", f"mv {DATA}/pg_wal {SMALL}/aside; install -d -m 700 -o postgres {DATA}/pg_wal"])
    _disk(bed, f"{DATA}/pg_wal")
    bed.host.run(["sh", "-euc", f"mv {SMALL}/aside/* {DATA}/pg_wal/; rmdir {SMALL}/aside"])


def a_tablespace_disk(bed: Bed) -> None:
    _disk(bed, FAST)


# --- what cannot be removed, and what is not ours ----------------------------------------


def an_immutable_file(bed: Bed) -> None:
    bed.diverged()
    _write(bed, f"{DATA}/keep.me")
    bed.host.run(["chattr", "+i", f"{DATA}/keep.me"])


def an_immutable_file_of_the_cluster(bed: Bed) -> None:
    bed.diverged()
    bed.host.run(["chattr", "+i", f"{DATA}/base/1/1259"])


def another(bed: Bed) -> None:
    """A cluster of another system identifier that is in use, and stopped."""
    bed.host.run(["rm", "-rf", DATA])
    bed.host.run(
        ["sh", "-euc", f"/usr/lib/postgresql/15/bin/initdb -A trust -N -D {DATA} >{SMALL}/another.log"], user="postgres"
    )
    bed.up("listen_addresses=", f"unix_socket_directories={SMALL}", "port=6002")
    bed.ask("create role somebody", "checkpoint")
    bed.down()


def of_an_unknown_version(bed: Bed) -> None:
    """A cluster of a major version that is yet to come: its control file has a number that nobody knows here."""
    another(bed)
    script = f"import struct; f = open('{DATA}/global/pg_control', 'r+b'); f.seek(8); f.write(struct.pack('<I', 2100))"
    bed.host.run(["sh", "-euc", f'python3 -c "$1"; echo 21 >{DATA}/PG_VERSION', "sh", script], user="postgres")


def without_its_control_file(bed: Bed) -> None:
    """A cluster that awaits salvage, at the path of a copy that was interrupted long ago."""
    _unfinished(bed)
    bed.host.run(["sh", "-euc", f"mv {DATA} {ELSEWHERE}; install -d -m 700 -o postgres {DATA}"])
    another(bed)
    bed.host.run(["rm", f"{DATA}/global/pg_control"])


def letters_at_the_path_of_an_unfinished_copy(bed: Bed) -> None:
    _unfinished(bed)
    letters(bed)
    bed.host.run(["sh", "-euc", f"rm -rf {DATA}; mv {VICTIM} {DATA}; chmod 700 {DATA}"])


def letters_at_a_tablespace_of_an_unfinished_copy(bed: Bed) -> None:
    _unfinished(bed)
    letters(bed)
    bed.host.run(["sh", "-euc", f"rm -rf {FAST}; mv {VICTIM} {FAST}"])


def letters_mounted_over_an_unfinished_copy(bed: Bed) -> None:
    _unfinished(bed)
    letters(bed)
    bed.host.run(["mount", "--bind", VICTIM, DATA])


def of_the_user_nobody(bed: Bed) -> None:
    bed.standby()
    bed.host.run(["chown", "nobody", DATA])


# --- planted links -----------------------------------------------------------------------


def a_linked_state_directory(bed: Bed) -> None:
    letters(bed)
    bed.host.run(["ln", "-s", VICTIM, STATE])


def a_state_directory_linked_to_roots(bed: Bed) -> None:
    bed.host.run(["sh", "-euc", f"install -d -m 755 {VICTIM}; echo roots >{VICTIM}/letter; ln -s {VICTIM} {STATE}"])


def a_linked_tablespace(bed: Bed) -> None:
    letters(bed)
    bed.host.run(["sh", "-euc", f"rmdir {FAST}; ln -s {VICTIM} {FAST}"])


def a_linked_waldir(bed: Bed) -> dict[str, str]:
    letters(bed)
    bed.host.run(["ln", "-s", VICTIM, f"{PLACE}/wal"])
    return {"waldir": f"{PLACE}/wal"}


def a_linked_data_directory(bed: Bed) -> None:
    letters(bed)
    bed.host.run(["sh", "-euc", f"rmdir {DATA}; ln -s {VICTIM} {DATA}"])


def a_linked_part(bed: Bed) -> None:
    """A directory of the cluster leads to somebody else's, and a file of it, too."""
    bed.diverged()
    letters(bed)
    bed.host.run(["sh", "-euc", f"ln -s {VICTIM} {DATA}/base/99; ln -sf {VICTIM}/letter {DATA}/base/1/1255"])


def a_linked_mark(bed: Bed) -> None:
    letters(bed)
    bed.host.run(["ln", "-s", f"{VICTIM}/letter", f"{DATA}/.pgfleet.mark"])


def _unfinished(bed: Bed) -> None:
    bed.standby()
    bed.host.run(
        ["sh", "-euc", f"rm -f {DATA}/global/pg_control {DATA}/standby.signal; {recorded_as('copying')}"],
        user="postgres",
    )


def _write(bed: Bed, path: str) -> None:
    bed.host.run(["sh", "-euc", 'echo precious >"$1"', "sh", path], user="postgres")


def _memory(bed: Bed, place: str) -> None:
    bed.host.run(["install", "-d", "-m", "700", "-o", "postgres", "-g", "postgres", place])
    bed.host.run(["mount", "-t", "tmpfs", "-o", "uid=postgres,gid=postgres,mode=700", "none", place])


def _disk(bed: Bed, place: str) -> None:
    """A file system with a lost+found of root's, as mke2fs makes it."""
    image = f"{SMALL}/{os.path.basename(place)}.img"
    make = 'rm -f "$1"; truncate -s 256M "$1"; mke2fs -q -t ext4 "$1"; mount -o loop "$1" "$2"'
    make += '; chown postgres: "$2"; chmod 700 "$2"'
    bed.host.run(["sh", "-euc", make, "sh", image, place])
