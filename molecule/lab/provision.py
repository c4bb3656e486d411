"""What turns booted hosts into the lab: ssh trust, a primary with data, Barman, accounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from podman import BOUND, File, Host, LabError, wait_for

HERE = Path(__file__).resolve().parent
TABLESPACE = "/srv/tablespaces/fast"
READY_MARK = "/etc/pgfleet-lab"
ROLES = ("replicator", "streaming_barman", "barman")

T = TypeVar("T")
Secrets = Mapping[str, str]


def each(action: Callable[[Host], T], hosts: Sequence[Host]) -> list[T]:
    """Do it on all hosts at once; the first failure is the one reported."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(action, hosts))


def template(name: str) -> str:
    return (HERE / "files" / name).read_text()


def account(host: Host) -> tuple[str, str]:
    """The user that owns the host's data, and its home."""
    return ("barman", "/var/lib/barman") if host.name == "barman" else ("postgres", "/var/lib/postgresql")


# --- ssh ---------------------------------------------------------------------


@dataclass(frozen=True)
class Identity:
    host: Host
    host_key: str
    user_key: str

    @property
    def known(self) -> str:
        return f"{self.host.name},{self.host.address} {self.host_key}\n"


MAKE_IDENTITY = """
user=$1 home=$2 host=$3
mkdir -p -m 700 /root/.ssh
install -d -m 700 -o "$user" -g "$user" "$home/.ssh"
[ -e "$home/.ssh/id_ed25519" ] ||
    runuser -u "$user" -- ssh-keygen -q -t ed25519 -N '' -C "$user@$host" -f "$home/.ssh/id_ed25519"
cat /etc/ssh/ssh_host_ed25519_key.pub "$home/.ssh/id_ed25519.pub"
"""


# In a run of all tests the hosts log in to each other some thousand times, and OpenSSH's default, which is safe from
# quantum computers, takes each end 0.1 s of CPU.
QUICK_SSH = "KexAlgorithms curve25519-sha256\n"


def identify(host: Host) -> Identity:
    """Read the host's real public keys through the container, never over the wire."""
    user, home = account(host)
    host_key, user_key = host.run(["sh", "-euc", MAKE_IDENTITY, "sh", user, home, host.name]).stdout.splitlines()
    return Identity(host, host_key.strip(), user_key)


def trust(hosts: Sequence[Host], control_key: str) -> str:
    """Let control into every root, Barman and the database users into each other; return known_hosts."""
    identities = each(identify, hosts)
    known = "".join(identity.known for identity in identities)

    def allow(host: Host) -> None:
        user, home = account(host)
        friends = [i.user_key for i in identities if (i.host.name == "barman") != (host.name == "barman")]
        host.put(
            [
                File("/root/.ssh/authorized_keys", control_key, "root", 0o600),
                File(f"{home}/.ssh/authorized_keys", "".join(f"{key}\n" for key in friends), user, 0o600),
                File(f"{home}/.ssh/known_hosts", known, user, 0o600),
                File("/etc/ssh/ssh_config.d/lab.conf", QUICK_SSH),
            ]
        )

    each(allow, hosts)
    return known


# --- accounts ----------------------------------------------------------------


def passwords(host: Host, secrets: Secrets) -> None:
    """Give the host's user the passwords of the roles it connects as."""
    user, home = account(host)
    roles = ("barman", "streaming_barman") if host.name == "barman" else ("replicator",)
    lines = "".join(f"primary:5432:*:{role}:{secrets[role]}\n" for role in roles)
    host.write(f"{home}/.pgpass", lines, owner=user, mode=0o600)


def mark_ready(host: Host) -> None:
    host.write(READY_MARK, "made by lab.py\n")


# --- primary -----------------------------------------------------------------


