# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Barman host without a network: an ssh that runs the command here, and a small backup for the real rsync."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import fields
from pathlib import Path

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Entry, Files, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.listing import target_of
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import (
    Consent,
    Job,
    Result,
    Target,
    TransferOptions,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._files import private_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.backup_manifest import (
    ManifestEntry,
    render_manifest,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.rsync import copy
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.marks import Marked
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    BACKUP_ID,
    CONTROL_TEXT,
    FIXTURES,
    LABEL,
    backup,
)
from ansible_collections.pgfleet.standby.tests.waiting import wait_until

# The other end of an ssh is this host: what a hook makes of the command is run here.
FAR_END = """\
while :; do
    case $1 in
    -[oliFp]) shift 2 ;;
    --) shift; break ;;
    -*) shift ;;
    *) break ;;
    esac
done
shift
command=$*
[ ! -e "{root}/hook" ] || . "{root}/hook"
exec sh -c "$command"
"""
SSH = f"""\
#!/bin/sh
printf '%s\\0' "$@" "
" >>"{{root}}/argv"
{FAR_END}"""
# In a hook: what a worker's connection runs, and what pulls files, be it one that is fetched by itself or a shard.
CONNECTS, PULLS, PULLS_A_SHARD = "cat)", "*--server*)", "*nice*--server*)"

# Every server was recorded with the one kind of backup that it has. The oldest has no plural in its commands' names.
BARMAN = r"""#!/bin/sh
cd '{recorded}' || exit 1
say() {{ /bin/cat "$1"; exit "${{2:-0}}"; }}
kind() {{ case $1 in pg) echo rsync ;; *) echo "${{1#pg_}}" ;; esac }}
[ "$1" != --config ] || shift 2
case $* in
-v) say version.txt ;;
*"show-server{s} nosuch") say unknown-server-show-servers.json 1 ;;
*" nosuch") say unknown-server.json 1 ;;
*"show-server{s} "*) sed 's|"pg": {{|"'"$4"'": {{|; s|\(/barman[^/]*\)/pg|\1/'"$4|g" show-servers.json ;;
*"check pg_empty") say check-failed.json 1 ;;
*"check pg") say check.json ;;
*"list-backup{s} pg") say list-backups.json ;;
*"list-backup{s} pg_"*) say "list-backups-${{4#pg_}}.json" ;;
*"show-backup "*)
    grep -q '"backup_id": "'"$5"'"' "show-backup-$(kind "$4").json" || say unknown-backup.json 1
    say "show-backup-$(kind "$4").json" ;;
*) exit 99 ;;
esac
"""
# backup.info at the place where it was found, and nowhere else.
CAT = """\
#!/bin/sh
for kind in rsync postgres gzip; do
    case $kind in rsync) server=pg ;; *) server=pg_$kind ;; esac
    case $1 in
    */barman*/"$server/$(/bin/cat '{recorded}'/backup-$kind.info.places)")
        exec /bin/cat '{recorded}'/backup-$kind.info ;;
    esac
done
exec /bin/cat "$@"
"""


def _rows(size: int) -> str:
    """Text of which no page is like another."""
    return "".join(f"{row:8}" for row in range(size // 8))


DATA = {
    "PG_VERSION": "15\n",
    "backup_label": LABEL,
    "base/1/1259": "r" * 8192,
    "base/1/2619": _rows(40000),
    "base/1/pg_internal.init": "cache",
    "base/5/two words": "w",
    "base/5/-rf": "d",
    "base/5/line\nfeed": "l",
    "base/5/umlaut-ä": "u",
    "base/5/empty": "",
    "global/1262": "d" * 8192,
    "global/pg_control": CONTROL_TEXT,
    "log/postgresql.log": "secret of the source",
    "pg_hba.conf": "local all all peer\n",
    "pg_wal/000000010000000000000003": "w" * 1000,
    "pg_xact/0000": "x" * 8192,
    "postgresql.auto.conf": "work_mem = '8MB'\nprimary_conninfo = 'host=other'\nrecovery_target_time = '2020-01-01'\n",
    "postgresql.conf": "port = 5432\n",
    "postmaster.pid": "1\n",
    "standby.signal": "of the source",
}
TABLESPACE = {"PG_15_202209061/5/16390": _rows(50000), "PG_15_202209061/5/16390_fsm": "f" * 24576}
NOT_COPIED = {
    "base/1/pg_internal.init",
    "log/postgresql.log",
    "pg_wal/000000010000000000000003",
    "postmaster.pid",
    "standby.signal",
}


# Names that a shell, rsync or a line of text would take for something else.
HOSTILE = [
    "two words",
    " lead",
    "-rf",
    "#comment",
    ";comment",
    "it's",
    '"',
    "$(id)",
    "`id`",
    "*",
    "[a]",
    "back\\slash",
    "line\nfeed",
    "umlaut-ä",
    "\udcff\udcfe",
]


def write_tree(top: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        os.utime(path, ns=(1, 1_700_000_000_123_456_789))


def read_tree(top: Path) -> dict[str, str]:
    """Every file below a directory with its text, every link with its target."""
    found = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = text_of(path)
        elif not path.is_dir():
            found[name] = "special"
    return found


def text_of(path: Path) -> str:
    """A file as read_tree has it."""
    return path.read_bytes().decode("utf-8", "surrogateescape")


def root_of(source: Path, target: Path, **changed) -> Root:
    """The tree of all files that are in a directory now."""
    places = [path for path in source.rglob("*") if path.is_file()]
    return Root(
        **{
            "oid": None,
            "source": str(source),
            "target": str(target),
            "files": Files(
                Entry("f", path.stat().st_size, path.stat().st_mtime_ns, str(path.relative_to(source)))
                for path in places
            ),
            "directories": tuple(sorted({str(path.parent.relative_to(source)) for path in places} - {"."})),
            **changed,
        }
    )


def make_tar(top: Path, archive: Path) -> None:
    """Put a tree into a tar as pg_basebackup does, pg_control last. The files go."""
    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(top.rglob("*"), key=lambda path: path.name == "pg_control"):
            tar.add(path, str(path.relative_to(top)), recursive=False)
    shutil.rmtree(top)
    top.mkdir()


def broken_sync(_handle):
    """In the place of syncfs(2), of a disk that has lost a write."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


class FakeBarmanHost:
    """Its backup, and what a copy from it needs on this side."""

    def __init__(self, root: Path, monkeypatch) -> None:
        self.root = root
        self.programs = root / "bin"
        self.backup_directory = root / "barman" / "pg" / "base" / BACKUP_ID
        self.data = self.backup_directory / "data"
        self.tablespace = self.backup_directory / "16388"
        self.pgdata = root / "standby" / "pgdata"
        self.fast = root / "standby" / "fast"
        self.state = root / "standby" / ".pgdata.standby"
        self.pgdata.parent.mkdir()
        self.program("ssh", SSH.replace("{root}", str(root)))
        self.program("postgres", "#!/bin/sh\n")
        self.program("sync", "#!/bin/sh\n")  # a real one waits for whatever else this machine has to write
        monkeypatch.setenv("PATH", f"{self.programs}:{os.environ['PATH']}")
        write_tree(self.data, DATA)
        (self.data / "PG_VERSION").chmod(0o600)  # no access for the group, whatever the umask is here
        write_tree(self.tablespace, TABLESPACE)
        for name in ("pg_tblspc", "pg_notify", "base/empty"):
            (self.data / name).mkdir(parents=True)

    def program(self, name: str, text: str, directory: Path | None = None) -> Path:
        directory = directory or self.programs
        directory.mkdir(exist_ok=True)
        path = directory / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o700)
        return path

    def start(self, name: str, directory: Path | str) -> subprocess.Popen:
        """A process of that name which works in a directory; it ends with its stdin."""
        program = self.program(name, "#!/bin/sh\nread -r end\n", self.root / "processes")
        process = subprocess.Popen([program], cwd=directory, stdin=subprocess.PIPE)
        wait_until(lambda: Path(f"/proc/{process.pid}/comm").read_text(encoding="utf-8") == f"{name}\n")
        return process

    def hook(self, text: str) -> None:
        """Shell code that every ssh runs first; ``$command`` is what it was asked to run."""
        (self.root / "hook").write_text(text, encoding="utf-8")

    def healthy(self) -> None:
        (self.root / "hook").unlink()

    def calls(self) -> list[list[str]]:
        """The arguments of every ssh."""
        path = self.root / "argv"
        records = path.read_text(encoding="utf-8").split("\0\n\0")[:-1] if path.exists() else []
        return [record.split("\0") for record in records]

    def connects(self) -> int:
        """How often a connection was opened for others to share."""
        return sum("ControlMaster=yes" in call for call in self.calls())

    def forget_calls(self) -> None:
        (self.root / "argv").unlink(missing_ok=True)

    def install_barman(self, version: str, recordings: str = "barman") -> None:
        """A barman that prints what this version printed when it was recorded."""
        recorded = FIXTURES / recordings / version
        self.program("barman", BARMAN.format(recorded=recorded, s="" if version == "2.12" else "s"))
        self.program("cat", CAT.format(recorded=recorded))

    def write_manifest(self, algorithm: str = "SHA256", tablespaces: bool = True) -> None:
        """The backup gets a manifest of what it holds now. Checksums of an algorithm unknown here are made up.

        One that Barman makes itself knows no tablespaces.
        """

        def promise(prefix: str, top: Path, path: Path) -> ManifestEntry:
            content = path.read_bytes()
            known = algorithm.lower() in hashlib.algorithms_available
            checksum = hashlib.new(algorithm, content).digest() if known else bytes(4)
            return ManifestEntry(f"{prefix}{path.relative_to(top)}", len(content), algorithm, checksum)

        (self.data / "backup_manifest").unlink(missing_ok=True)
        tops = {"": self.data, **({"pg_tblspc/16388/": self.tablespace} if tablespaces else {})}
        found = [(*top, path) for top in tops.items() for path in top[1].rglob("*") if path.is_file()]
        write_tree(self.data, {"backup_manifest": render_manifest(promise(*place) for place in found)})

    def pack(self, program: str | None = "gzip") -> None:
        """The backup is in tars from now on, compressed by the real program."""
        self.write_manifest()
        shutil.move(self.data / "backup_manifest", self.root)
        tars = [self.root / "base.tar", self.root / "16388.tar"]
        for top, tar in zip((self.data, self.tablespace), tars, strict=True):
            make_tar(top, tar)
            if program is not None:
                # lz4 would write to its standard output.
                subprocess.run([program, "-q", tar, *([f"{tar}.lz4"] if program == "lz4" else [])], check=True)
                tar.unlink(missing_ok=True)
        for path in [self.root / "backup_manifest", *self.root.glob("*.tar*")]:
            shutil.move(path, self.data)

    @property
    def source(self) -> BarmanHost:
        return BarmanHost("barman@backup-host")

    def backup(self, **changed):
        return backup(**{"directory": str(self.backup_directory), **changed})

    def job(self, **changed) -> Job:
        """A job of which a test changes some fields, whatever part of it they are in."""
        of = changed.pop("backup", None) or self.backup()
        given = {
            "data_directory": str(self.pgdata),
            "state_directory": str(self.state),
            "bindir": str(self.programs),
            "lock_timeout": 0,
            **changed,
        }
        if "tablespaces" not in given:
            mapping = {"/srv/tablespaces/fast": str(self.fast)} if of.tablespaces else {}
            given["tablespaces"] = target_of(of, mapping)

        def part(kind):
            return kind(**{field.name: given.pop(field.name) for field in fields(kind) if field.name in given})

        parts = {"target": part(Target), "consent": part(Consent), "transfer": part(TransferOptions)}
        return Job(of, given.pop("barman_host", self.source), **parts, **given)

    def copy(self, **changed) -> Result:
        """A whole copy in this process, in a scratch directory as the process of its own has it."""
        job, work = self.job(**changed), self.root / "work"
        private_directory(job.target.state_directory)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        with contextlib.chdir(work):
            return copy(job, Progress(f"{job.target.state_directory}/progress.json"))

    @property
    def record(self) -> dict:
        """Where the copy stands."""
        return json.loads((self.state / "state.json").read_text(encoding="utf-8"))

    def change_record(self, **changed) -> None:
        (self.state / "state.json").write_text(json.dumps({**self.record, **changed}), encoding="utf-8")

    def mark(self, *places: Path | str) -> None:
        """Let these directories be those of the unfinished copy that the record tells of."""
        marked = Marked.of("5f" * 16, {str(place): str(place) for place in places})
        marked.put()
        self.change_record(marked=marked.noted)

    def second_backup(self, **changed):
        """Another backup of the same cluster."""
        name = "20261122T000000"
        shutil.copytree(self.backup_directory, self.backup_directory.parent / name, copy_function=shutil.copy2)
        return self.backup(**{"backup_id": name, "directory": str(self.backup_directory.parent / name), **changed})
