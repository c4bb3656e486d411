"""The benchmark's own hosts: a primary, a backup host and a target, beside the lab and apart from it."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "molecule" / "lab"))

import image  # noqa: E402 - the lab is a program beside us, not an installed package
from podman import File, Host, LabError, Podman, run  # noqa: E402
from provision import each  # noqa: E402

__all__ = ["ACCOUNTS", "ROOT", "Bench", "File", "Host", "LabError", "capped", "down", "each", "run", "up"]

NETWORK = LABEL = "pgfleet-bench"
# Host, and the account that owns its data.
ACCOUNTS = {
    "b-primary": ("postgres", "/var/lib/postgresql"),
    "b-barman": ("barman", "/var/lib/barman"),
    "b-standby": ("postgres", "/var/lib/postgresql"),
}
READY_MARK = "/etc/pgfleet-bench"
STATE = Path(os.environ.get("LAB_DIR") or ROOT / ".lab").resolve()


@dataclass(frozen=True)
class Bench:
    """The running hosts."""

    state: Path
    podman: Podman
    subnet: ipaddress.IPv4Network
    primary: Host
    barman: Host
    standby: Host

    @property
    def all(self) -> list[Host]:
        return [self.primary, self.barman, self.standby]

    def host(self, name: str) -> Host:
        return {host.name: host for host in self.all}[name]

    @property
    def inventory(self) -> Path:
        return self.state / "inventory.yml"


def up() -> Bench:
    """Start the hosts, or what is missing of them."""
    state = STATE / "bench"
    state.mkdir(parents=True, exist_ok=True)
    podman = Podman(STATE / "containers.conf")
    images = ensure_images(podman)
    if podman("network", "exists", NETWORK, check=False).returncode:
        podman("network", "create", NETWORK)
    subnet = ipaddress.IPv4Network(json.loads(podman("network", "inspect", NETWORK).stdout)[0]["subnets"][0]["subnet"])
    bench = Bench(state, podman, subnet, *(Host(name, address(subnet, name), podman) for name in ACCOUNTS))
    running = states(podman)
    for host in bench.all:
        if host.name not in running:
            boot(host, bench, images)
        elif running[host.name] != "running":
            podman("start", host.container)
    each(Host.wait_booted, bench.all)
    if not all(each(lambda host: host.exists(READY_MARK), bench.all)):
        trust(bench)
        each(lambda host: host.write(READY_MARK, "made by bench/run.py\n"), bench.all)
    return bench


def down() -> None:
    """Remove the hosts and what is on them; images stay."""
    podman = Podman(STATE / "containers.conf")
    found = [Host(name, "", podman).container for name in states(podman)]
    if found:
        podman("rm", "--force", "--volumes", "--time", "0", *found, timeout=300)
    podman("network", "rm", "--force", NETWORK, check=False)


def states(podman: Podman) -> dict[str, str]:
    listed = podman("ps", "--all", "--filter", f"label={LABEL}", "--format", "json").stdout
    return {entry["Labels"][LABEL]: entry["State"] for entry in json.loads(listed or "[]")}


def address(subnet: ipaddress.IPv4Network, name: str) -> str:
    return str(subnet[10 + list(ACCOUNTS).index(name)])


def ensure_images(podman: Podman) -> dict[str, str]:
    base = image.ensure(podman, STATE)
    recipe = HERE / "Containerfile"
    digest = hashlib.sha256(recipe.read_bytes() + "".join(base.values()).encode()).hexdigest()[:12]
    names = {target: f"localhost/pgfleet-bench-{target}:{digest}" for target in base}
    for target, name in names.items():
        if not image.present(podman, name):
            podman(
                "build", "--network", "host", "--target", target, "--tag", name,
                "--build-arg", f"POSTGRES_IMAGE={base['postgres']}", "--build-arg", f"BARMAN_IMAGE={base['barman']}",
                "--file", str(recipe), str(HERE),
                timeout=900,
            )  # fmt: skip
    return names


def boot(host: Host, bench: Bench, images: dict[str, str]) -> None:
    others = [f"--add-host={name}:{address(bench.subnet, name)}" for name in ACCOUNTS if name != host.name]
    host.podman(
        "run", "--detach", "--name", host.container, "--hostname", host.name, "--label", f"{LABEL}={host.name}",
        "--systemd=always", "--privileged", "--shm-size=512m",
        f"--network={NETWORK}", f"--ip={host.address}", *others,
        images["barman" if host is bench.barman else "postgres"],
    )  # fmt: skip


# --- trust -------------------------------------------------------------------

IDENTITY = """
user=$1 home=$2
mkdir -p -m 700 /root/.ssh
install -d -m 700 -o "$user" -g "$user" "$home/.ssh"
[ -e "$home/.ssh/id_ed25519" ] || runuser -u "$user" -- ssh-keygen -q -t ed25519 -N '' -f "$home/.ssh/id_ed25519"
cat /etc/ssh/ssh_host_ed25519_key.pub "$home/.ssh/id_ed25519.pub"
"""


def trust(bench: Bench) -> None:
    """The accounts reach each other, we reach every root; keys are read through the container, not over the wire."""

    def identify(host: Host) -> tuple[str, str]:
        keys = host.run(["sh", "-euc", IDENTITY, "sh", *ACCOUNTS[host.name]]).stdout.splitlines()
        return f"{host.name},{host.address} {keys[0].strip()}\n", f"{keys[1]}\n"

    identities = each(identify, bench.all)
    known = "".join(known for known, _user_key in identities)
    friends = "".join(user_key for _known, user_key in identities)
    control = bench.state / "id_ed25519"
    if not control.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "root@control", "-f", str(control)])
    (bench.state / "known_hosts").write_text(known)
    for host in bench.all:
        user, home = ACCOUNTS[host.name]
        host.put(
            [
                File("/root/.ssh/authorized_keys", control.with_suffix(".pub").read_text(), "root", 0o600),
                File(f"{home}/.ssh/authorized_keys", friends, user, 0o600),
                File(f"{home}/.ssh/known_hosts", known, user, 0o600),
            ]
        )
    write_inventory(bench, control)


def write_inventory(bench: Bench, key: Path) -> None:
    ssh = f"-F none -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={bench.state}/known_hosts"
    lines = [
        "all:",
        "  vars:",
        "    ansible_user: root",
        f"    ansible_ssh_private_key_file: {key}",
        f"    ansible_ssh_common_args: {ssh}",
        "    ansible_python_interpreter: /usr/bin/python3",
        "  hosts:",
        *(f"    {host.name}:\n      ansible_host: {host.address}" for host in bench.all),
    ]
    bench.inventory.write_text("".join(f"{line}\n" for line in lines))


# --- links -------------------------------------------------------------------


@contextmanager
def capped(hosts: list[Host], rate: str | None) -> Iterator[None]:
    """While in here these hosts send no faster than the rate, such as 200mbit."""
    if rate is None:
        yield
        return
    shape = ["root", "tbf", "rate", rate, "burst", "256k", "latency", "50ms"]
    try:
        for host in hosts:
            host.run(["tc", "qdisc", "replace", "dev", "eth0", *shape])
        yield
    finally:
        for host in hosts:
            host.run(["tc", "qdisc", "del", "dev", "eth0", "root"], check=False)
