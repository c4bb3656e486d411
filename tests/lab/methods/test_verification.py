"""The real pg_verifybackup, on real base backups with names that nobody would choose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from lab import Lab
from podman import File, Host
from standby_host import BINDIR, HOST, ROOT

PLACE = "/tmp/verification"
UTILS = "ansible_collections/pgfleet/standby/plugins/module_utils"
ALGORITHMS = ("NONE", "CRC32C", "SHA224", "SHA256", "SHA512")

LATIN = b"caf\xe9".decode("utf-8", "surrogateescape")
HOSTILE = [
    "-rf",
    'quo"te',
    "new\nline",
    'x"\npg_verifybackup: error: checksum mismatch for file "0"\n',
    "ü b",
    LATIN,
    "7",
]
# pg_verifybackup passes over the first, and treats the others of some versions specially.
SPECIAL = ["postgresql.auto.conf", "PG_VERSION", "global/pg_control", "backup_label", "base/1/1259"]

# A small cluster of its own, one base backup of it for each algorithm, and in each backup a file too many.
RECORD = f"""\
set -eu
umask 077
export PATH={BINDIR}:$PATH LC_ALL=C
cd {PLACE}
mkdir scratch
initdb -D data --auth=trust --no-sync --no-locale --encoding=UTF8 >initdb.log
python3 driver.py litter data
pg_ctl -D data -w -l log -o "-c listen_addresses= -k {PLACE} -c fsync=off" start >/dev/null
for algorithm in {" ".join(ALGORITHMS)}; do
    pg_basebackup -h {PLACE} -D $algorithm --manifest-checksums=$algorithm -c fast -X none --no-sync
    touch $algorithm/surplus
done
pg_ctl -D data -m immediate stop >/dev/null
"""

# Spoils the named files of a backup in one way, and says what is found to differ.
DRIVER = f"""\
import json, os, sys

sys.path.insert(0, {PLACE!r})
from {UTILS.replace("/", ".")}._formats.backup_manifest import parse_manifest
from {UTILS.replace("/", ".")}._clone.checksums import Verifier

def write(path, content):
    with open(path, "wb") as file:
        file.write(content)

def flip(path, content):
    write(path, content[:-1] + bytes([content[-1] ^ 1]))

def shorten(path, content):
    write(path, content[:-1])

def remove(path, content):
    os.unlink(path)

def close(path, content):
    os.chmod(path, 0)

def leave(path, content):
    pass

def compare(backup, names, way, bindir):
    os.chdir(backup)
    before = {{name: open(name, "rb").read() for name in names}}
    for name, content in before.items():
        globals()[way](name, content)
    with open("backup_manifest", "rb") as manifest:
        promises = list(parse_manifest(manifest))
    differing = Verifier(bindir, {PLACE!r} + "/scratch").differing(backup, promises)
    for name, content in before.items():
        if way == "close":
            os.chmod(name, 0o600)
        write(name, content)
    left = os.listdir({PLACE!r} + "/scratch")
    print(json.dumps(dict(promised=len(promises), differing=differing, left=left)))

if sys.argv[1] == "litter":
    for name in {HOSTILE!r}:
        write(os.path.join(sys.argv[2], name), b"content of " + os.fsencode(name))
else:
    compare(*json.load(sys.stdin))
"""


@dataclass(frozen=True)
class Backups:
    host: Host

    def differing(self, algorithm: str, names: list[str], way: str, bindir: str = BINDIR) -> list[str]:
        job = json.dumps([f"{PLACE}/{algorithm}", names, way, bindir])
        done = self.host.run(["python3", f"{PLACE}/driver.py", "compare"], user="postgres", input=job)
        found = json.loads(done.stdout)
        assert found["promised"] > 900
        assert found["left"] == []
        return found["differing"]


@pytest.fixture(scope="module")
def backups(lab: Lab) -> Iterator[Backups]:
    host = lab.host(HOST)
    host.run(["rm", "-rf", PLACE])
    host.run(["install", "--directory", "--owner=postgres", PLACE])
    house = ROOT / "plugins/module_utils"
    units = [File(f"{PLACE}/{UTILS}/{path.relative_to(house)}", path.read_text()) for path in house.rglob("*.py")]
    host.put([*units, File(f"{PLACE}/driver.py", DRIVER)])
    host.run(["bash", "-c", RECORD], user="postgres")
    yield Backups(host)
    host.run(["rm", "-rf", PLACE])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_backup_is_as_its_manifest_promises(backups: Backups, algorithm: str) -> None:
    assert backups.differing(algorithm, [], "leave") == []


@pytest.mark.parametrize("way", ["flip", "shorten", "remove", "close"])
@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "NONE"])
def test_every_difference_is_found_and_no_other(backups: Backups, algorithm: str, way: str) -> None:
    names = [*HOSTILE, *SPECIAL]
    assert sorted(backups.differing(algorithm, names, way)) == sorted(names)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_told_from_all_others(backups: Backups, name: str) -> None:
    assert backups.differing("CRC32C", [name], "flip") == [name]


@pytest.mark.parametrize("way", ["leave", "flip", "shorten", "remove", "close"])
def test_hashlib_finds_the_same(backups: Backups, way: str) -> None:
    names = [*HOSTILE, *SPECIAL]
    ours = backups.differing("SHA256", names, way, bindir="/nonexistent")
    assert ours == backups.differing("SHA256", names, way)
    assert sorted(ours) == ([] if way == "leave" else sorted(names))


def test_without_checksums_sizes_are_compared(backups: Backups) -> None:
    assert backups.differing("NONE", HOSTILE, "flip") == []
    assert sorted(backups.differing("NONE", HOSTILE, "shorten")) == sorted(HOSTILE)
