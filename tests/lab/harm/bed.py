"""A small cluster that streams, on one host: an upstream, and a standby that a clone has made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from clone_on_host import FAST, Clone
from lab import Lab
from podman import wait_for
from small_cluster import SMALL, build_small, remove_small
from standby_host import BINDIR, DATA, HOST, STATE

__all__ = ["ELSEWHERE", "PLACE", "PORT", "UPSTREAM", "Bed", "made_bed"]

UPSTREAM, PORT, OWN_PORT = f"{SMALL}/cluster", 6010, 6002
# What is not the standby's is below this: victims, and the other ends of mounts and links.
PLACE = "/srv/pgfleet-harm"
ELSEWHERE = f"{PLACE}/elsewhere"
CONNECTIONS = 9
SETTINGS = f"""
port = {OWN_PORT}
listen_addresses = ''
unix_socket_directories = '{SMALL}'
archive_mode = off
checkpoint_timeout = 1d
"""


@dataclass
class Bed(Clone):
    """``backups`` are those of the small cluster, the older one first."""

    backups: list[dict[str, Any]] = field(default_factory=list)

    # --- the upstream ----------------------------------------------------------------

    def start_upstream(self) -> None:
        """It writes nothing of its own accord: what is seen of it before and after is the same."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": PORT,
            "max_connections": CONNECTIONS,
            "max_wal_senders": 5,
            "wal_keep_size": "1GB",
            "autovacuum": "off",
            "checkpoint_timeout": "1d",
        }
        self.pg_ctl("start", UPSTREAM, "--options", " ".join(f"-c {name}={value}" for name, value in settings.items()))
        self.ask_upstream("create role replicator login replication", "vacuum freeze", "checkpoint")

    def ask_upstream(self, *statements: str) -> str:
        return self._psql(PORT, *statements)

    @property
    def upstream(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": PORT, "user": "replicator"}

    # --- the standby -----------------------------------------------------------------

    def keep_standby(self) -> None:
        """A standby of the older backup, with its settings: to be had again and again."""
        done = self.run(backup=self.backups[0])
        assert done.get("action") == "clone", done
        self.host.run(["sh", "-c", f"cat >>{DATA}/postgresql.conf"], user="postgres", input=SETTINGS)
        done = self.recovery()
        assert done.get("changed"), done
        self.up()
        wait_for(self.streams, "the standby to stream")
        self.down()
        self.host.run(["sh", "-euc", f"mkdir {SMALL}/saved; cp -a --parents {DATA} {FAST} {STATE} {SMALL}/saved"])

    def standby(self) -> None:
        """That standby, stopped."""
        self.host.run(["sh", "-euc", f"rm -rf {DATA} {FAST} {STATE}; cp -a {SMALL}/saved/. /"])

    def diverged(self) -> None:
        """It was promoted, and went its own way; it does not run."""
        self.running_primary()
        self.down()

    def running_primary(self) -> None:
        self.standby()
        self.up()
        self.pg_ctl("promote", DATA)
        self.ask("create table astray as select 1", "vacuum freeze", "checkpoint")

    def streaming(self, *settings: str) -> None:
        self.standby()
        self.up(*settings)
        wait_for(self.streams, "the standby to stream")

    def streams(self) -> bool:
        sql = f"select state from pg_stat_replication where application_name = '{HOST}'"
        return self.ask_upstream(sql) == "streaming\n"

    def up(self, *settings: str, data: str = DATA) -> None:
        self.pg_ctl("start", data, "--options", " ".join(f"-c {setting}" for setting in settings))

    def begin(self, *settings: str, status: str) -> None:
        """Start it, and wait for what its postmaster.pid then says."""
        options = " ".join(f"-c {setting}" for setting in settings)
        argv = [f"{BINDIR}/pg_ctl", "start", "--no-wait", "--silent", f"--pgdata={DATA}", f"--log={SMALL}/own.log"]
        self.host.run([*argv, "--options", options], user="postgres")
        self.wait_for_status(status)

    def wait_for_status(self, status: str) -> None:
        def says() -> bool:
            return self.host.run(["sed", "-n", "8p", f"{DATA}/postmaster.pid"], check=False).stdout.strip() == status

        wait_for(says, f"the server to be {status}")

    def down(self, mode: str = "fast", check: bool = True) -> None:
        self.pg_ctl("stop", DATA, f"--mode={mode}", check=check)

    def pg_ctl(self, verb: str, data: str, *arguments: str, check: bool = True) -> None:
        log = [f"--log={SMALL}/own.log"] if verb == "start" else []
        argv = [f"{BINDIR}/pg_ctl", verb, "--wait", "--silent", f"--pgdata={data}", *log, *arguments]
        self.host.run(argv, user="postgres", check=check)

    def ask(self, *statements: str) -> str:
        return self._psql(OWN_PORT, *statements)

    def _psql(self, port: int, *statements: str) -> str:
        argv = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", f"--host={SMALL}", f"--port={port}", "template1"]
        return self.host.run(argv, user="postgres", input=";\n".join([*statements, ""])).stdout

    # --- what is asked ---------------------------------------------------------------

    def recovery(self, **options: Any) -> dict[str, Any]:
        return self.module("standby_recovery", **{**self._standby_options, "passfile": f"{PLACE}/pgpass", **options})

    def preflight(self, **options: Any) -> dict[str, Any]:
        return self.module("standby_preflight", **{**self.options, **self._standby_options, **options})

    @property
    def _standby_options(self) -> dict[str, Any]:
        return {
            "data_directory": DATA,
            "upstream_conninfo": self.upstream,
            "application_name": HOST,
            "restore_command": f"cp {SMALL}/wal/%f %p",
        }

    # --- before and after ------------------------------------------------------------

    def clear(self) -> None:
        """Nothing is there, nothing runs but the upstream, nothing is mounted."""
        self.host.run(["sh", "-c", CLEAR, "clear", DATA, FAST, PLACE])
        self.host.run(["rm", "-rf", PLACE])
        self.host.run(["install", "-d", "-m", "755", "-o", "postgres", "-g", "postgres", PLACE])
        self.empty()


# Mounts first: what is removed afterwards is then this host's alone. Servers are known by their working directory.
CLEAR = """\
servers() {
    for pid in $(pgrep -x postgres; pgrep -x postmaster); do
        case $(readlink /proc/$pid/cwd) in */pgfleet-small/cluster*) ;; ?*) echo $pid ;; esac
    done
}
while servers | grep -q .; do servers | xargs -r kill -KILL; done
chattr -R -f -i "$@"
for top; do
    awk -v top="$top" 'index($5 "/", top "/") == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r -n1 umount
done
true
"""


@contextmanager
def made_bed(lab: Lab) -> Iterator[Bed]:
    """The upstream runs meanwhile; the host is empty before and after."""
    # Of a run that was killed: what nobody can remove, and an upstream.
    lab.host(HOST).run(["chattr", "-R", "-f", "-i", DATA], check=False)
    lab.reset(HOST)
    bed = Bed.on(lab)
    bed.pg_ctl("stop", UPSTREAM, "--mode=immediate", check=False)
    bed.clear()
    remove_small(lab, bed.host)
    try:
        bed.backups = build_small(lab, bed.host)
        bed.options["backup"] = bed.backups[1]
        bed.start_upstream()
        bed.clear()
        bed.keep_standby()
        yield bed
    finally:
        bed.pg_ctl("stop", UPSTREAM, "--mode=immediate", check=False)
        bed.clear()
        bed.host.run(["rm", "-rf", PLACE])
        remove_small(lab, bed.host)
        lab.reset(HOST)
