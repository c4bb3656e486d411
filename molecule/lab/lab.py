"""The lab: a primary, a Barman host and empty standbys, as containers that behave like machines.

Commands:
    lab.py install                       what this machine needs, from Debian
    lab.py up [--standbys N] [--scale S] [--all-backups]
    lab.py status | down | image
    lab.py backup [SERVER]
    lab.py reset [HOST...]               standbys back to empty
    lab.py exec HOST [--user U] -- ARGV...

With --release bullseye|bookworm|trixie|forky before the command: a lab of that Debian's own packages, beside the
main one and apart from it.
"""

from __future__ import annotations

import argparse
import fcntl
import ipaddress
import json
import os
import secrets
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import image
import provision
from podman import Host, LabError, Podman, run
from release import MAIN, RELEASES, Release

SCALE = 24  # of pgbench: a cluster of about 400 MB
STANDBY_LIMIT = 32
TOTAL_SIZE = "select pg_size_pretty(sum(pg_database_size(oid))) from pg_database"
STATE = Path(os.environ.get("LAB_DIR") or Path(__file__).resolve().parents[2] / ".lab").resolve()


@dataclass(frozen=True)
class Lab:
    """The running lab. `Lab.load()` finds it; `lab.host("n1").run([...])` works in it."""

    state: Path
    subnet: ipaddress.IPv4Network
    podman: Podman
    hosts: dict[str, Host]
    release: Release

    @classmethod
    def load(cls, release: Release = MAIN) -> Lab:
        podman = Podman(STATE / "containers.conf")
        found = podman("network", "inspect", release.lab, check=False)
        if found.returncode:
            raise LabError("the lab is down (lab.py up)")
        subnet = ipaddress.IPv4Network(json.loads(found.stdout)[0]["subnets"][0]["subnet"])
        names = sorted(containers(podman, release), key=rank)
        hosts = {name: Host(name, address(subnet, name), podman, release) for name in names}
        return cls(release.state(STATE), subnet, podman, hosts, release)

    def host(self, name: str) -> Host:
        try:
            return self.hosts[name]
        except KeyError:
            raise LabError(f"no host {name}; the lab has {', '.join(self.hosts) or 'none'}") from None

    @property
    def primary(self) -> Host:
        return self.host("primary")

    @property
    def barman(self) -> Host:
        return self.host("barman")

    @property
    def standbys(self) -> list[Host]:
        return [host for name, host in self.hosts.items() if name.startswith("n")]

    @property
    def inventory(self) -> Path:
        return self.state / "inventory.yml"

    @property
    def secrets(self) -> dict[str, str]:
        """The passwords of the database roles."""
        loaded: dict[str, str] = json.loads((self.state / "secrets.json").read_text())
        return loaded

    def primary_sql(self, sql: str, db: str = "postgres") -> str:
        return provision.psql(self.primary, sql, db)

    def backup(self, server: str = "pg") -> None:
        provision.backup(self.barman, server)

    def reset(self, *names: str) -> None:
        provision.each(provision.reset, [self.host(name) for name in names] or self.standbys)


# --- which hosts, and where --------------------------------------------------


def rank(name: str) -> int:
    return int(name[1:]) + 10 if name.startswith("n") else ("primary", "barman").index(name)


def address(subnet: ipaddress.IPv4Network, name: str) -> str:
    """Addresses follow from names, so every host knows all others before they exist."""
    return str(subnet[10 + rank(name)])


def containers(podman: Podman, release: Release) -> dict[str, str]:
    """Name and state of each of the lab's containers."""
    listed = podman("ps", "--all", "--filter", f"label={release.lab}", "--format", "json").stdout
    return {entry["Labels"][release.lab]: entry["State"] for entry in json.loads(listed or "[]")}


def boot(host: Host, subnet: ipaddress.IPv4Network, images: dict[str, str]) -> None:
    everyone = ("primary", "barman", *(f"n{number}" for number in range(1, STANDBY_LIMIT + 1)))
    names = [f"--add-host={name}:{address(subnet, name)}" for name in everyone if name != host.name]
    lab, systemd = host.release.lab, host.release.systemd
    host.podman(
        "run", "--detach", "--name", host.container, "--hostname", host.name, "--label", f"{lab}={host.name}",
        f"--systemd={'always' if systemd else 'false'}", "--privileged", "--shm-size=256m",
        f"--network={lab}", f"--ip={host.address}", *names,
        *(f"--env={variable}" for variable in host.release.environment),
        images["barman" if host.name == "barman" else "postgres"],
        *([] if systemd else ["sshd-main"]),
    )  # fmt: skip


