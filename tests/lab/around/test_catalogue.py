"""What a real catalogue may hold beside finished backups of the usual methods, on a Barman server of the test's own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from clone_on_host import Clone
from lab import Lab
from podman import BOUND, File, Host, wait_for
from standby_host import BINDIR, DATA, HOST

pytestmark = pytest.mark.long

TOP = "/tmp/pgfleet-catalogue"
PORT = 6100
# On the Barman host.
SERVER, LOCAL = f"waiting_{HOST}", f"local_{HOST}"
HOME = "/var/lib/barman"
OWN = f"{HOME}/pgfleet-catalogue-{HOST}"
PASSIVE = f"{OWN}/passive.conf"

# A small cluster that Barman reaches over the network. Its WAL goes nowhere by itself.
BUILD = f"""\
set -eu
umask 077
export PATH={BINDIR}:$PATH LC_ALL=C PGHOST={TOP} PGPORT={PORT} PGDATABASE=template1
cd {TOP}
mkdir wal
initdb -D cluster --auth=trust --no-sync --no-locale --encoding=UTF8 >log
printf 'host all,replication all samenet trust\\n' >>cluster/pg_hba.conf
cat >>cluster/postgresql.conf <<END
listen_addresses = '*'
port = {PORT}
unix_socket_directories = '{TOP}'
fsync = off
archive_mode = on
archive_command = 'cp %p {TOP}/wal/%f'
END
pg_ctl -D cluster -w -l log start >/dev/null
psql -qXc "update pg_database set datistemplate = false" -c "drop database template0" -c "drop database postgres"
psql -qXc "create table kept as select n, md5(n::text) from generate_series(1, 1000) n" -c checkpoint
psql -qXAtc "select pg_switch_wal()" >>log
"""
SECTION = f"""\
[{SERVER}]
description = WAL comes by hand
conninfo = host={HOST} port={PORT} user=postgres dbname=template1
streaming_conninfo = host={HOST} port={PORT} user=postgres dbname=template1
backup_method = postgres
backup_compression = gzip
archiver = on
"""
# The cluster's files are beside Barman, as this method expects it.
LOCAL_SECTION = f"""\
[{LOCAL}]
description = the data directory is beside Barman
conninfo = host={HOST} port={PORT} user=postgres dbname=template1
backup_method = local-rsync
backup_options = concurrent_backup
archiver = on
"""
# Another Barman, which takes its backups from the first one; that this one is reached through a shell is all the same.
PASSIVE_CONFIGURATION = f"""\
[barman]
barman_user = barman
barman_home = {OWN}/home
log_file = {OWN}/passive.log

