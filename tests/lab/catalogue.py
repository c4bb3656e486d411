# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Barman server of a test's own, with backups of a small cluster on its standby."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from clone_on_host import Clone
from copies_under_way import Copy
from held import MIB, held
from lab import Lab
from podman import Host
from standby_host import BINDIR, HOST

SERVER = f"small_{HOST}"
PORT = 6100
PLACE = "/tmp/pgfleet-catalogue"
CONFIG = f"""\
[{SERVER}]
description = a small cluster on {HOST}, of which one backup is enough
conninfo = host={HOST} port={PORT} user=postgres dbname=postgres
streaming_conninfo = host={HOST} port={PORT} user=postgres
backup_method = postgres
archiver = on
retention_policy = REDUNDANCY 1
minimum_redundancy = 0
"""
BUILD = f"""\
set -eu
export PATH={BINDIR}:$PATH LC_ALL=C PGHOST={PLACE} PGPORT={PORT} PGDATABASE=postgres
cd {PLACE}
initdb -D cluster --auth=trust --no-sync --no-locale --encoding=UTF8 >initdb.log
echo 'host all,replication all all trust' >>cluster/pg_hba.conf
cat >>cluster/postgresql.conf <<END
listen_addresses = '*'
port = {PORT}
unix_socket_directories = '{PLACE}'
fsync = off
archive_mode = on
archive_command = 'rsync %p barman@barman:/var/lib/barman/{SERVER}/incoming/%f'
END
pg_ctl -D cluster -w -l log start >/dev/null
psql -qXc "create table filled as select md5(n::text) || repeat('x', 900) as t from generate_series(1, 40000) n"
"""


@dataclass
class Catalogue:
    """A Barman server of this test's own."""

    lab: Lab
    host: Host
    clone: Clone = field(init=False)

    def barman(self, *arguments: str, check: bool = True) -> str:
        done = self.lab.barman.run(["barman", *arguments], user="barman", check=check)
        return done.stdout + done.stderr

    def backup(self) -> dict[str, Any]:
        """Take one, and have it as the modules do."""
        self.barman("backup", SERVER, "--wait", "--immediate-checkpoint")
        return self.latest()

    def latest(self) -> dict[str, Any]:
        """The newest one, as the modules have it."""
        options = {"barman_host": "barman@barman", "barman_server": SERVER, "backup_id": "latest"}
        return dict(self.clone.module("barman_backup_info", **options)["selected"])

    def keep(self, backup: dict[str, Any], owner: str, state: str = "present", **options: Any) -> dict[str, Any]:
        where = {"barman_host": "barman@barman", "barman_server": SERVER}
        result = self.clone.module("barman_backup_keep", backup=backup, owner=owner, state=state, **where, **options)
        assert not result.get("failed"), result
        return result

    def kept(self, backup: dict[str, Any]) -> str:
        said = json.loads(self.barman("-f", "json", "keep", "--status", SERVER, backup["backup_id"]))
        return str(said[SERVER]["keep_status"]["message"])

    @contextlib.contextmanager
    def configured(self, line: str) -> Iterator[None]:
        """The server's section has this line, too."""
        self.lab.barman.write(f"/etc/barman.d/{SERVER}.conf", f"{CONFIG}{line}\n")
        try:
            yield
        finally:
            self.lab.barman.write(f"/etc/barman.d/{SERVER}.conf", CONFIG)

    def records(self) -> list[str]:
        find = ["find", "/var/lib/barman/.pgfleet", "-name", f"*{SERVER}*", "-printf", "%f %m\\n"]
        return sorted(self.lab.barman.run(find, check=False).stdout.splitlines())

    def copy_while(self, backup: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """A copy in the middle of which a newer backup is taken and retention runs; its result.

        It is held for as long as that takes.
        """
        self.clone.empty()
        with held(self.host) as hold:
            copy = Copy.begun(hold, self.clone, MIB, backup=backup)
            try:
                newer = self.backup()
                self.barman("cron", "--keep-descriptors")
                deleted = self.barman("delete", SERVER, backup["backup_id"], check=False)
                assert newer["backup_id"] != backup["backup_id"]
            finally:
                hold.go_on()
                result = copy.result()
        return result, deleted


@contextlib.contextmanager
def built(lab: Lab) -> Iterator[Catalogue]:
    """The cluster, the server and a first backup, and none of it afterwards."""
    host = lab.host(HOST)
    ours = Catalogue(lab, host)
    lab.reset(HOST)
    try:
        host.run(["install", "--directory", "--mode=700", "--owner=postgres", PLACE])
        lab.barman.write(f"/etc/barman.d/{SERVER}.conf", CONFIG)
        ours.barman("check", SERVER, check=False)  # makes its directories
        host.run(["bash", "-c", BUILD], user="postgres")
        ours.barman("backup", SERVER, "--wait", "--immediate-checkpoint")
        ours.clone = Clone.on(lab, server=SERVER)
        yield ours
    finally:
        host.run(
            [f"{BINDIR}/pg_ctl", "-D", f"{PLACE}/cluster", "-m", "immediate", "stop"], user="postgres", check=False
        )
        host.run(["rm", "-rf", PLACE])
        leftovers = [f"/etc/barman.d/{SERVER}.conf", f"/var/lib/barman/{SERVER}"]
        lab.barman.run(["rm", "-rf", *leftovers])
        lab.barman.run(["find", "/var/lib/barman/.pgfleet", "-name", f"*{SERVER}*", "-delete"], check=False)
        lab.reset(HOST)
