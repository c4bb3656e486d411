"""Backups in tars, as Barman's backup_compression makes them: unpacked into place, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from clone_on_host import FAST, Clone
from copies_under_way import Copy
from held import MIB, Held
from lab import Lab
from play import Playbook, said_of
from standby_host import BINDIR, DATA, HOST

TOP = "/tmp/pgfleet-packed"
THERE = f"/var/lib/barman/packed-{HOST}"
EMPTY = "/srv/tablespaces/empty"
KINDS = ("none", "gzip", "lz4", "zstd")
# Of the programs that decompress, a standby of the lab has gzip alone; the others are borrowed from the Barman host.
PROGRAMS = "/usr/local/bin"

CONTENTS = " union all ".join(f"select count(*), sum(hashtext(t::text)) from {name} t" for name in ("kept", "quick"))

# A small cluster with a tablespace that is used and one that is not, and a backup of it in every compression, put
# beside Barman's with the empty directories that Barman makes for tablespaces.
BUILD = f"""\
set -eu
umask 077
export PATH={BINDIR}:$PATH LC_ALL=C PGHOST={TOP} PGDATABASE=template1
cd {TOP}
mkdir wal
initdb -D cluster --auth=trust --no-sync --no-locale --encoding=UTF8 --allow-group-access >log
cat >>cluster/postgresql.conf <<END
listen_addresses = ''
unix_socket_directories = '{TOP}'
fsync = off
archive_mode = on
archive_command = 'cp %p {TOP}/wal/%f'
END
pg_ctl -D cluster -w -l log start >/dev/null
psql -qXc "create tablespace fast location '{FAST}'" -c "create tablespace empty location '{EMPTY}'"
psql -qXc "update pg_database set datistemplate = false" -c "drop database template0" -c "drop database postgres"
psql -qXc "create table kept as select n, md5(n::text) from generate_series(1, 100000) n"
psql -qXc "create table quick tablespace fast as select n, md5(n::text) from generate_series(1, 20000) n"
for kind in {" ".join(KINDS)}; do
    pg_basebackup -D $kind/data --format=tar --compress=$kind -c fast -X none --no-sync 2>>log