[{SERVER}]
description = geo-redundant
primary_ssh_command = {OWN}/here
"""
HERE = """\
#!/bin/sh
while :; do case $1 in -o) shift 2 ;; -*) shift ;; '') shift ;; *) break ;; esac; done
exec sh -c "$*"
"""
# Barman, and a word of every backup that it was asked for.
TOLD = f"{OWN}/asked"
TELLING = f"""\
#!/bin/sh
case $* in *show-backup*) echo "$*" >>{TOLD} ;; esac
exec barman "$@"
"""
FAILING = """\
#!/bin/sh
case $* in *--version*) exec /usr/bin/pg_basebackup --version ;; esac
exit 1
"""


@dataclass(frozen=True)
class Catalogue:
    lab: Lab
    clone: Clone

    def barman(self, *argv: str) -> str:
        return self.lab.barman.run(["barman", *argv], user="barman").stdout

    def ids(self, server: str = SERVER) -> dict[str, str]:
        """The status of each backup."""
        listed = json.loads(self.barman("-f", "json", "list-backups", server))[server]
        return {backup["backup_id"]: backup["status"] for backup in listed}

    def choose(self, server: str = SERVER, **options: Any) -> dict[str, Any]:
        return self.clone.module(
            "barman_backup_info",
            **{"barman_host": "barman@barman", "barman_server": server, "backup_id": "latest", **options},
        )

    def asked(self, backup_id: str) -> int:
        """How often that backup was asked for."""
        told = self.lab.barman.run(["cat", TOLD], check=False).stdout
        return sum(backup_id in line for line in told.splitlines())

    def deliver_wal(self, server: str = SERVER) -> None:
        """What archive_command would have done."""
        tar = self.clone.host.run(["sh", "-c", f"cd {TOP}/wal && tar -c * | base64"], user="postgres").stdout
        unpack = f"base64 -d | tar -x -C {HOME}/{server}/incoming"
        self.lab.barman.run(["sh", "-c", unpack], user="barman", input=tar)
        self.barman("archive-wal", server)

    def assert_clone_of(self, selected: dict[str, Any]) -> None:
        """It is cloned, starts, and holds what the source holds."""
        clone = self.clone
        clone.empty()
        result = clone.run(backup=selected)
        assert result.get("action") == "clone", result
        restore = f"echo \"restore_command = 'cp {TOP}/wal/%f %p'\" >>{DATA}/postgresql.auto.conf"
        clone.host.run(["sh", "-c", restore], user="postgres")
        code, log = clone.try_to_start()
        try:
            assert code == 0, log
            psql = ["psql", "-qXAtp", "6000", "-c", "select count(*), sum(n) from kept", "template1"]
            assert clone.host.run(psql, user="postgres").stdout == "1000|500500\n"
        finally:
            stop = [f"{BINDIR}/pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={DATA}"]
            clone.host.run(stop, user="postgres", check=False)


def configure(barman: Host, **sections: str) -> None:
    for name, text in sections.items():
        barman.write(f"/etc/barman.d/{name}.conf", text)


def tidy(lab: Lab, host: Host) -> None:
    host.run(
        ["sh", "-c", f"test ! -d {TOP} || {BINDIR}/pg_ctl -D {TOP}/cluster -m immediate stop; rm -rf {TOP}"],
        user="postgres",
        check=False,
    )
    names = " ".join([f"/etc/barman.d/{SERVER}.conf", f"/etc/barman.d/{LOCAL}.conf", OWN, TOP])
    lab.barman.run(["sh", "-c", f"rm -rf {names} {HOME}/{SERVER} {HOME}/{LOCAL} {HOME}/.{SERVER}-* {HOME}/.{LOCAL}-*"])


@pytest.fixture(scope="module")
def catalogue(lab: Lab) -> Iterator[Catalogue]:
    """An older backup that has failed, and a newer one that waits for its WAL."""
    lab.reset(HOST)
    clone = Clone.on(lab)
    host, barman = clone.host, lab.barman
    tidy(lab, host)
    try:
        host.run(["install", "-d", "-o", "postgres", TOP])
        host.run(["bash", "-c", BUILD], user="postgres")
        own = [OWN, f"{OWN}/bin", f"{OWN}/home", *(f"{HOME}/{it}/incoming" for it in (SERVER, LOCAL))]
        barman.run(["install", "-d", "-o", "barman", *own, f"{HOME}/{SERVER}", f"{HOME}/{LOCAL}"])
        barman.put(
            [
                File(f"{OWN}/bin/pg_basebackup", FAILING, mode=0o755),
                File(f"{OWN}/here", HERE, mode=0o755),
                File(f"{OWN}/bin/telling", TELLING, mode=0o755),
                File(PASSIVE, PASSIVE_CONFIGURATION),
            ]
        )
        configure(barman, **{SERVER: f"{SECTION}path_prefix = {OWN}/bin\n", LOCAL: LOCAL_SECTION})
        found = Catalogue(lab, clone)
        found.deliver_wal()
        barman.run(["barman", "backup", SERVER], user="barman", check=False)
        configure(barman, **{SERVER: SECTION})
        found.deliver_wal()  # Barman takes no backup where it has no WAL, and the failed one has taken what there was
        found.barman("backup", SERVER)
        yield found
    finally:
        tidy(lab, host)
        lab.reset(HOST)


def test_a_backup_that_waits_for_wal_is_waited_for_and_a_failed_one_never_taken(catalogue: Catalogue) -> None:
    waiting, failed = sorted(catalogue.ids(), reverse=True)
    assert [catalogue.ids()[it] for it in (waiting, failed)] == ["WAITING_FOR_WALS", "FAILED"]

    refused = catalogue.choose()
    assert refused["error_code"] == "no_usable_backup", refused
    reasons = {it["backup_id"]: " ".join(it["reasons"]) for it in refused["passed_over"]}
    assert re.match("its status is WAITING_FOR_WALS.*with wait=SECONDS it would be waited for", reasons[waiting])
    assert "its status is FAILED" in reasons[failed]

    with ThreadPoolExecutor() as pool:
        choosing = pool.submit(catalogue.choose, wait=3600, barman_executable=f"{OWN}/bin/telling")
        wait_for(lambda: catalogue.asked(waiting) > 1, "the backup to be asked for again")
        assert not choosing.done()
        catalogue.deliver_wal()
        catalogue.barman("check-backup", SERVER, waiting)
        chosen = choosing.result(BOUND)
    assert (chosen["selected"]["backup_id"], chosen["selected"]["status"]) == (waiting, "DONE")
    catalogue.assert_clone_of(chosen["selected"])


def test_a_passive_barman_serves(catalogue: Catalogue) -> None:
    """A geo-redundant Barman has copied the backup from another one (primary_ssh_command)."""
    backup_id = max(catalogue.ids())
    if catalogue.ids()[backup_id] != "DONE":
        catalogue.deliver_wal()
        catalogue.barman("check-backup", SERVER, backup_id)
    catalogue.barman("--config", PASSIVE, "sync-info", "--primary", SERVER)
    catalogue.barman("--config", PASSIVE, "sync-backup", SERVER, backup_id)
    asked = {"barman_host": "barman@barman", "barman_server": SERVER, "barman_config": PASSIVE}
    server = catalogue.clone.module("barman_server_info", **asked)
    assert server["server"]["passive"] is True, server
    chosen = catalogue.choose(barman_config=PASSIVE)
    assert "selected" in chosen, chosen
    selected = chosen["selected"]
    assert (selected["backup_id"], selected["directory"]) == (backup_id, f"{OWN}/home/{SERVER}/base/{backup_id}")
    catalogue.assert_clone_of(selected)


def test_a_backup_of_files_beside_barman_is_cloned(catalogue: Catalogue) -> None:
    """backup_method = local-rsync."""
    host, barman = catalogue.clone.host, catalogue.lab.barman
    tar = host.run(["sh", "-c", f"cd {TOP} && tar -c cluster | base64"], user="postgres").stdout
    barman.run(["sh", "-c", f"mkdir -m 700 {TOP} && base64 -d | tar -xo -C {TOP}"], user="barman", input=tar)
    catalogue.deliver_wal(LOCAL)
    catalogue.barman("backup", LOCAL)
    catalogue.deliver_wal(LOCAL)
    selected = catalogue.choose(LOCAL, wait=3600)["selected"]
    assert (selected["status"], selected["type"], selected["mode"]) == ("DONE", "rsync", "rsync-concurrent")
    catalogue.assert_clone_of(selected)
