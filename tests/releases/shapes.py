"""Hosts in other shapes than the lab makes them, out of what a lab's host has."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from play import Playbook, Run
from podman import Host, wait_for
from standby import Standby

README = Path(__file__).resolve().parents[2] / "README.md"
# The README's hosts, as the lab has them.
NAMES = {"backup.example.com": "barman", "primary.example.com": "primary"}
PREFIX = "standby_from_barman_"


def readme_inputs(platform: str) -> dict[str, Any]:
    """The inputs of the role as the README's first page gives them, without the role's name."""
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    [inventory] = [block for block in blocks if block.startswith("# inventory")]
    [red_hat] = [block for block in blocks if "/var/lib/pgsql/" in block]
    for theirs, ours in NAMES.items():
        inventory = inventory.replace(theirs, ours)
    inputs = yaml.safe_load(inventory)["all"]["children"]["standbys"]["vars"]
    if platform == "Red Hat":
        inputs.update(yaml.safe_load(red_hat))
    return {name.removeprefix(PREFIX): value for name, value in inputs.items()}


@dataclass
class Shaped(Standby):
    """A standby that plays with the README's inputs."""

    inputs: dict[str, Any] = field(default_factory=dict)

    def play(self, *arguments: str, **extra: object) -> Run:
        return Playbook(self.lab.inventory).run(f"--limit={self.name}", *arguments, **{**self.inputs, **extra})

    def main_process(self, unit: str) -> str:
        return self.host.run(["systemctl", "show", "--property=MainPID", "--value", unit]).stdout.strip()

    def environment(self) -> list[str]:
        """What the server has found in its environment."""
        return self.host.read(f"/proc/{self.started[0]}/environ").split("\0")

    def streams_after_a_reboot(self) -> None:
        """Nothing but the reboot is done, and new rows of the primary come."""
        self.host.podman("restart", "--time", "60", self.host.container)
        self.host.wait_booted()
        answers = ["pg_isready", "--quiet"]
        wait_for(lambda: self.host.run(answers, user="postgres", check=False).returncode == 0, "the server to answer")
        self.follow()


# --- Debian, as apt leaves it ---------------------------------------------------------------


APT = """
sed -i /create_main_cluster/d /etc/postgresql-common/createcluster.conf
# What apt has dpkg run after it has unpacked the package for the first time.
DPKG_MAINTSCRIPT_PACKAGE=postgresql-$1 DPKG_MAINTSCRIPT_NAME=postinst \\
    sh /var/lib/dpkg/info/postgresql-$1.postinst configure ''
"""


def apt_leaves_it(host: Host) -> None:
    """The package's own script has made the cluster `main` and started it."""
    host.run(["sh", "-euc", APT, "sh", str(host.release.postgres)])


# --- Red Hat and its kin, with the PGDG's packages ------------------------------------------

HOME = "/var/lib/pgsql"
# What the PGDG's package has, but for OOMScoreAdjust: not every machine lets a container have it.
UNIT = """\
[Unit]
Description=PostgreSQL {major} database server
After=network-online.target
[Service]
Type=notify
User=postgres
Group=postgres
Environment=PGDATA={home}/{major}/data/
Environment=PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj
Environment=PG_OOM_ADJUST_VALUE=0
ExecStartPre=/usr/pgsql-{major}/bin/postgresql-{major}-check-db-dir ${{PGDATA}}
ExecStart=/usr/pgsql-{major}/bin/postgres -D ${{PGDATA}}
ExecReload=/bin/kill -HUP $MAINPID
KillMode=mixed
KillSignal=SIGINT
TimeoutSec=0
TimeoutStartSec=0
TimeoutStopSec=1h
[Install]
WantedBy=multi-user.target
"""
CHECK = """\
#!/bin/sh
[ -f "$1/PG_VERSION" ] && [ -d "$1/base" ] && exit 0
echo "$1 is missing or empty." >&2
exit 1
"""
# Of Debian's tools nothing is left: no cluster is known, and no generator starts one.
RED_HAT = """
systemctl stop 'postgresql@*' postgresql.service
dpkg -L postgresql-common postgresql-client-common |
    grep -E '^/(etc|usr/s?bin|(usr/)?lib/systemd)/' |
    while read -r file; do [ -d "$file" ] || rm -f "$file"; done
rm -rf /etc/postgresql /etc/postgresql-common
mkdir "/usr/pgsql-$1"
mv "$2" "/usr/pgsql-$1/bin"
# A server that was moved looks for these beside its programs.
ln -s "${2%/bin}/lib" "/usr/pgsql-$1/lib"
ln -s "/usr/share/postgresql/$1" "/usr/pgsql-$1/share"
ln -sf "/usr/pgsql-$1/bin/psql" "/usr/pgsql-$1/bin/pg_isready" /usr/bin/
install -d -o postgres -g postgres -m 700 "$3" "$3/$1"
cp -a /var/lib/postgresql/.ssh /var/lib/postgresql/.pgpass "$3/"
rm -rf /var/lib/postgresql
usermod --home "$3" postgres
"""


def becomes_red_hat(host: Host) -> None:
    """The PGDG's layout, of Debian's own programs. No cluster is there yet, and the unit is disabled."""
    release = host.release
    major = release.postgres
    host.run(["sh", "-euc", RED_HAT, "sh", str(major), release.bindir, HOME])
    bindir = f"/usr/pgsql-{major}/bin"
    host.write(f"{bindir}/postgresql-{major}-check-db-dir", CHECK, mode=0o755)
    host.write(f"/usr/lib/systemd/system/postgresql-{major}.service", UNIT.format(major=major, home=HOME))
    host.run(["systemctl", "daemon-reload"])


# --- logind, which ends what a login has started ---------------------------------------------

LOGIN = "deploy"
# The lab's image does without logind, which needs a bus.
LOGIND = """
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends dbus libpam-systemd >/dev/null 2>&1
useradd --create-home --shell /bin/bash "$1"
install -d -m 700 -o "$1" -g "$1" "/home/$1/.ssh"
install -m 600 -o "$1" -g "$1" /root/.ssh/authorized_keys "/home/$1/.ssh/"
echo "$1 ALL=(ALL) NOPASSWD: ALL" >"/etc/sudoers.d/$1"
mkdir -p /etc/systemd/logind.conf.d
printf '[Login]\nKillUserProcesses=yes\n' >/etc/systemd/logind.conf.d/kill.conf
systemctl unmask systemd-logind
systemctl daemon-reload
systemctl start dbus.socket dbus.service
systemctl restart systemd-logind
"""


def logs_in_by_logind(host: Host) -> None:
    """A user who may become any other logs in; what the user has started ends with the login."""
    host.run(["sh", "-euc", LOGIND, "sh", LOGIN])


def is_logged_in(host: Host) -> bool:
    return LOGIN in host.run(["loginctl", "list-sessions", "--no-legend"]).stdout.split()