def psql(host: Host, sql: str, db: str = "postgres") -> str:
    """Run SQL as the database's owner; rows come back bare, fields separated by |."""
    argv = ["psql", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", db]
    return host.run(argv, user="postgres", input=sql).stdout.rstrip("\n")


def seed_primary(primary: Host, secrets: Secrets, subnet: str, scale: int) -> None:
    """Make the cluster, load it, and only then run it for real: archiving starts with the data there."""
    release = primary.release
    primary.run(["pg_createcluster", "--locale", "C.UTF-8", str(release.postgres), "main"])
    primary.run(["install", "-d", "-m", "700", "-o", "postgres", "-g", "postgres", TABLESPACE])
    load(primary, secrets, scale)
    hba = primary.read(f"{release.config}/pg_hba.conf")
    hba += "".join(f"host {database} all {subnet} scram-sha-256\n" for database in ("all", "replication"))
    primary.put(
        [
            File(f"{release.config}/pg_hba.conf", hba, "postgres", 0o640),
            File(f"{release.config}/conf.d/lab.conf", template("primary.conf"), "postgres"),
        ]
    )
    start_cluster(primary)
    wait_for(lambda: primary.run(["pg_isready"], check=False).returncode == 0, "the primary to accept connections")


def start_cluster(host: Host) -> None:
    release = host.release
    if release.systemd:
        host.run(["systemctl", "daemon-reload"])
        # Debian's unit is "started" two seconds after the server answers.
        host.run(["systemctl", "start", "--no-block", release.unit])
    else:
        host.run(["pg_ctlcluster", str(release.postgres), "main", "start"])


# Without WAL there is nothing to write twice, and nothing to archive.
LOADING = (
    "-c wal_level=minimal -c max_wal_senders=0 -c fsync=off -c listen_addresses="
    " -c password_encryption=scram-sha-256"  # not the default of every release
)


def load(primary: Host, secrets: Secrets, scale: int) -> None:
    release = primary.release
    variables = "".join(f"\\set {role} '{secrets[role]}'\n" for role in ROLES)
    variables += f"\\set newest_barman {str(release.newest_barman).lower()}\n"
    pg_ctl = [f"{release.bindir}/pg_ctl", "--wait", "--silent", "--pgdata", release.config]
    primary.run([*pg_ctl, "--log", "/var/log/postgresql/loading.log", "--options", LOADING, "start"], user="postgres")
    psql(primary, variables + template("roles.sql"))
    psql(primary, "CREATE DATABASE bench")
    psql(primary, template("data.sql"), db="bench")
    pgbench = ["pgbench", "--initialize", "--quiet", "--scale", str(scale), "bench"]
    primary.run(pgbench, user="postgres", timeout=max(BOUND, 10 * scale))
    primary.run([*pg_ctl, "stop"], user="postgres")


# --- Barman ------------------------------------------------------------------


def start_barman(barman: Host) -> None:
    if not barman.release.systemd:
        barman.run(["barman", "-q", "cron"], user="barman")
        return
    barman.run(["systemctl", "enable", "--quiet", "--now", "barman-cron.timer"])
    barman.run(["systemctl", "start", "barman-cron.service"])


def backup(barman: Host, server: str, timeout: float = 900) -> None:
    """Take a backup and wait until Barman itself calls it done."""
    # Barman refuses a backup before the first WAL file has arrived.
    switch = ["barman", "switch-wal", "--force", "--archive", "--archive-timeout", "300", server]
    barman.run(switch, user="barman")
    barman.run(["barman", "backup", "--wait", "--wait-timeout", "300", server], user="barman", timeout=timeout)
    shown = barman.run(["barman", "show-backup", server, "latest"], user="barman").stdout
    if "DONE" not in shown:
        raise LabError(f"the backup of {server} is not DONE:\n{shown}")


# --- standbys ----------------------------------------------------------------

# Whatever runs as postgres is part of what a test left behind: a server, a copy, its ssh.
STOP_UNITS = """
systemctl stop 'postgresql@*' 'postgresql.service' || true
"""
RESET = """
for signal in TERM KILL; do
    pkill -$signal -u postgres || break
    # What is told to end may take its time, what is killed goes as soon as the disk lets it.
    for pause in 1 2 3 4 5 6 7 8 9 10; do pgrep -u postgres >/dev/null || break; sleep 0.2; done
done
while pgrep --runstates DRSTt -u postgres >/dev/null; do sleep 0.1; done
findmnt --noheadings --raw --output TARGET | grep -E '^/(srv|var/lib/postgresql)/' | xargs -r umount
find /var/lib/postgresql -mindepth 1 -maxdepth 1 -not -name '.*' -exec rm -rf {} +
find /etc/postgresql /srv /var/tmp /var/log/postgresql -mindepth 1 -delete
"""
RESET_UNITS = """
systemctl daemon-reload
systemctl reset-failed
systemctl start postgresql.service
"""


def reset(host: Host) -> None:
    """Back to a host that has PostgreSQL's packages and no cluster."""
    if not host.name.startswith("n"):
        raise LabError(f"{host.name} is not a standby: only standbys are reset")
    script = STOP_UNITS + RESET + RESET_UNITS if host.release.systemd else RESET
    host.run(["sh", "-euc", script])
