"""Backups of every kind by every Barman of a release's lab, each copied by every method into a server that runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

from lab import Lab
from modules import Modules
from podman import BOUND, Host
from standby import DIGEST

__all__ = ["KINDS", "METHODS", "Barman", "Copy", "Found", "Kind", "Source", "expected", "try_all"]

METHODS = ("rsync", "barman")
WORKS, NOT_TAKEN = "works", "cannot be taken"
NO_KEEP = "has none"
PASSPHRASE = "of a test"


@dataclass(frozen=True)
class Kind:
    """A kind of backup: how Barman is told to take it, the versions that can, and what tells that it is one.

    ``refused`` is the error code where nobody can copy it.
    """

    settings: str
    told: Mapping[str, str | None]
    barman: tuple[int, ...] = (2, 12)
    postgres: int = 13
    refused: str | None = None


def packed(compression: str, barman: tuple[int, ...] = (3, 4)) -> Kind:
    """Of those that are here, that Barman is the oldest which knows it."""
    settings = f"backup_method = postgres\nbackup_compression = {compression}"
    return Kind(settings, {"type": "full", "compression": compression}, barman)


KINDS = {
    "rsync": Kind("backup_method = rsync\nssh_command = ssh barman@barman", {"type": "rsync"}),
    "local-rsync": Kind("backup_method = local-rsync", {"type": "rsync"}),
    "postgres": Kind("backup_method = postgres", {"type": "full", "compression": None}),
    "none": packed("none", (3, 11)),
    "gzip": packed("gzip"),
    "lz4": packed("lz4"),
    "zstd": packed("zstd"),
    "incremental": Kind("backup_method = postgres", {"type": "incremental"}, (3, 11), 17),
    "encrypted": Kind(
        "backup_method = postgres\nbackup_compression = gzip\nbackup_compression_format = tar\nencryption = gpg\n"
        f"encryption_key_id = matrix@example.com\nencryption_passphrase_command = echo {PASSPHRASE}",
        {"encryption": "gpg"},
        (3, 14),
    ),
    # Made of a plain one, whose record is changed: real ones are had in a cloud only.
    "snapshot": Kind("backup_method = postgres", {}, refused="no_usable_backup"),
}
# Those of which it is tried whether Barman keeps them, the second one by the backup on which it rests.
KEPT = ("postgres", "incremental")


def expected(kind: Kind, barman: tuple[int, ...], postgres: int) -> dict[str, str]:
    """What has to become of it by each method."""
    if barman < kind.barman or postgres < kind.postgres:
        word = NOT_TAKEN
    else:
        word = f"refused: `{kind.refused}`" if kind.refused else WORKS
    return dict.fromkeys(METHODS, word)


# --- what is backed up ----------------------------------------------------------------

PLACE = "/srv/matrix"
FAST = f"{PLACE}/fast"
PORT = "5440"
DIGESTS = [DIGEST.format(table) for table in ("rows", '"odd ""name"" of a table"', "elsewhere")]
# Every Barman gets every segment, under a name of its own.
ARCHIVE = f"""\
#!/bin/sh
set -e
cp "$1" "{PLACE}/wal/$2"
for incoming in {PLACE}/barman-*/*/incoming; do
    [ ! -d "$incoming" ] || ln -f "{PLACE}/wal/$2" "$incoming/$2"
done
"""
START = f"""\
set -eu
umask 077
export PATH=$1:$PATH LC_ALL=C PGHOST=/tmp PGPORT={PORT} PGDATABASE=postgres
cd {PLACE}
mkdir wal fast
initdb -D source --auth=trust --no-sync --no-locale --encoding=UTF8 --wal-segsize=1 >initdb.log
cat >>source/postgresql.conf <<END
port = {PORT}
listen_addresses = '*'
unix_socket_directories = '/tmp'
fsync = off
wal_level = replica
max_wal_senders = 20
archive_mode = on
archive_timeout = 1
archive_command = '{PLACE}/archive %p %f'
$2
END
echo 'host all,replication all all trust' >>source/pg_hba.conf
pg_ctl -D source -w -l log start >/dev/null
psql -qXc "UPDATE pg_database SET datistemplate = false" -c "DROP DATABASE template0" -c "DROP DATABASE template1"
psql -qX <<END
CREATE TABLESPACE fast LOCATION '{FAST}';
CREATE TABLE rows AS SELECT n, repeat(md5(n::text), 9) AS t FROM generate_series(1, 5000) AS n;
CREATE TABLE "odd ""name"" of a table" AS SELECT E'a\\tb' AS t;
CREATE TABLE elsewhere TABLESPACE fast AS SELECT n FROM generate_series(1, 5000) AS n;
END
# RSA: Barman asks `file` whether WAL is encrypted, which does not know messages for newer keys.
gpg --batch --quiet --pinentry-mode loopback --passphrase "$3" \\
    --quick-gen-key matrix@example.com rsa2048 cert,sign,encr never
cat ~/.ssh/id_ed25519.pub >>~/.ssh/authorized_keys
"""


@dataclass(frozen=True)
class Source:
    """A small cluster on the Barman host, of Barman's user. Its contents stay what they are."""

    lab: Lab

    def start(self) -> None:
        host, release = self.lab.barman, self.lab.release
        host.run(["install", "-d", "-m", "755", "-o", "barman", "-g", "barman", PLACE])
        host.write(f"{PLACE}/archive", ARCHIVE, mode=0o755)
        summarize = "summarize_wal = on" if release.postgres >= KINDS["incremental"].postgres else ""
        host.run(["sh", "-c", START, "sh", release.bindir, summarize, PASSPHRASE], user="barman")

    def sql(self, *statements: str) -> list[str]:
        argv = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "/tmp", "-p", PORT, "-U", "barman"]
        done = self.lab.barman.run([*argv, *(f"-c{sql}" for sql in statements), "postgres"], user="barman")
        return done.stdout.split("\n")

    def contents(self) -> list[str]:
        return self.sql(*DIGESTS)


# --- what backs up --------------------------------------------------------------------

CONF = """\
[barman]
barman_user = barman
barman_home = {home}
log_file = {home}/log
immediate_checkpoint = true
backup_options = concurrent_backup
path_prefix = {bindir}
archiver = on

[{kind}]
description = of a test
conninfo = host=localhost port={port} user=barman dbname=postgres
streaming_conninfo = host=localhost port={port} user=barman
{settings}
"""


@dataclass(frozen=True)
class Barman:
    """One of the Barmans of a host, Debian's or that of ``/opt/barmans``. It has a server for each kind of backup."""

    source: Source
    name: str = "debian"

    @property
    def host(self) -> Host:
        return self.source.lab.barman

    @property
    def executable(self) -> str:
        return "barman" if self.name == "debian" else f"/opt/barmans/{self.name}/bin/barman"

    @property
    def home(self) -> str:
        return f"{PLACE}/barman-{self.name}"

    @property
    def version(self) -> str:
        said = self.host.run([self.executable, "-v"], user="barman").stdout
        return re.search(r"\d+(\.\d+)+", said).group()  # type: ignore[union-attr]

    def conf(self, kind: str) -> str:
        return f"{self.home}/{kind}.conf"

    def asked(self, kind: str) -> dict[str, str]:
        """The options by which our modules ask it."""
        place = {"barman_host": "barman@barman", "barman_server": kind, "barman_config": self.conf(kind)}
        return {**place, "barman_executable": self.executable}

    def make(self) -> None:
        """Configure it, and have WAL arrive."""
        bindir = self.source.lab.release.bindir
        values = {"home": self.home, "bindir": bindir, "port": PORT}
        incoming = [f"{self.home}/{kind}/incoming" for kind in KINDS]
        self.host.run(["mkdir", "-p", "-m", "700", *incoming], user="barman")
        for name, kind in KINDS.items():
            self.host.write(self.conf(name), CONF.format(kind=name, settings=kind.settings, **values), owner="barman")
        self.source.sql("SELECT pg_create_restore_point('matrix')", "SELECT pg_switch_wal()")

    def remove(self) -> None:
        self.host.run(["rm", "-rf", self.home])

    def take(self, kind: str) -> str:
        """Take a backup of that kind; why that cannot be done, in Barman's own words."""
        self.run(kind, "archive-wal", kind)
        said = self._backup(kind)
        if kind == "incremental" and not said:
            # Other blocks with the same contents.
            self.source.sql("UPDATE rows SET t = t WHERE n <= 100", "UPDATE elsewhere SET n = n")
            said = self._backup(kind, "--incremental", "latest")
        if kind == "snapshot" and not said:
            files = ["find", f"{self.home}/{kind}", "-name", "*backup.info"]
            change = ["-exec", "sed", "-i", "s/^mode=.*/mode=snapshot-concurrent/", "{}", "+"]
            self.host.run([*files, *change], user="barman")
        return said

    def _backup(self, kind: str, *options: str) -> str:
        done = self.run(kind, "backup", "--wait", "--wait-timeout", "300", *options, kind)
        if done.returncode == 0:
            return ""
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        return next((line for line in lines if re.search("error: |exception: |impossible", line, re.I)), lines[0])

    def run(self, kind: str, *argv: str) -> Any:
        command = [self.executable, "-c", self.conf(kind), *argv]
        return self.host.run(command, user="barman", check=False)

    def left(self, kind: str) -> str:
        """What of a restore is left on its host, and who claims what."""
        places = f"find {self.home}/{kind}/pgfleet-staging; find ~/.pgfleet/claims -name '*{kind}*'"
        look = ["sh", "-c", f"{{ {places}; }} 2>/dev/null"]
        return self.host.run(look, user="barman", check=False).stdout


