"""What a server of PostgreSQL can be made to fail at, for real: each a change of a stopped copy, and the cause it has.

As a program it records what the servers say: ``python tests/servers/provocations.py --into DIRECTORY MAJOR...``.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import control_data
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.releases import RELEASES
from ansible_collections.pgfleet.standby.tests.servers.servers import Server, _command, free_port, make_top
from ansible_collections.pgfleet.standby.tests.waiting import wait_until

_ENDED = re.compile("(?:FATAL|PANIC): ")


class Ground:
    """A primary of one major version, a stopped copy of it, and another cluster that has nothing to do with both."""

    def __init__(self, fleet: Fleet, major: int) -> None:
        self.fleet, self.major = fleet, major
        self.primary = fleet.primary(major)
        self.base = self.primary.copy(fleet.place(f"base{major}") / "data")
        self.other = Server.create(major, fleet.place(f"other{major}"))
        self.other.start()  # which writes its limits into pg_control
        self.other.stop()
        self._number = 0

    def copy(self, of: Server) -> Server:
        """A server on a new copy of a stopped server's directory."""
        self._number += 1
        place = self.fleet.place(f"f{self.major}.{self._number}")
        subprocess.run(["cp", "-a", str(of.data), str(place / "data")], check=True)
        return Server(self.major, place, place / "data")

    def standby(self, server: Server, upstream: Server, **keywords: str) -> None:
        """Have a server stream from another through TCP."""
        to = {"host": "127.0.0.1", "port": str(upstream.port), "user": "postgres", **keywords}
        server.make_standby({"primary_conninfo": conninfo_text(to), "recovery_target_timeline": "latest"})

    def promoted(self) -> Server:
        """A stopped server that has gone on on a timeline of its own."""
        server = self.copy(self.base)
        server.make_standby({"restore_command": "false"})
        server.start()
        subprocess.run(_command([server.program("pg_ctl"), "promote", "-D", str(server.data)]), check=True, cwd="/")
        server.wait_for("SELECT NOT pg_is_in_recovery()")
        server.sql("CHECKPOINT")
        server.stop()
        return server


# The first major version that fails so; all others do since ever.
SINCE = {"min_wal_size": 11}

Provocation = Callable[[Ground], "tuple[Server, Mapping[str, str]]"]
PROVOCATIONS: dict[str, Provocation] = {}


def _provokes(cause: str) -> Callable[[Provocation], Provocation]:
    def note(provocation: Provocation) -> Provocation:
        PROVOCATIONS[cause] = provocation
        return provocation

    return note


def _in_file(cause: str, **settings: str) -> None:
    def provocation(ground: Ground) -> tuple[Server, Mapping[str, str]]:
        server = ground.copy(ground.base)
        server.edit("postgresql.conf", settings)
        return server, {}

    PROVOCATIONS[cause] = provocation


def _as_standby(cause: str, **upstream: str) -> None:
    """Of the primary; ``upstream`` is what its primary_conninfo says otherwise."""

    def provocation(ground: Ground) -> tuple[Server, Mapping[str, str]]:
        server = ground.copy(ground.base)
        ground.standby(server, ground.primary, **upstream)
        return server, {}

    PROVOCATIONS[cause] = provocation


_in_file("setting_invalid", nonsense="1")
_in_file("library_missing", shared_preload_libraries="pg_nosuch")
_in_file("tls_files", ssl="on", ssl_cert_file="/nosuch/server.crt", ssl_key_file="/nosuch/server.key")
_in_file("shared_memory", shared_buffers="7TB")
_in_file("log_directory", logging_collector="on", log_directory="/proc/nosuch")
_as_standby("upstream_role", user="nosuch")
_as_standby("upstream_unresolved", host="nosuch.invalid")
_as_standby("upstream_hba")
_as_standby("upstream_password", password="a-secret-of-nobody")


