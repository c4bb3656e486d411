"""The lab's images: built once, and again only when what goes into them changes."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from podman import LabError, Podman, run
from release import MAIN, Release

HERE = Path(__file__).resolve().parent
CONTAINERFILE = HERE / "Containerfile"
APT = Path("/etc/apt")
SCRIPTS = Path("/usr/share/debootstrap/scripts")
# A minute or two by itself; at low priority beside other work it may take many.
BUILD_SECONDS = 1800


def ensure(podman: Podman, state: Path, release: Release = MAIN) -> dict[str, str]:
    """Return the image of each kind of host, building those that are missing."""
    tag = f"{release.debian}-{inputs_hash(release)}"
    names = {target: f"localhost/pgfleet-{target}:{tag}" for target in targets(release).values()}
    missing = [target for target, name in names.items() if not present(podman, name)]
    if missing:
        base = ensure_base(podman, release)
        podman.settle(base)
        wheels = ensure_wheels(state, release) if release.barmans else None
        for target in missing:
            build(podman, target, names[target], base, release, wheels)
    images = {kind: names[target] for kind, target in targets(release).items()}
    podman.settle(images["postgres"])
    return images


def targets(release: Release) -> dict[str, str]:
    """The stage of the Containerfile for each kind of host."""
    return {kind: kind if release.newest_barman else "packaged" for kind in ("postgres", "barman")}


def present(podman: Podman, image: str) -> bool:
    return podman("image", "exists", image, check=False).returncode == 0


def inputs_hash(release: Release) -> str:
    digest = hashlib.sha256(f"{release.postgres}\0{release.barmans}\0".encode())
    for path in (CONTAINERFILE, *sorted(p for p in (HERE / "files").rglob("*") if p.is_file())):
        digest.update(f"{path.relative_to(HERE)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def build(podman: Podman, target: str, name: str, base: str, release: Release, wheels: Path | None) -> None:
    podman(
        "build", "--network", "host", "--target", target, "--tag", name,
        "--build-arg", f"BASE_IMAGE={base}", "--build-arg", f"POSTGRES={release.postgres}",
        "--build-arg", f"BARMANS={' '.join(release.barmans)}",
        *([f"--volume={wheels}:/wheels:ro"] if wheels else []),
        "--file", str(CONTAINERFILE), str(HERE),
        timeout=BUILD_SECONDS,
    )  # fmt: skip


def ensure_wheels(state: Path, release: Release) -> Path:
    """Download Barman's wheels here: a build reaches no package index everywhere."""
    wheels = state / "wheels"
    for version in release.barmans:
        if not list(wheels.glob(f"barman-{version}-*.whl")):
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            run([*pip, "--dest", str(wheels), f"barman=={version}"])
    return wheels


def ensure_base(podman: Podman, release: Release) -> str:
    """A Debian to build on: from a registry where one answers, else bootstrapped."""
    pulled, bootstrapped = f"debian:{release.debian}", f"localhost/pgfleet-base:{release.debian}"
    for image in (pulled, bootstrapped):
        if present(podman, image):
            return image
    if pull(podman, pulled):
        return pulled
    bootstrap(podman, release.debian, bootstrapped)
    return bootstrapped


def pull(podman: Podman, image: str) -> bool:
    try:
        return podman("pull", "--quiet", image, check=False, timeout=20).returncode == 0
    except LabError:
        return False


def bootstrap(podman: Podman, debian: str, image: str) -> None:
    """Install a minimal Debian from the mirror this machine itself uses."""
    sources = debian_sources(debian)
    mirror = sources[0].split()[1]
    # A release that is newer than this debootstrap is made as unstable is.
    script = [] if (SCRIPTS / debian).exists() else [str(SCRIPTS / "sid")]
    with tempfile.TemporaryDirectory(prefix="pgfleet-base-", dir="/var/tmp") as temporary:
        root = Path(temporary) / "root"
        options = ["--variant=minbase", "--include=ca-certificates"]
        run(["debootstrap", *options, debian, str(root), mirror, *script], timeout=BUILD_SECONDS)
        (root / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in sources))
        (root / "etc/apt/apt.conf.d/90machine").write_text(apt_settings())
        shutil.rmtree(root / "var/cache/apt/archives")
        archive = Path(temporary) / "base.tar"
        run(["tar", "--directory", str(root), "--create", "--file", str(archive), "."])
        podman("import", "--quiet", str(archive), image)


def debian_sources(debian: str) -> list[str]:
    """This machine's sources with that release in place of its own, as one-line entries; the main archive first."""
    own = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    entries = {(uri, suite) for uri, suite in apt_entries() if suite.split("-")[0] == debian}
    if not entries:
        others = {(uri, debian + suite.removeprefix(own)) for uri, suite in apt_entries() if suite.split("-")[0] == own}
        # Not every release has the same suites: an old one has lost its updates, a new one has none yet.
        entries = {(uri, suite) for uri, suite in others if offered(uri, suite)}
    lines = [f"deb {uri} {suite} main" for uri, suite in sorted(entries, key=lambda entry: (entry[1], entry[0]))]
    if not lines or lines[0].split()[2] != debian:
        raise LabError(f"no registry gave debian:{debian}, and no mirror that apt uses on this machine has it")
    return lines


def offered(uri: str, suite: str) -> bool:
    """Whether the mirror has the suite, asked in apt's own way: through its proxies."""
    with tempfile.TemporaryDirectory(prefix="pgfleet-suite-") as temporary:
        index = f"{uri.rstrip('/')}/dists/{suite}/InRelease"
        asked = run(["/usr/lib/apt/apt-helper", "download-file", index, f"{temporary}/InRelease"], check=False)
    return asked.returncode == 0


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
    run(["apt-get", "update"], env=env)
    run(["apt-get", "install", "--yes", "--no-install-recommends", *missing], env=env)