done
psql -qXAt <<END
select string_agg(oid::text, ' ' order by spcname desc) from pg_tablespace where oid > 16000
END
psql -qXAtc "{CONTENTS}" >contents
psql -qXAtc "select system_identifier from pg_control_system()"
pg_ctl -D cluster -w -m fast stop >/dev/null
rsync -a {" ".join(KINDS)} barman@barman:{THERE}/
rm -rf {FAST}/* {EMPTY}/*
"""
PART = 2 * MIB  # of the tar of the data directory
# Harms one backup at the Barman host: argv is the file, and what to do.
HARM = """\
import io, os, sys, tarfile

path, how = sys.argv[1:3]
with open(path, "r+b") as file:
    size = file.seek(0, 2)
    if how == "cut":
        file.truncate(size // 2)
    elif how == "flip":
        file.seek(size // 2)
        byte = file.read(1)[0]
        file.seek(size // 2)
        file.write(bytes([byte ^ 1]))
if how.startswith("add "):
    member = tarfile.TarInfo(how.split()[1])
    member.type = how.split()[2].encode()
    member.linkname = how.split()[3]
    data = b"evil" if member.type == tarfile.REGTYPE else b""
    member.size = len(data)
    with tarfile.open(path, "a", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(data))
"""


@dataclass(frozen=True)
class Packed:
    lab: Lab
    clone: Clone
    contents: str
    oids: tuple[int, int]

    def of(self, kind: str, **options: Any) -> Clone:
        """A clone of the backup of a kind."""
        backup = {
            **self.clone.options["backup"],
            "backup_id": kind,
            "compression": kind,
            "directory": f"{THERE}/{kind}",
        }
        return replace(self.clone, options={**self.clone.options, "backup": backup, **options})

    def empty(self) -> None:
        self.clone.empty()
        self.clone.host.run(["sh", "-c", f"rm -rf {EMPTY}; install -d -m 700 -o postgres -g postgres {EMPTY}"])

    def assert_healthy(self) -> None:
        """It starts, and its tables are those of the source."""
        host = self.clone.host
        restore = f"echo \"restore_command = 'cp {TOP}/wal/%f %p'\" >>{DATA}/postgresql.auto.conf"
        host.run(["sh", "-c", restore], user="postgres")
        assert self.clone.state()["phase"] == "committed"
        code, log = self.clone.try_to_start()
        try:
            assert code == 0, log
            psql = ["psql", "-qXAtp", "6000", "-c", CONTENTS, "template1"]
            assert host.run(psql, user="postgres").stdout == self.contents
        finally:
            stop = [f"{BINDIR}/pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={DATA}"]
            host.run(stop, user="postgres", check=False)

    @contextmanager
    def harmed(self, kind: str, tar: str, how: str) -> Iterator[Clone]:
        """A clone of a copy of a backup with one tar harmed."""
        barman, name = self.lab.barman, f"{THERE}/harmed"
        barman.run(["cp", "-a", f"{THERE}/{kind}", name])
        try:
            barman.run(["python3", "-", f"{name}/data/{tar}", how], input=HARM)
            clone = self.of(kind)
            clone.options["backup"]["directory"] = name
            yield clone
        finally:
            barman.run(["rm", "-rf", name])


@pytest.fixture(scope="module")
def packed(lab: Lab) -> Iterator[Packed]:
    lab.reset(HOST)
    clone = Clone.on(lab)
    host, barman = clone.host, lab.barman
    host.run(["rm", "-rf", TOP])
    barman.run(["rm", "-rf", THERE])
    host.run(["install", "-d", "-o", "postgres", TOP, EMPTY])
    barman.run(["install", "-d", "-o", "barman", THERE])
    try:
        *_rest, oids, identifier = host.run(["bash", "-c", BUILD], user="postgres").stdout.split("\n")[:-1]
        fast, empty = map(int, oids.split())
        clone.options["backup"] = {
            "status": "DONE",
            "server": "small",
            "version": 150000,
            "system_identifier": identifier,
            "tablespaces": [
                {"name": "fast", "oid": fast, "location": FAST},
                {"name": "empty", "oid": empty, "location": EMPTY},
            ],
        }
        barman.run(["sh", "-c", f"cd {THERE} && for kind in *; do mkdir $kind/{fast} $kind/{empty}; done"])
        yield Packed(lab, clone, host.read(f"{TOP}/contents"), (fast, empty))
    finally:
        host.run(["rm", "-rf", TOP, EMPTY, f"{PROGRAMS}/lz4", f"{PROGRAMS}/zstd"])
        barman.run(["rm", "-rf", THERE])
        lab.reset(HOST)


@pytest.fixture
def bare(packed: Packed) -> Packed:
    packed.empty()
    return packed


@contextmanager
def programs(packed: Packed) -> Iterator[None]:
    """The standby can decompress by itself."""
    host, barman = packed.clone.host, packed.lab.barman
    names = ("lz4", "zstd")
    for name in names:
        encoded = barman.run(["base64", f"/usr/bin/{name}"]).stdout
        host.run(["sh", "-c", f"base64 -d >{PROGRAMS}/{name} && chmod 755 {PROGRAMS}/{name}"], input=encoded)
    try:
        yield
    finally:
        host.run(["rm", "-f", *(f"{PROGRAMS}/{name}" for name in names)])


@pytest.mark.parametrize("kind", ["gzip", "lz4"])
def test_a_backup_in_tars_is_unpacked_into_place(bare: Packed, kind: str) -> None:
    """Where the standby lacks the program, the Barman host decompresses."""
    clone = bare.of(kind)
    result = clone.run()
    assert (result.get("action"), result.get("verified"), result.get("compress")) == ("clone", "manifest", kind), result
    modes = clone.host.run(["stat", "-c", "%a", DATA, f"{DATA}/PG_VERSION", FAST, EMPTY]).stdout.split()
    assert modes == ["750", "640", "750", "750"], "the source lets its group read"
    assert clone.host.run(["find", EMPTY, "-mindepth", "1", "-printf", "%f"]).stdout == "PG_15_202209061"
    bare.assert_healthy()


def test_over_another_cluster_of_the_same_system_it_is_decompressed_here(bare: Packed) -> None:
    with programs(bare):
        assert bare.of("lz4").run()["action"] == "clone"
        again = bare.of("zstd").run(overwrite="same_cluster")
        assert again["action"] == "delta", again
        assert again["bytes_sent"] < again["bytes"] / 10, "files that the manifest shows to be right are not written"
    bare.assert_healthy()


def test_a_killed_copy_cannot_be_started_and_is_resumed(bare: Packed, hold: Held) -> None:
    clone = bare.of("none")
    copy = Copy.begun(hold, clone, PART)
    copy.signal([copy.note["pid"]])
    assert copy.result()["error_code"] == "copy_killed"
    hold.go_on()
    clone.assert_unstartable()
    resumed = clone.run()
    assert resumed["action"] == "resume", resumed
    assert 0 < resumed["bytes_sent"] < resumed["bytes"], "what was finished is not written again"
    bare.assert_healthy()


def test_a_tar_whose_connection_breaks_is_sent_again_within_the_limit(bare: Packed, hold: Held) -> None:
    clone = bare.of("none")
    copy = Copy.begun(hold, clone, PART, bwlimit=8000)
    copy.signal(copy.pids("ssh -T"))
    hold.go_on()
    result = copy.result()
    assert result.get("retries", 0) > 0, result
    assert result["verified"] == "manifest"
    assert result["bytes_received"] / result["seconds"] < 8000 * 1024 * 1.1


def test_a_tar_whose_sender_falls_silent_is_sent_again(bare: Packed, hold: Held) -> None:
    """As on a disk that hangs: the connection is well, only nothing comes."""
    barman = bare.lab.barman
    copy = Copy.begun(hold, bare.of("none"), PART, io_timeout=30)
    barman.run(["pkill", "--signal=STOP", "--full", f"{THERE}/none"])
    hold.go_on()
    try:
        result = copy.result()
    finally:
        barman.run(["pkill", "--signal=KILL", "--full", f"{THERE}/none"], check=False)
    assert result.get("retries", 0) > 0, result
    assert result["verified"] == "manifest"
    bare.assert_healthy()


def test_a_full_disk_is_told_and_a_larger_one_resumed(bare: Packed) -> None:
    host = bare.clone.host
    host.run(["mount", "-t", "tmpfs", "-o", "size=512k,uid=postgres,mode=700", "tmpfs", FAST])
    try:
        result = bare.of("gzip").run()
        assert result.get("error_code") == "disk_full", result
        assert f"{FAST}/PG_15_202209061/1/" in result["msg"]
        assert not host.exists(f"{DATA}/global/pg_control")
        host.run(["mount", "-o", "remount,size=64m", FAST])
        resumed = bare.of("gzip").run()
        assert (resumed.get("action"), resumed.get("verified")) == ("resume", "manifest"), resumed
        bare.assert_healthy()
    finally:
        host.run(["umount", FAST])


# A bit may be found by the decompressor, by its tar making no sense, or by the manifest alone.
BROKEN = {
    "cut short": ("gzip", "base.tar.gz", "cut", {"archive_damaged"}),
    "a bit flipped": ("zstd", "base.tar.zst", "flip", {"archive_damaged", "archive_unfit", "manifest_mismatch"}),
    "a bit flipped in a tar": ("none", "base.tar", "flip", {"manifest_mismatch"}),
    "a link": ("none", "base.tar", f"add base/evil 2 {TOP}", {"archive_unfit"}),
}


@pytest.mark.parametrize(("kind", "tar", "how", "codes"), BROKEN.values(), ids=BROKEN)
def test_a_broken_tar_is_refused(bare: Packed, kind: str, tar: str, how: str, codes: set[str]) -> None:
    before = bare.clone.host.run(["find", TOP, "-newer", f"{TOP}/contents"]).stdout
    with bare.harmed(kind, tar, how) as clone:
        result = clone.run()
    assert result.get("error_code") in codes, result
    assert "Next:" in result["msg"]
    assert not clone.host.exists(f"{DATA}/global/pg_control")
    assert clone.host.run(["find", "/srv", "/var/lib/postgresql", "-name", "*evil*"]).stdout == ""
    assert clone.host.run(["find", TOP, "-newer", f"{TOP}/contents"]).stdout == before


@pytest.mark.long
def test_a_play_makes_a_streaming_standby_of_barmans_own(packed: Packed, lab: Lab, playbook: Playbook) -> None:
    """Real Barman, backup_compression = gzip, the whole role."""
    lab.reset(HOST)
    if "pg_gzip" not in lab.barman.run(["barman", "list-backups", "pg_gzip"], user="barman").stdout:
        lab.backup("pg_gzip")
    run = playbook.run("--verbose", "--limit", HOST, server="pg_gzip")
    assert run.rc == 0, run.output
    assert said_of(HOST, run) == "clone"
    assert "streaming" in run.output
    asked = ["psql", "-qXAtc", "select count(*), sum(hashtext(t::text)) from events t", "bench"]
    assert lab.host(HOST).run(asked, user="postgres").stdout == lab.primary.run(asked, user="postgres").stdout
