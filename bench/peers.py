"""Who is compared: how each is set up, called on an empty directory, and called again on a full one."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import BACKREST_CONF, TARGET, Dataset
from hosts import ACCOUNTS, ROOT, Bench, File, Host, LabError, run
from measure import Meter, Stopwatch

__all__ = [
    "ARGUMENTS",
    "BEFORE",
    "FLOOR",
    "MODULE_ROOT",
    "OLDER",
    "PEERS",
    "Peer",
    "builds",
    "install_before",
    "install_module",
    "module_argv",
    "versions",
    "write_arguments",
    "write_configurations",
]

FLOOR = "/srv/bench-floor"
MODULE_ROOT = "/opt/bench"
ARGUMENTS = f"{MODULE_ROOT}/clone.json"
OLDER = f"{MODULE_ROOT}/older.json"  # of the backup from before the change
BEFORE = f"{MODULE_ROOT}/before"  # an earlier build of ours
MODULES = "ansible_collections/pgfleet/standby/plugins"
BARMAN = "/opt/barman/bin/barman"  # the newest; `barman` is Debian's
REPMGR_CONF = "/etc/repmgr.conf"

Command = Callable[[Dataset], list[str]]


@dataclass(frozen=True)
class Peer:
    """``again`` is the command for a directory that is full already, None where the tool has no way with one."""

    name: str
    what: str
    host: str
    fresh: Command
    again: Command | None = None
    control: bool = False  # started on our side instead of in the host
    own_backup: bool = False  # restores another backup than the rest, taken a moment later

    def time(self, bench: Bench, meter: Meter, data: Dataset, again: bool = False) -> Stopwatch:
        command = self.again if again else self.fresh
        if command is None:
            raise LabError(f"{self.name} knows only empty directories")
        if self.control:
            return time_here(command(data), bench)
        return meter.time(bench.host(self.host), ACCOUNTS[self.host][0], command(data))

    def places(self, data: Dataset) -> list[str]:
        return [FLOOR] if self.name == "floor" else [TARGET, data.tablespace]

    def where(self, bench: Bench) -> Host:
        """The host that holds the result."""
        return bench.barman if self.name == "floor" else bench.standby


# --- ours ------------------------------------------------------------------------------


def module_argv(module: str, arguments: str, *prefix: str, path: str = "", root: str = MODULE_ROOT) -> list[str]:
    """A module run directly, its options in a file: the time is the module's own."""
    code = f"{root}/lib/{MODULES}/modules/{module}.py"
    return ["env", f"PYTHONPATH={path or root + '/lib'}", *prefix, "python3", code, arguments]


def install_module(bench: Bench) -> None:
    """The checkout's modules and what they import, and what stands before ssh and rsync to trace them."""
    host = bench.standby
    host.run(["rm", "-rf", MODULE_ROOT])
    install_build(host, ROOT / "plugins", MODULE_ROOT)
    host.podman("cp", str(ROOT / "bench" / "onhost"), f"{host.container}:{MODULE_ROOT}/onhost")
    host.run(["mkdir", f"{MODULE_ROOT}/bin"])
    host.put(
        [
            File(
                f"{MODULE_ROOT}/bin/{name}",
                f'#!/bin/sh\nexec python3 {MODULE_ROOT}/onhost/{name}.py "$@"\n',
                mode=0o755,
            )
            for name in ("ssh", "rsync")
        ]
    )
    host.run(["chown", "-R", "postgres:postgres", MODULE_ROOT])


def install_before(bench: Bench, commit: str) -> None:
    """The modules of an earlier commit of this repository, beside the checkout's."""
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "plugins.tar"
        run(["git", "-C", str(ROOT), "archive", f"--output={archive}", commit, "plugins"])
        run(["tar", "-xf", str(archive), "-C", scratch])
        install_build(bench.standby, Path(scratch) / "plugins", BEFORE)
    bench.standby.run(["chown", "-R", "postgres:postgres", BEFORE])


