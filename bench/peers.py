"""Who is compared: how each is set up, called on an empty directory, and called again on a full one."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
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
    "FLOOR",
    "MODULE_ROOT",
    "OLDER",
    "PEERS",
    "Peer",
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


def module_argv(module: str, arguments: str, *prefix: str, path: str = f"{MODULE_ROOT}/lib") -> list[str]:
    """A module run directly, its options in a file: the time is the module's own."""
    code = f"{MODULE_ROOT}/lib/{MODULES}/modules/{module}.py"
    return ["env", f"PYTHONPATH={path}", *prefix, "python3", code, arguments]


def install_module(bench: Bench) -> None:
    """The modules and what they import, on the target: the checkout's plugins and ansible-core's module_utils."""
    found = importlib.util.find_spec("ansible")
    if found is None or not found.submodule_search_locations:
        raise LabError("ansible-core is not installed for this Python (make bench brings its own)")
    ansible = Path(found.submodule_search_locations[0])
    lib = f"{MODULE_ROOT}/lib"
    host = bench.standby
    host.run(["rm", "-rf", MODULE_ROOT])
    host.run(["mkdir", "-p", f"{lib}/ansible", f"{lib}/{MODULES}"])
    for source, target in (
        (ansible / "module_utils", f"{lib}/ansible/module_utils"),
        (ROOT / "plugins" / "module_utils", f"{lib}/{MODULES}/module_utils"),
        (ROOT / "plugins" / "modules", f"{lib}/{MODULES}/modules"),
        (ROOT / "bench" / "onhost", f"{MODULE_ROOT}/onhost"),
    ):
        host.podman("cp", str(source), f"{host.container}:{target}")
    host.run(["mkdir", f"{MODULE_ROOT}/bin"])
    shims = [
        File(f"{MODULE_ROOT}/bin/{name}", f'#!/bin/sh\nexec python3 {MODULE_ROOT}/onhost/{name}.py "$@"\n', mode=0o755)
        for name in ("ssh", "rsync")
    ]
    host.put([File(f"{lib}/ansible/__init__.py", ""), *shims])
    host.run(["python3", "-m", "compileall", "-q", lib], check=False)
    host.run(["chown", "-R", "postgres:postgres", MODULE_ROOT])


def write_arguments(bench: Bench, meter: Meter, data: Dataset, more: Mapping[str, Any]) -> None:
    """The options of standby_clone: the backup as barman_backup_info returns it, and more, to try things out."""
    for backup_id, file in ((data.backup_id, ARGUMENTS), (data.older, OLDER)):
        if not backup_id:
            continue
        source = {"barman_host": "barman@b-barman", "barman_server": data.name, "barman_executable": BARMAN}
        choosing = f"{MODULE_ROOT}/choose.json"
        bench.standby.write(choosing, json.dumps({"ANSIBLE_MODULE_ARGS": {**source, "backup_id": backup_id}}))
        chosen = meter.time(bench.standby, "postgres", module_argv("barman_backup_info", choosing))
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
        bench.standby.write(file, json.dumps({"ANSIBLE_MODULE_ARGS": options}))
        if file == ARGUMENTS:
            (bench.state / "clone.json").write_text(json.dumps(options))


def ours(data: Dataset) -> list[str]:
    return module_argv("standby_clone", ARGUMENTS)


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