# --- what copies ----------------------------------------------------------------------

SETTINGS = """\
recovery_target = 'immediate'
recovery_target_timeline = 'current'
restore_command = '{get_wal}'
"""


@dataclass
class Copy(Modules):
    """A standby's host, on which one copy after the other is made and started."""

    @property
    def data(self) -> str:
        return self.lab.release.data

    def empty(self) -> None:
        stop = [f"{self.lab.release.bindir}/pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={self.data}"]
        self.host.run(stop, user="postgres", check=False)
        top, name = self.data.rsplit("/", 1)
        self.host.run(["rm", "-rf", self.data, f"{top}/.{name}.standby", PLACE])
        self.host.run(["install", "-d", "-m", "700", "-o", "postgres", "-g", "postgres", top, self.data, PLACE, FAST])

    @property
    def untouched(self) -> bool:
        return not self.host.run(["find", self.data, FAST, "-mindepth", "1"]).stdout

    def contents(self, get_wal: str = "false") -> list[str]:
        """Of a server that has been started on the copy; what it logged where that did not come to an end."""
        add = ["sh", "-c", f"cat >>{self.data}/postgresql.auto.conf"]
        self.host.run(add, user="postgres", input=SETTINGS.format(get_wal=get_wal))
        pg_ctl = [f"{self.lab.release.bindir}/pg_ctl", f"--timeout={BOUND:.0f}"]
        start = [*pg_ctl, "start", "--wait", f"--pgdata={self.data}"]
        log = f"{PLACE}/log"
        if self.host.run([*start, f"--log={log}"], user="postgres", check=False).returncode:
            return self.host.read(log).splitlines()
        psql = ["psql", "-XAtq", "-h", "/tmp", "-p", PORT, "-U", "barman", *(f"-c{sql}" for sql in DIGESTS)]
        return self.host.run([*psql, "postgres"], user="postgres", check=False).stdout.split("\n")


