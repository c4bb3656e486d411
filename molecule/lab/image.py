"""The lab's images: built once, and again only when what goes into them changes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from podman import LabError, Podman, run

HERE = Path(__file__).resolve().parent
CONTAINERFILE = HERE / "Containerfile"
RELEASE = "bookworm"
PULLED = f"debian:{RELEASE}"
BOOTSTRAPPED = f"localhost/pgfleet-base:{RELEASE}"
TARGETS = ("postgres", "barman")
APT = Path("/etc/apt")


def ensure(podman: Podman, state: Path) -> dict[str, str]:
    """Return the image of each target, building those that are missing."""
    names = {target: f"localhost/pgfleet-{target}:{inputs_hash()}" for target in TARGETS}
    missing = [target for target in TARGETS if not present(podman, names[target])]
    if missing:
        base = ensure_base(podman)
        podman.settle(base)
        wheels = ensure_wheel(state)
        for target in missing:
            build(podman, target, names[target], base, wheels)
    podman.settle(names["postgres"])
    return names


def present(podman: Podman, image: str) -> bool:
    return podman("image", "exists", image, check=False).returncode == 0


def inputs_hash() -> str:
    digest = hashlib.sha256()
    for path in (CONTAINERFILE, *sorted(p for p in (HERE / "files").rglob("*") if p.is_file())):
        digest.update(f"{path.relative_to(HERE)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def build(podman: Podman, target: str, name: str, base: str, wheels: Path) -> None:
    podman(
        "build", "--network", "host", "--target", target, "--tag", name,
        "--build-arg", f"BASE_IMAGE={base}", "--volume", f"{wheels}:/wheels:ro",
        "--file", str(CONTAINERFILE), str(HERE),
        timeout=900,
    )  # fmt: skip


def ensure_wheel(state: Path) -> Path:
    """Download Barman's wheel here: a build reaches no package index everywhere."""
    wheels = state / "wheels"
    found = re.search(r"^ARG BARMAN_VERSION=(\S+)$", CONTAINERFILE.read_text(), re.MULTILINE)
    if not found:
        raise LabError(f"{CONTAINERFILE}: no BARMAN_VERSION")
    version = found[1]
    if not (wheels / f"barman-{version}-py3-none-any.whl").exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        run([*pip, "--dest", str(wheels), f"barman=={version}"], timeout=180)
    return wheels


def ensure_base(podman: Podman) -> str:
    """A Debian to build on: from a registry where one answers, else bootstrapped."""
    for image in (PULLED, BOOTSTRAPPED):
        if present(podman, image):
            return image
    if pull(podman):
        return PULLED
    bootstrap(podman)
    return BOOTSTRAPPED


def pull(podman: Podman) -> bool:
    try:
        return podman("pull", "--quiet", PULLED, check=False, timeout=20).returncode == 0
    except LabError:
        return False


def bootstrap(podman: Podman) -> None:
    """Install a minimal Debian from the mirror this machine itself uses."""
    sources = debian_sources()
    mirror = sources[0].split()[1]
    with tempfile.TemporaryDirectory(prefix="pgfleet-base-", dir="/var/tmp") as temporary:
        root = Path(temporary) / "root"
        run(["debootstrap", "--variant=minbase", "--include=ca-certificates", RELEASE, str(root), mirror], timeout=600)
        (root / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in sources))
        (root / "etc/apt/apt.conf.d/90machine").write_text(apt_settings())
        shutil.rmtree(root / "var/cache/apt/archives")
        archive = Path(temporary) / "base.tar"
        run(["tar", "--directory", str(root), "--create", "--file", str(archive), "."], timeout=120)
        podman("import", "--quiet", str(archive), BOOTSTRAPPED, timeout=300)


def debian_sources() -> list[str]:
    """This machine's sources of our release as one-line entries, the main archive first."""
    entries = [entry for entry in apt_entries() if entry[1].split("-")[0] == RELEASE]
    lines = sorted({f"deb {uri} {suite} main" for uri, suite in entries}, key=lambda line: (line.split()[2], line))
    if not lines or lines[0].split()[2] != RELEASE:
        raise LabError(f"no registry gave {PULLED}, and apt on this machine has no mirror of Debian {RELEASE}")
    return lines


def apt_entries() -> Iterator[tuple[str, str]]:
    """Every (uri, suite) that has a `main` component, from both of apt's formats."""
    for path in (APT / "sources.list", *sorted((APT / "sources.list.d").glob("*.list"))):
        for line in path.read_text().splitlines() if path.exists() else []:
            fields = re.sub(r"\[[^]]*\]", "", line.split("#")[0]).split()
            if fields[:1] == ["deb"] and "main" in fields[3:]:
                yield fields[1], fields[2]
    for path in sorted((APT / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            yield from stanza_entries(stanza)


def stanza_entries(stanza: str) -> Iterator[tuple[str, str]]:
    text = "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
    fields = {key.lower(): value.split() for key, value in re.findall(r"^([\w-]+):((?:.*(?:\n[ \t].*)*))", text, re.M)}
    if "deb" in fields.get("types", []) and "main" in fields.get("components", []) and fields.get("enabled") != ["no"]:
        for uri in fields.get("uris", []):
            for suite in fields.get("suites", []):
                yield uri, suite


def apt_settings() -> str:
    """What apt needs to reach that mirror: proxies, and how fresh its indexes must be."""
    wanted = ("Acquire::Check-", "Acquire::http::", "Acquire::https::", "Acquire::ftp::")
    lines = run(["apt-config", "dump"]).stdout.splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith(wanted))


def install() -> None:
    """Install from Debian what the lab itself needs, if anything is missing."""
    packages = {
        "podman": "podman",
        "runc": "runc",
        "debootstrap": "debootstrap",
        "ip": "iproute2",
        "ssh-keygen": "openssh-client",
        "rsync": "rsync",
    }
    missing = [package for command, package in packages.items() if not shutil.which(command)]
    if run([sys.executable, "-m", "pip", "--version"], check=False).returncode:
        missing.append("python3-pip")
    if not missing:
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update"], timeout=300, env=env)
    run(["apt-get", "install", "--yes", "--no-install-recommends", *missing], timeout=600, env=env)