@_provokes("checkpoint_missing")
def _checkpoint_missing(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    server = ground.copy(ground.base)
    for segment in (server.data / "pg_wal").iterdir():
        if segment.is_file():
            segment.unlink()
    return server, {}


@_provokes("hba_invalid")
def _hba_invalid(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    server = ground.copy(ground.base)
    server.put("pg_hba.conf", "host all all nonsense\n")
    return server, {}


@_provokes("address_in_use")
def _address_in_use(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    return ground.copy(ground.base), {"port": str(ground.primary.port)}


@_provokes("lock_file")
def _lock_file(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    primary = ground.primary
    return ground.copy(ground.base), {
        "port": str(primary.port),
        "unix_socket_directories": str(primary.top),
        "listen_addresses": "",
    }


@_provokes("directory_mode")
def _directory_mode(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    server = ground.copy(ground.base)
    server.data.chmod(0o755)
    return server, {}


@_provokes("version_incompatible")
def _version_incompatible(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    server = ground.copy(ground.base)
    server.put("PG_VERSION", "9.6\n")
    return server, {}


@_provokes("min_wal_size")
def _min_wal_size(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    server = ground.copy(ground.other)
    server.edit("postgresql.conf", {"min_wal_size": "16MB"})
    return server, {}


@_provokes("timeline_unknown")
def _timeline_unknown(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    server = ground.copy(ground.base)
    server.make_standby({"restore_command": "false", "recovery_target_timeline": "9"})
    return server, {}


@_provokes("timeline_not_child")
def _timeline_not_child(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    server = ground.copy(ground.base)
    # Within the segment of its last checkpoint, and before that: it finds the checkpoint, on another timeline's WAL.
    high, low = control_data(str(server.data)).redo_lsn.split("/")
    server.put("pg_wal/00000002.history", f"1\t{high}/{int(low, 16) & ~0xFFFFF:X}\tearlier\n")
    server.make_standby({"restore_command": "false", "recovery_target_timeline": "2"})
    return server, {}


@_provokes("limits_below_primary")
def _limits_below_primary(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    server = ground.copy(ground.base)
    ground.standby(server, ground.primary)
    return server, {"max_connections": "15"}


@_provokes("slot_missing")
def _slot_missing(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    server = ground.copy(ground.base)
    ground.standby(server, ground.primary)
    name = "recovery.conf" if ground.major < 12 else "postgresql.auto.conf"
    server.edit(name, {"primary_slot_name": "nosuch"})
    return server, {}


@_provokes("upstream_refused")
def _upstream_refused(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    server = ground.copy(ground.base)
    ground.standby(server, ground.primary, port=str(free_port()))
    return server, {}


@_provokes("system_identifier_differs")
def _system_identifier_differs(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    server = ground.copy(ground.other)
    ground.standby(server, ground.primary)
    return server, {}


@_provokes("upstream_timeline_behind")
def _upstream_timeline_behind(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    server = ground.promoted()
    ground.standby(server, ground.primary)
    return server, {}


@contextmanager
def _with_hba(server: Server, text: str) -> Iterator[None]:
    before = (server.data / "pg_hba.conf").read_text(encoding="utf-8")
    server.put("pg_hba.conf", text)
    server.reload()
    try:
        yield
    finally:
        server.put("pg_hba.conf", before)
        server.reload()


# What the primary has in its pg_hba.conf meanwhile.
HBA = {
    "upstream_hba": "local all all trust\nhost all all 127.0.0.1/32 trust\n",
    "upstream_password": "local all all trust\nhost replication all 127.0.0.1/32 md5\n",
}


@_provokes("wal_removed")
def _wal_removed(ground: Ground) -> tuple[Server, Mapping[str, str]]:
    server = ground.copy(ground.other)
    primary = ground.copy(ground.other)
    primary.edit("postgresql.conf", {"wal_keep_size" if ground.major >= 13 else "wal_keep_segments": "0"})
    primary.edit("postgresql.conf", {"min_wal_size": "32MB", "max_wal_size": "32MB"})
    primary.start()
    for _turn in range(5):
        primary.sql("CREATE TABLE t ()")
        primary.sql("DROP TABLE t")
        primary.sql("SELECT pg_switch_wal()")
        primary.sql("CHECKPOINT")
    ground.fleet.primaries[1000 + ground.major] = primary  # stopped with the others
    ground.standby(server, primary)
    return server, {}


def causes(major: int) -> list[str]:
    """What a server of that version can be made to fail at."""
    return sorted(cause for cause in PROVOCATIONS if SINCE.get(cause, 0) <= major)


@contextmanager
def provoked(ground: Ground, cause: str) -> Iterator[Server]:
    """The server that has been made to fail, started, once it has said so."""
    with _with_hba(ground.primary, HBA[cause]) if cause in HBA else _nothing():
        server, settings = PROVOCATIONS[cause](ground)
        server.log.unlink(missing_ok=True)
        server.start(settings, wait=False)
        try:
            wait_until(lambda: not server.running or _ENDED.search(server.log.read_text(errors="replace")), cause)
            yield server
        finally:
            server.stop()
            shutil.rmtree(server.top)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def record(fleet: Fleet, major: int) -> dict[str, str]:
    """What a server says of each provocation."""
    said = {}
    ground = Ground(fleet, major)
    for cause in causes(major):
        with provoked(ground, cause) as server:
            text = server.log.read_text(encoding="utf-8", errors="replace")
            said[cause] = text.replace(str(fleet.top), "/srv").replace(socket.gethostname(), "n1")
    return said


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("major", type=int, nargs="+")
    options = parser.parse_args()
    top = make_top("pgfleet-")
    fleet = Fleet(top)
    try:
        for major in options.major:
            version = RELEASES[major].version.partition("-")[0].rpartition(".")[0]
            text = json.dumps(record(fleet, major), indent=1, sort_keys=True)
            (options.into / f"server_log-{version}.json").write_text(text + "\n", encoding="utf-8")
    finally:
        fleet.stop()
        shutil.rmtree(top)


if __name__ == "__main__":
    main()
