"""Another sshd on the Barman host, and what the standby's ssh_config has to say of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab import Lab
from podman import File
from standby_host import HOST

PORT = 2200 + int(HOST[1:])
SSHD = f"/run/pgfleet-sshd-{HOST}"
OVER_OWN_SSHD = ["-p", str(PORT), "-o", "HostKeyAlias=barman"]
HOME = "/var/lib/postgresql"
CONFIG = f"{HOME}/.ssh/config"
KEY = f"{HOME}/.ssh/own_sshd"
SECTION = f"""\
Host {{alias}}
    HostName barman
    Port {PORT}
    User {{user}}
    IdentityFile {KEY}
    IdentitiesOnly yes
    HostKeyAlias barman
"""


@contextmanager
def own_sshd(lab: Lab, *lines: str) -> Iterator[list[str]]:
    """Another sshd on the Barman host with these lines in its configuration; the ssh_options that lead to it."""
    barman = lab.barman
    settings = [f"Port {PORT}", f"PidFile {SSHD}.pid", "HostKey /etc/ssh/ssh_host_ed25519_key", "UsePAM yes", *lines]
    barman.write(f"{SSHD}.conf", "".join(f"{line}\n" for line in settings))
    barman.run(["/usr/sbin/sshd", "-f", f"{SSHD}.conf", "-E", f"{SSHD}.log"])
    try:
        yield OVER_OWN_SSHD
    finally:
        barman.run(["sh", "-c", f"kill $(cat {SSHD}.pid); rm -f {SSHD}.*"], check=False)


@contextmanager
def own_key(lab: Lab, alias: str, user: str, options: str, *lines: str) -> Iterator[None]:
    """A Host section on the standby, with another port, a user and a key of its own, which alone is let in there.

    ``options`` are those of the key (sshd(8), AUTHORIZED_KEYS), with a space behind them; ``lines`` are sshd's.
    """
    host = lab.host(HOST)
    ours = ["rm", "-f", KEY, f"{KEY}.pub", CONFIG]
    host.run(ours)
    try:
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY], user="postgres")
        host.put([File(CONFIG, SECTION.format(alias=alias, user=user), "postgres", 0o600)])
        lab.barman.write(f"{SSHD}.keys", options + host.read(f"{KEY}.pub"))
        with own_sshd(lab, f"AuthorizedKeysFile {SSHD}.keys", *lines):
            yield
    finally:
        host.run(ours)
