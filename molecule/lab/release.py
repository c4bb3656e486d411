"""The Debian releases that a lab can consist of, and what differs between them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["MAIN", "RELEASES", "Release"]


@dataclass(frozen=True)
class Release:
    """A Debian release as the lab's hosts.

    Where `systemd` is false, sshd is the main process: that release's systemd boots on cgroup v2 only, and a lab
    has to come up on any machine.
    """

    lab: str  # the name of its network, its label and its containers' prefix
    debian: str
    postgres: int
    systemd: bool = True
    environment: tuple[str, ...] = ()  # what the container's first process needs to know
    # Barman on a host of its own image, from PyPI; otherwise one image has Debian's Barman and PostgreSQL.
    newest_barman: bool = False
    # From PyPI: that one, or what there is beside Debian's.
    barmans: tuple[str, ...] = ()

    @property
    def cluster(self) -> str:
        """As Debian's tools name it."""
        return f"{self.postgres}-main"

    @property
    def unit(self) -> str:
        return f"postgresql@{self.cluster}"

    @property
    def config(self) -> str:
        return f"/etc/postgresql/{self.postgres}/main"

    @property
    def data(self) -> str:
        return f"/var/lib/postgresql/{self.postgres}/main"

    @property
    def bindir(self) -> str:
        return f"/usr/lib/postgresql/{self.postgres}/bin"

    def state(self, root: Path) -> Path:
        """Where the lab keeps what it must remember, below the directory of all labs."""
        return root if self is MAIN else root / "releases" / self.debian


def _release(
    debian: str,
    postgres: int,
    *,
    systemd: bool = True,
    environment: tuple[str, ...] = (),
    barmans: tuple[str, ...] = (),
) -> Release:
    return Release(f"pgfleet-{debian}", debian, postgres, systemd, environment, barmans=barmans)


# The lab of most tests, of the demo and of the bench.
MAIN = Release("pgfleet", "bookworm", 15, newest_barman=True, barmans=("3.19.1",))

# Small labs with Debian's own packages throughout.
RELEASES = {
    release.debian: release
    for release in (
        _release("bullseye", 13),
        _release("bookworm", 15),
        # Without the variable this systemd refuses a machine with cgroup v1; with cgroup v2 it means nothing.
        _release(
            "trixie",
            17,
            environment=("SYSTEMD_PROC_CMDLINE=SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",),
            barmans=("3.11.1", "3.16.2", "3.19.1"),
        ),
        _release("forky", 18, systemd=False),
    )
}