def install_build(host: Host, plugins: Path, root: str) -> None:
    """A build's modules and module_utils, and ansible-core's module_utils, compiled."""
    found = importlib.util.find_spec("ansible")
    if found is None or not found.submodule_search_locations:
        raise LabError("ansible-core is not installed for this Python (make bench brings its own)")
    ansible = Path(found.submodule_search_locations[0])
    lib = f"{root}/lib"
    host.run(["mkdir", "-p", f"{lib}/ansible", f"{lib}/{MODULES}"])
    for source, target in (
        (ansible / "module_utils", f"{lib}/ansible/module_utils"),
        (plugins / "module_utils", f"{lib}/{MODULES}/module_utils"),
        (plugins / "modules", f"{lib}/{MODULES}/modules"),
    ):
        host.podman("cp", str(source), f"{host.container}:{target}")
    host.put([File(f"{lib}/ansible/__init__.py", "")])
    host.run(["python3", "-m", "compileall", "-q", lib], check=False)


def write_arguments(
    bench: Bench, meter: Meter, data: Dataset, more: Mapping[str, Any], root: str = MODULE_ROOT
) -> None:
    """The options of a build's standby_clone: the backup as its barman_backup_info returns it, and more to try out."""
    for backup_id, file in ((data.backup_id, ARGUMENTS), (data.older, OLDER)):
        if not backup_id:
            continue
        source = {"barman_host": "barman@b-barman", "barman_server": data.name, "barman_executable": BARMAN}
        choosing = f"{root}/choose.json"
        bench.standby.write(choosing, json.dumps({"ANSIBLE_MODULE_ARGS": {**source, "backup_id": backup_id}}))
        chosen = meter.time(bench.standby, "postgres", module_argv("barman_backup_info", choosing, root=root))
        if chosen.rc:
            raise LabError(f"barman_backup_info: {chosen.out or chosen.err}")
        backup = json.loads(chosen.out)["selected"]
        options = {
            "barman_host": source["barman_host"],
            "backup": backup,
            "data_directory": TARGET,
            "overwrite": "same_cluster",
            **more,
        }
        bench.standby.write(of_build(file, root), json.dumps({"ANSIBLE_MODULE_ARGS": options}))
        if root == MODULE_ROOT and file == ARGUMENTS:
            (bench.state / "clone.json").write_text(json.dumps(options))


def builds(before: str | None) -> list[str]:
    """Where each build that is measured lies on the target."""
    return [MODULE_ROOT, BEFORE] if before else [MODULE_ROOT]


def of_build(file: str, root: str) -> str:
    return file.replace(MODULE_ROOT, root, 1)


def ours(data: Dataset) -> list[str]:
    return module_argv("standby_clone", ARGUMENTS)


def before(data: Dataset) -> list[str]:
    return module_argv("standby_clone", of_build(ARGUMENTS, BEFORE), root=BEFORE)


def ours_by_ansible(data: Dataset) -> list[str]:
    return ["ansible", "b-standby", "--become", "--become-user", "postgres", "-m", "pgfleet.standby.standby_clone"]


def time_here(argv: list[str], bench: Bench) -> Stopwatch:
    """Ansible's ad-hoc command, with its own start, connections and packing of the module."""
    command = [*argv, "--inventory", str(bench.inventory), "-a", (bench.state / "clone.json").read_text()]
    env = {
        **os.environ,
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_ALLOW_WORLD_READABLE_TMPFILES": "0",
    }
    begin = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, check=False)
    return Stopwatch(done.returncode, time.monotonic() - begin, done.stdout, done.stderr)


# --- the others ------------------------------------------------------------------------


def repmgr(data: Dataset, *options: str) -> list[str]:
    source = ["-h", "b-primary", "-p", str(data.port), "-U", "repmgr", "-d", "repmgr"]
    return ["repmgr", "-f", REPMGR_CONF, *source, "standby", "clone", *options]


