"""How a server comes to run on a standby's data directory that must stay as it is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bed import CONNECTIONS, ELSEWHERE, UPSTREAM, Bed
from podman import wait_for
from small_cluster import SMALL
from standby_host import BINDIR, DATA

# Takes connections until the server has none to spare, says so, and keeps them.
TAKE_ALL = """\
import psycopg2, sys
held = []
try:
    while True:
        held.append(psycopg2.connect(host=sys.argv[1], port=sys.argv[2], dbname="template1"))
except psycopg2.OperationalError:
    print(len(held), flush=True)
sys.stdin.read()
"""
# Runs what follows in namespaces of its own, where a directory, $1, is mounted at a place, $2; as the database's user.
IN_NAMESPACE = """\
mount --make-rprivate /
mkdir -p "$2"
mount --bind "$1" "$2"
shift 2
exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
"""


def streaming(bed: Bed) -> None:
    bed.streaming()


def without_a_socket(bed: Bed) -> None:
    bed.streaming("unix_socket_directories=", "listen_addresses=127.0.0.1")


def with_a_relative_socket(bed: Bed) -> None:
    bed.streaming("unix_socket_directories=.")


def hot_standby_off(bed: Bed) -> None:
    bed.standby()
    bed.begin("hot_standby=off", status="standby")


def hba_rejects(bed: Bed) -> None:
    bed.standby()
    bed.host.run(["sh", "-c", f"echo 'local all all reject' >{DATA}/pg_hba.conf"], user="postgres")
    bed.begin(status="ready")


def starting(bed: Bed) -> None:
    """It replays, and does not get on: its restore_command waits for a segment that nobody sends."""
    bed.standby()
    bed.host.run(["sh", "-c", f"rm -f {SMALL}/never; mkfifo {SMALL}/never"], user="postgres")
    line = f"restore_command = 'cat {SMALL}/never'"
    bed.host.run(["sh", "-c", f'echo "$1" >>{DATA}/postgresql.auto.conf', "sh", line], user="postgres")
    bed.begin(status="starting")


@contextmanager
def sessions(bed: Bed, place: str, port: int) -> Iterator[None]:
    """All connections of a server are taken, those for superusers included."""
    argv = bed.host.command(["python3", "-c", TAKE_ALL, place, str(port)], "postgres")
    holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=bed.host.podman.env)
    assert holder.stdout is not None
    try:
        assert int(holder.stdout.readline()) > 0
        yield
    finally:
        holder.communicate()  # the end of its input is its end


@contextmanager
def connections_used_up(bed: Bed) -> Iterator[None]:
    bed.streaming(f"max_connections={CONNECTIONS}")
    with sessions(bed, SMALL, 6002):
        yield


@contextmanager
def stopping(bed: Bed) -> Iterator[None]:
    bed.streaming(f"max_connections={CONNECTIONS}")
    with sessions(bed, SMALL, 6002):
        stop = [f"{BINDIR}/pg_ctl", "stop", "--no-wait", "--silent", "--mode=smart", f"--pgdata={DATA}"]
        bed.host.run(stop, user="postgres")
        bed.wait_for_status("stopping")
        yield


@contextmanager
def no_sender_to_spare(bed: Bed) -> Iterator[None]:
    """The role that streams may not log in once more."""
    bed.streaming()
    bed.ask_upstream("alter role replicator connection limit 1")
    try:
        yield
    finally:
        bed.ask_upstream("alter role replicator connection limit -1")


def primary(bed: Bed) -> None:
    bed.running_primary()


def the_upstream_itself(bed: Bed) -> dict[str, Any]:
    return {"data_directory": UPSTREAM, "state_directory": f"{ELSEWHERE}.state", "tablespace_mapping": {}}


# --- seen from elsewhere -----------------------------------------------------------------


def bind_mounted(bed: Bed) -> None:
    """The server's path is another than ours, of the same directory."""
    _promoted(bed)
    bed.host.run(["sh", "-euc", f"mkdir -p {ELSEWHERE}; mount --bind {DATA} {ELSEWHERE}"])
    bed.up(data=ELSEWHERE)


def in_a_mount_namespace(bed: Bed) -> None:
    _promoted(bed)
    _run_in(bed, ["--mount"], DATA, ELSEWHERE)


def in_a_pid_namespace(bed: Bed) -> None:
    """As in a container: its postmaster.pid has a number that is another process's here, or nobody's."""
    _promoted(bed)
    _run_in(bed, ["--mount", "--pid", "--fork", "--mount-proc"], DATA, ELSEWHERE)


def at_the_same_path_in_a_namespace(bed: Bed) -> None:
    """A server of another directory that is mounted at this very path, for that server alone. Ours is stopped."""
    _promoted(bed)
    bed.host.run(["sh", "-euc", f"cp -a {DATA} {ELSEWHERE}"])
    bed.standby()
    _run_in(bed, ["--mount"], ELSEWHERE, DATA, f"{ELSEWHERE}/postmaster.pid")


def under_another_name(bed: Bed) -> None:
    """As PGDG's RPM units start it; its postmaster.pid was removed, and it is held: else it would end itself."""
    _promoted(bed)
    link = f"ln -sf {BINDIR}/postgres {SMALL}/postmaster"
    bed.host.run(["sh", "-euc", f"{link}; exec {SMALL}/postmaster -D {DATA} >>{SMALL}/own.log 2>&1 &"], user="postgres")
    bed.wait_for_status("ready")
    bed.host.run(["sh", "-euc", f"kill -STOP $(head -n 1 {DATA}/postmaster.pid); rm {DATA}/postmaster.pid"])


def _promoted(bed: Bed) -> None:
    """A primary of this cluster, which no level of consent lets anybody replace while it runs."""
    bed.running_primary()
    bed.down()


def _run_in(
    bed: Bed, namespaces: list[str], directory: str, place: str, pid_file: str = f"{DATA}/postmaster.pid"
) -> None:
    server = [f"{BINDIR}/postgres", "-D", place]
    words = ["unshare", *namespaces, "sh", "-euc", IN_NAMESPACE, "sh", directory, place, *server]
    bed.host.run(["sh", "-c", f'exec "$@" >>{SMALL}/namespace.log 2>&1 &', "sh", *words])

    def ready() -> bool:
        return bed.host.run(["sed", "-n", "8p", pid_file], check=False).stdout.strip() == "ready"

    wait_for(ready, "the server in its namespace")