# --- one with the other ---------------------------------------------------------------


@dataclass
class Found:
    """What became of a kind by each method, what was said where it does not work, and whether Barman keeps it."""

    cells: dict[str, str] = field(default_factory=dict)
    said: str = ""
    keep: str | None = None


class UnfinishedError(Exception):
    """A result of ours that failed, as the text that says so."""


def done(result: dict[str, Any]) -> dict[str, Any]:
    if result.get("failed"):
        raise UnfinishedError(result.get("error_code"), result["msg"])
    return result


@dataclass(frozen=True)
class Trial:
    """One kind of backup by one Barman, and the host that it is copied to."""

    barman: Barman
    kind: str
    copy: Copy
    contents: Sequence[str]

    def run(self) -> Found:
        said = self.barman.take(self.kind)
        if said:
            return Found(dict.fromkeys(METHODS, NOT_TAKEN), said)
        try:
            chosen = self._ask("barman_backup_info", backup_id="latest")["selected"]
        except UnfinishedError as failed:
            return Found(dict.fromkeys(METHODS, f"refused: `{failed.args[0]}`"), failed.args[1])
        told = KINDS[self.kind].told.items()
        other = [f"{name} {chosen[name] or 'none'}" for name, value in told if chosen[name] != value]
        if other:
            return Found(dict.fromkeys(METHODS, NOT_TAKEN), f"nothing, but it takes one of {' and '.join(other)}")
        found = Found(keep=self._kept(chosen) if self.kind in KEPT else None)
        for method in METHODS:
            found.cells[method], said = self._cell(method, chosen)
            found.said = found.said or said
        return found

    def _cell(self, method: str, chosen: dict[str, Any]) -> tuple[str, str]:
        self.copy.empty()
        try:
            (self._pull if method == "rsync" else self._push)(chosen)
        except UnfinishedError as failed:
            clean = self.copy.untouched and not self.barman.left(self.kind)
            return f"{'refused' if clean else '**fails**'}: `{failed.args[0]}`", failed.args[1]
        left = self.barman.left(self.kind)
        if left:
            return "**leaves something**", left
        command = f"{self.barman.executable} -c {self.barman.conf(self.kind)} get-wal {self.kind}"
        contents = self.copy.contents(f"ssh barman@barman {command} %f >%p")
        self.copy.empty()
        return (WORKS, "") if contents == self.contents else ("**differs**", "; ".join(contents[-5:]))

    def _pull(self, chosen: dict[str, Any]) -> None:
        """As the role does: what only Barman can unpack is staged, and the standby copies that."""
        claim = {"backup": chosen, "owner": self.copy.host.name}
        staged = self.kind in ("incremental", "encrypted")
        backup = self._ask("barman_backup_stage", **claim)["backup"] if staged else chosen
        try:
            self._fill("standby_clone", backup=backup, barman_host="barman@barman")
        finally:
            if staged:
                self._ask("barman_backup_stage", state="absent", **claim)

    def _push(self, chosen: dict[str, Any]) -> None:
        way = {"remote_ssh_command": f"ssh postgres@{self.copy.host.name}"}
        self._fill("standby_restore", backup=chosen, **self.barman.asked(self.kind), **way)

    def _fill(self, module: str, **options: Any) -> None:
        done(self.copy.module(module, data_directory=self.copy.data, **options))

    def _kept(self, chosen: dict[str, Any]) -> str:
        claim = {"backup": chosen, "owner": self.copy.host.name}
        pin = self._ask("barman_backup_keep", **claim)
        status = self.barman.run(self.kind, "keep", "--status", self.kind, pin["backup_id"]).stdout
        self._ask("barman_backup_keep", state="absent", **claim)
        after = self.barman.run(self.kind, "keep", "--status", self.kind, pin["backup_id"]).stdout
        if pin["pinned"]:
            return "yes" if ("full" in status, "nokeep" in after) == (True, True) else f"{status} {after}"
        return NO_KEEP if "has no `keep`" in pin["why"] else str(pin["why"])

    def _ask(self, module: str, **options: Any) -> dict[str, Any]:
        return done(self.copy.module(module, **self.barman.asked(self.kind), **options))


def try_all(barman: Barman, copies: Sequence[Copy], contents: Sequence[str]) -> dict[str, Found]:
    """Every kind, as many side by side as there are hosts."""
    free: Queue[Copy] = Queue()
    for copy in copies:
        free.put(copy)

    def one(kind: str) -> Found:
        copy = free.get()
        try:
            return Trial(barman, kind, copy, contents).run()
        finally:
            free.put(copy)

    # The longest first.
    kinds = sorted(KINDS, key=lambda kind: kind not in ("incremental", "encrypted"))
    with ThreadPoolExecutor(len(copies)) as pool:
        found = dict(zip(kinds, pool.map(one, kinds), strict=True))
    return {kind: found[kind] for kind in KINDS}