# --- up and down -------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.began = time.monotonic()

    def say(self, what: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {what}", flush=True)


def up(standbys: int, scale: int, all_backups: bool, release: Release = MAIN) -> None:
    if not 0 <= standbys <= STANDBY_LIMIT:
        raise LabError(f"between 0 and {STANDBY_LIMIT} standbys")
    clock = Clock()
    release.state(STATE).mkdir(parents=True, exist_ok=True)
    podman = Podman(STATE / "containers.conf")
    images = image.ensure(podman, STATE, release)
    clock.say("images are there")
    if podman("network", "exists", release.lab, check=False).returncode:
        podman("network", "create", release.lab)
    wanted = ["primary", "barman", *(f"n{n}" for n in range(1, standbys + 1))]
    fresh = ensure_hosts(Lab.load(release), wanted, images)
    lab = Lab.load(release)
    if fresh:
        clock.say(f"booted {', '.join(fresh)}")
        furnish(lab, [lab.host(name) for name in fresh], scale, clock)
    for server in ("pg_postgres", "pg_gzip") if all_backups else ():
        lab.backup(server)
        clock.say(f"backup of {server} done")
    clock.say(f"the lab is up: {', '.join(lab.hosts)}; inventory {lab.inventory}")


def ensure_hosts(lab: Lab, wanted: list[str], images: dict[str, str]) -> list[str]:
    """Start what is stopped, make what is missing or was left half made; return the new ones."""
    states = containers(lab.podman, lab.release)
    stopped = [host for name, host in lab.hosts.items() if states[name] != "running"]
    provision.each(lambda host: lab.podman("start", host.container), stopped)
    provision.each(Host.wait_booted, stopped)
    ready = provision.each(lambda host: host.exists(provision.READY_MARK), list(lab.hosts.values()))
    half_made = [host for host, done in zip(lab.hosts.values(), ready, strict=True) if not done]
    remove(lab.podman, half_made)
    fresh = [name for name in wanted if name not in lab.hosts] + [host.name for host in half_made]
    made = [Host(name, address(lab.subnet, name), lab.podman, lab.release) for name in fresh]
    provision.each(lambda host: boot(host, lab.subnet, images), made)
    provision.each(Host.wait_booted, made)
    return fresh


def furnish(lab: Lab, fresh: list[Host], scale: int, clock: Clock) -> None:
    """Trust and accounts on all hosts while the primary, the slow one, is loaded."""
    new_primary = lab.primary in fresh
    if new_primary:
        passwords = {role: secrets.token_urlsafe(18) for role in provision.ROLES}
        write_private(lab.state / "secrets.json", json.dumps(passwords))
    if not (lab.state / "secrets.json").exists():
        raise LabError(f"{lab.state} does not belong to the running lab (lab.py down first)")
    with ThreadPoolExecutor() as pool:
        loading = new_primary and pool.submit(provision.seed_primary, lab.primary, lab.secrets, str(lab.subnet), scale)
        connect(lab)
        clock.say("hosts trust each other's keys")
        if loading:
            loading.result()
            clock.say(f"primary has {lab.primary_sql(TOTAL_SIZE)} of data")
    if lab.barman in fresh:
        provision.start_barman(lab.barman)
        lab.backup("pg")
        clock.say("backup of pg done")
    provision.each(provision.mark_ready, fresh)


def connect(lab: Lab) -> None:
    hosts = list(lab.hosts.values())
    write_private(lab.state / "known_hosts", provision.trust(hosts, control_key(lab.state)))
    write_inventory(lab)
    provision.each(lambda host: provision.passwords(host, lab.secrets), [h for h in hosts if h != lab.primary])


def down(release: Release = MAIN) -> None:
    podman, state = Podman(STATE / "containers.conf"), release.state(STATE)
    remove(podman, [Host(name, "", podman, release) for name in containers(podman, release)])
    podman("network", "rm", "--force", release.lab, check=False)
    shutil.rmtree(state / "ssh", ignore_errors=True)
    for name in ("inventory.yml", "known_hosts", "secrets.json"):
        (state / name).unlink(missing_ok=True)


def remove(podman: Podman, hosts: list[Host]) -> None:
    if hosts:
        podman("rm", "--force", "--volumes", "--time", "0", *(host.container for host in hosts))


# --- the control side --------------------------------------------------------


def write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)


