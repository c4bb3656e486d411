"""A real server in a directory of its own: run as an ordinary user, reachable from this machine only, stopped by us.

It is a child of the tests and gets SIGINT, a fast shutdown, when they end in whatever way.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small, write_atomically
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conf import edit
from ansible_collections.pgfleet.standby.tests.servers.releases import programs_of
from ansible_collections.pgfleet.standby.tests.waiting import BOUND

SUPERUSER = "postgres"
_ACCOUNT = "nobody"
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}
# Small, quick and not durable; a server that crashes is of no use to a test anyway.
_SETTINGS = """
fsync = off
shared_buffers = 16MB
max_connections = 20
max_prepared_transactions = 5
listen_addresses = '127.0.0.1'
wal_level = replica
autovacuum = off
log_min_messages = warning
"""


def as_user(path: Path) -> None:
    """Give what root has written to the user that servers run as."""
    if os.geteuid() == 0:
        account = pwd.getpwnam(_ACCOUNT)
        for place in [path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())]:
            # What is the user's already keeps its time of change, by which we know what a server has loaded.
            if place.lstat().st_uid != account.pw_uid:
                os.lchown(place, account.pw_uid, account.pw_gid)


def _command(argv: list[str]) -> list[str]:
    """A server refuses to run as root."""
    prefix = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        account = pwd.getpwnam(_ACCOUNT)
        prefix += ["--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups"]
    return [*prefix, *argv]


def free_port() -> int:
    """A port of the loopback interface that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """One data directory and, while it runs, the server on it. ``top`` holds its socket and its log."""

    major: int
    top: Path
    data: Path
    port: int = field(default_factory=free_port)
    path: str = "/usr/bin:/bin"
    _process: subprocess.Popen[bytes] | None = None
    _session: Any = None

    @classmethod
    def create(cls, major: int, top: Path, *options: str) -> Server:
        """A fresh cluster in ``top``, not started; the options are initdb's."""
        server = cls(major, top, top / "data")
        argv = ["-D", str(server.data), "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-locale", "-N", *options]
        subprocess.run(
            _command([server.program("initdb"), *argv]),
            cwd=top,
            env=_ENVIRONMENT,
            check=True,
            timeout=BOUND,
            stdout=subprocess.DEVNULL,
        )
        with (server.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(_SETTINGS)
            file.write("wal_keep_size = 64MB\n" if major >= 13 else "wal_keep_segments = 64\n")
        return server

    def program(self, name: str) -> str:
        """The path of one of the server programs."""
        return str(programs_of(self.major) / name)

    @property
    def log(self) -> Path:
        """What the server has said."""
        return self.top / "log"

    @property
    def conninfo(self) -> dict[str, str]:
        """How to reach it through its socket."""
        return {"host": str(self.top), "port": str(self.port), "user": SUPERUSER}

    def copy(self, data: Path) -> Server:
        """Another server on a copy of the data directory, its socket and log beside that. This one is restarted."""
        self.stop()
        shutil.copytree(self.data, data, symlinks=True)
        as_user(data.parent)
        self.start()
        return Server(self.major, data.parent, data)

    def copied(self, place: Path) -> Server:
        """Another server on a copy of the data directory of this one, which does not run."""
        subprocess.run(["cp", "-a", str(self.data), str(place / "data")], check=True)
        return Server(self.major, place, place / "data")

    def edit(self, name: str, wanted: Mapping[str, str]) -> None:
        """Settings as the collection writes them, into a file of the data directory."""
        self.put(name, edit(read_small(str(self.data / name)) or "", wanted))

    def put(self, name: str, text: str) -> None:
        """A text file of the data directory."""
        write_atomically(str(self.data / name), text)
        as_user(self.data / name)

    def make_standby(self, wanted: Mapping[str, str]) -> None:
        """Recovery settings, and what makes the server heed them."""
        if self.major >= 12:
            self.edit("standby.signal", {})
            self.edit("postgresql.auto.conf", wanted)
        else:
            self.edit("recovery.conf", {"standby_mode": "on", **wanted})

    def start(self, settings: Mapping[str, str] | None = None, wait: bool = True) -> None:
        """Start it and wait until it answers. Raises RuntimeError with its log when it does not."""
        options = {"unix_socket_directories": str(self.top), "port": str(self.port), **(settings or {})}
        argv = [self.program("postgres"), "-D", str(self.data)]
        for name, value in options.items():
            argv += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                _command(argv),
                cwd=self.top,
                env={**_ENVIRONMENT, "PATH": self.path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until it answers. Raises RuntimeError with its log when it does not."""
        end = time.monotonic() + BOUND
        while time.monotonic() < end and self._process is not None and self._process.poll() is None:
            with suppress(psycopg2.OperationalError):
                self._session = self.connect()
                return
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"PostgreSQL {self.major} did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    def stop(self, kind: signal.Signals = signal.SIGINT) -> None:
        """Stop it, if it runs: fast, or at once by SIGQUIT. One that does not obey is killed."""
        if self._session is not None:
            self._session.close()
            self._session = None
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(kind)
        try:
            process.wait(BOUND)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def kill(self) -> None:
        """End it as a crash does; nothing is written any more."""
        self.stop(signal.SIGQUIT)

    def promote(self) -> None:
        """Have a standby begin a timeline of its own."""
        argv = [self.program("pg_ctl"), "promote", "-D", str(self.data)]
        subprocess.run(_command(argv), cwd=self.top, check=True, capture_output=True)

    @property
    def running(self) -> bool:
        """Whether the process that we started is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The postmaster that we started."""
        return self._process.pid if self._process is not None else None

    def connect(self, **keywords: Any) -> Any:
        """A session of its own, each statement a transaction."""
        connection = psycopg2.connect(
            **{**self.conninfo, "dbname": "postgres", "connect_timeout": int(BOUND), **keywords}
        )
        connection.autocommit = True
        return connection

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement, in the one session that is kept."""
        with self._session.cursor() as cursor:
            cursor.execute(statement, values or None)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def reload(self) -> None:
        """Have it read its configuration again, and wait until our session has done so, too."""
        [(before,)] = self.sql("SELECT pg_conf_load_time()")
        self.sql("SELECT pg_reload_conf()")
        self.wait_for("SELECT pg_conf_load_time() > %s", before)

    def wait_for(self, statement: str, *values: Any) -> None:
        """Wait until a question is answered with true. Raises TimeoutError."""
        end = time.monotonic() + BOUND
        while self.sql(statement, *values) != [(True,)]:
            if time.monotonic() > end:
                raise TimeoutError(f"{statement} {values}:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.01)


def make_top(prefix: str) -> Path:
    """A directory for servers: with a short name, as a socket's path is, and open to the user that they run as."""
    top = Path(tempfile.mkdtemp(prefix=prefix))
    top.chmod(0o755)
    as_user(top)
    return top