def write_configurations(bench: Bench, data: Dataset) -> None:
    lines = [
        "node_id=2",
        "node_name='b-standby'",
        "conninfo='host=b-standby user=repmgr dbname=repmgr'",
        f"data_directory='{TARGET}'",
        "pg_bindir='/usr/lib/postgresql/15/bin'",
        "barman_host='barman@b-barman'",
        f"barman_server='{data.name}'",
    ]
    backrest = [
        "[global]",
        "repo1-host=b-barman",
        "repo1-host-user=barman",
        f"repo1-host-config={BACKREST_CONF}.{data.name}",
        "process-max=2",
        "log-level-console=warn",
        "log-level-file=off",
        "lock-path=/tmp/pgbackrest",
        f"[{data.name}]",
        f"pg1-path={TARGET}",
    ]
    bench.standby.put([File(REPMGR_CONF, text(lines)), File(BACKREST_CONF, text(backrest))])


def text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def barman(data: Dataset, *options: str) -> list[str]:
    """With --get-wal it copies no WAL, as nobody else does here."""
    over = ["--remote-ssh-command", "ssh postgres@b-standby"]
    how = ["--jobs", "2", "--get-wal", "--standby-mode", *options]
    return [BARMAN, "recover", *how, *over, data.name, data.backup_id, TARGET]


def pg_basebackup(data: Dataset) -> list[str]:
    source = ["-h", "b-primary", "-p", str(data.port), "-U", "postgres"]
    return ["pg_basebackup", *source, "-D", TARGET, "-c", "fast", "-X", "none"]


def pgbackrest(data: Dataset, *options: str) -> list[str]:
    return ["pgbackrest", f"--stanza={data.name}", "--type=standby", *options, "restore"]


def rsync(data: Dataset) -> list[str]:
    copies = [f"rsync -a barman@b-barman:{source}/ {target}/" for source, target in data.trees]
    return ["sh", "-c", " && ".join(copies)]


def floor(data: Dataset) -> list[str]:
    return ["sh", "-c", f"cp -a {shlex.quote(data.directory)} {FLOOR}/ && sync --file-system {FLOOR}"]


PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("ours", "standby_clone, the whole module, verified and synced", "b-standby", ours, ours),
        Peer("before", "the same of an earlier build, with --before", "b-standby", before, before),
        Peer(
            "ansible", "the same by an ad-hoc command of Ansible", "b-standby", ours_by_ansible, ours_by_ansible, True
        ),
        Peer(
            "repmgr", "repmgr standby clone from Barman 3.4", "b-standby", repmgr, lambda data: repmgr(data, "--force")
        ),
        Peer("barman", "barman recover --jobs 2", "b-barman", barman, lambda data: barman(data, "--delta-restore")),
        Peer("pg_basebackup", "pg_basebackup -c fast -X none", "b-standby", pg_basebackup),
        Peer(
            "pgbackrest",
            "pgbackrest restore, lz4 repository, process-max=2",
            "b-standby",
            pgbackrest,
            lambda data: pgbackrest(data, "--delta"),
            own_backup=True,
        ),
        Peer("rsync", "rsync -a over ssh", "b-standby", rsync, rsync),
        Peer("floor", "cp -a and sync -f within the backup host", "b-barman", floor),
    )
}


def versions(bench: Bench) -> dict[str, str]:
    """What was compared, by its own words."""
    asked = {
        "postgresql": (bench.standby, ["psql", "--version"]),
        "repmgr": (bench.standby, ["repmgr", "--version"]),
        "barman": (bench.barman, [BARMAN, "--version"]),
        "barman for repmgr": (bench.barman, ["barman", "--version"]),
        "pgbackrest": (bench.standby, ["pgbackrest", "version"]),
        "rsync": (bench.standby, ["rsync", "--version"]),
        "python": (bench.standby, ["python3", "--version"]),
    }
    said = {name: host.run(argv, check=False).stdout.strip().splitlines()[0] for name, (host, argv) in asked.items()}
    said["openssh"] = bench.standby.run(["ssh", "-V"]).stderr.split(",")[0].strip()
    installed = run(["ansible", "--version"], check=False).stdout.splitlines()
    said["ansible"] = installed[0].strip() if installed else "none"
    return said