def control_key(state: Path) -> str:
    key = state / "ssh" / "id_ed25519"
    if not key.exists():
        key.parent.mkdir(mode=0o700, exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "root@control", "-f", str(key)])
    return key.with_suffix(".pub").read_text()


def write_inventory(lab: Lab) -> None:
    """One group, the standbys: a group named like its only host would make Ansible warn in every run."""
    ssh = f"-F none -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={lab.state}/known_hosts"
    lines = [
        "---",
        "all:",
        "  vars:",
        "    ansible_user: root",
        f"    ansible_ssh_private_key_file: {lab.state}/ssh/id_ed25519",
        f"    ansible_ssh_common_args: {ssh}",
        "    ansible_python_interpreter: /usr/bin/python3",
        "  hosts:",
        *(f"    {host.name}:\n      ansible_host: {host.address}" for host in lab.hosts.values()),
        "  children:",
        "    standbys:",
        "      hosts:" if lab.standbys else "      hosts: {}",
        *(f"        {host.name}:" for host in lab.standbys),
    ]
    lab.inventory.write_text("".join(f"{line}\n" for line in lines))


def status(release: Release) -> None:
    lab = Lab.load(release)
    states = containers(lab.podman, release)
    for name, host in lab.hosts.items():
        units = ["systemctl", "list-units", "--plain", "--no-legend", "postgresql@*", "barman-cron.timer"]
        shown = host.run(units, check=False).stdout if states[name] == "running" else ""
        services = ", ".join(" ".join((line.split()[0], line.split()[3])) for line in shown.splitlines())
        print(f"{name:8} {host.address:15} {states[name]:8} {services or '-'}")


def execute(release: Release, name: str, user: str, argv: list[str]) -> None:
    """Become the command inside the host: its terminal, its output, its exit code."""
    host = Lab.load(release).host(name)
    terminal = ["--tty"] if sys.stdin.isatty() else []
    command = ["podman", "exec", "--interactive", *terminal, "--user", user, host.container, *argv]
    os.execvpe("podman", command, host.podman.env)


# --- command line ------------------------------------------------------------


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", choices=RELEASES, help="the lab of that Debian instead of the main one")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in ("install", "image", "down", "status"):
        commands.add_parser(name)
    starting = commands.add_parser("up")
    starting.add_argument("--standbys", type=int, default=2)
    starting.add_argument("--scale", type=int, default=SCALE, help="of pgbench, for a new primary")
    starting.add_argument("--all-backups", action="store_true", help="also of pg_postgres and pg_gzip")
    commands.add_parser("backup").add_argument("server", nargs="?", default="pg")
    commands.add_parser("reset").add_argument("hosts", nargs="*", help="all standbys when none is named")
    executing = commands.add_parser("exec")
    executing.add_argument("host")
    executing.add_argument("--user", default="root")
    executing.add_argument("argv", nargs="+")
    return parser.parse_args(argv)


def dispatch(options: argparse.Namespace) -> None:
    release = RELEASES.get(options.release, MAIN)
    match options.command:
        case "install":
            STATE.mkdir(parents=True, exist_ok=True)
            with open(STATE / "install.lock", "w") as lock:
                # Two gates may want the same packages at the same time; apt does not wait for itself.
                fcntl.flock(lock, fcntl.LOCK_EX)
                image.install()
        case "image":
            STATE.mkdir(parents=True, exist_ok=True)
            images = image.ensure(Podman(STATE / "containers.conf"), STATE, release)
            print("\n".join(sorted(set(images.values()))))
        case "up":
            up(options.standbys, options.scale, options.all_backups, release)
        case "down":
            down(release)
        case "status":
            status(release)
        case "backup":
            Lab.load(release).backup(options.server)
        case "reset":
            Lab.load(release).reset(*options.hosts)
        case "exec":
            execute(release, options.host, options.user, options.argv)


def main() -> int:
    try:
        dispatch(parse(sys.argv[1:]))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
