"""Data directories, WAL and tablespaces where real hosts have them: mount points, links, odd names, two systems."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from clone_on_host import FAST, Clone
from copies_under_way import Copy
from held import MIB, Held
from lab import Lab
from play import Playbook
from podman import BOUND, Host
from standby_host import BINDIR, DATA, HOST, STATE

# The small backup: where its files and its WAL are on the Barman host and on the standby.
THERE = "/var/lib/barman/layouts"
WORK = "/opt/pgfleet-layouts"
WAL = f"{WORK}/wal"
PLACES = "/srv/layouts"
WALDIR = "/srv/wal"

ODD = (
    "with space",
    'quo"te',
    "üñí 世界",
    "$HOME `id`",
    "back\\slash",
    "-rf",
    "star*?[a]",
    "deep/er and/deeper",
    "a,b:c;d#",
    " %20 ",
)
COUNT = 40
LOCATIONS = [f"{PLACES}/{ODD[n % 10]}/{ODD[(3 * n + n // 10) % 10]} {n}" for n in range(COUNT)]

# What every file and directory has for a mode, links aside.
MODES = """find "$@" -name lost+found -prune -o ! -type l -printf '%y %m\\n' | sort -u"""
PRIVATE = ["d 700", "f 600"]
GROUP = ["d 750", "f 640"]
# The contents of all tablespaces below the current directory.
CONTENTS = "find -L [0-9]* -type f -exec sha256sum {} + | sort -k 2"
LINKS = "import json, os; print(json.dumps({n: os.readlink(n) for n in os.listdir('.')}))"


def as_postgres(host: Host, script: str, *arguments: str) -> str:
    return host.run(["sh", "-euc", script, "sh", *arguments], user="postgres").stdout


def modes(host: Host, *places: str) -> list[str]:
    """Without what recovery or a server made; call it before one is started."""
    return as_postgres(host, MODES, *places).splitlines()


def own(host: Host, *places: str) -> None:
    """Empty directories of the database's user."""
    host.run(["rm", "-rf", *places])
    host.run(["install", "-d", "-m", "700", "-o", "postgres", "-g", "postgres", *places])


def inode(host: Host, path: str) -> str:
    return host.run(["stat", "--format=%d %i %U %a", path]).stdout


@pytest.fixture(scope="module")
def installed(lab: Lab) -> Iterator[Clone]:
    lab.reset(HOST)
    yield Clone.on(lab)
    lab.reset(HOST)


@pytest.fixture
def clone(installed: Clone) -> Iterator[Clone]:
    """The lab's newest backup and an empty host."""
    host = installed.host
    installed.empty()
    yield installed
    host.run(["umount", "--lazy", DATA], check=False)
    host.run(["rm", "-rf", DATA, PLACES, WALDIR, "/srv/elsewhere", "/var/lib/pgsql"])


# --- a small backup with many tablespaces ----------------------------------------------


@dataclass(frozen=True)
class Small:
    """A backup of some 25 MB of a cluster with group access and forty tablespaces."""

    clone: Clone
    backup: dict[str, Any]

    def run(self, **options: Any) -> dict[str, Any]:
        return self.clone.run(**{"backup": self.backup, **options})

    @contextlib.contextmanager
    def server(self, data: str = DATA, waldir: str | None = None) -> Iterator[None]:
        """A server on a clone, with the WAL that it needs."""
        host = self.clone.host
        as_postgres(host, f'cp {WAL}/* "$1"/', waldir or f"{data}/pg_wal")
        start = [f"{BINDIR}/pg_ctl", "start", "--wait", "--silent", f"--pgdata={data}", f"--log={WORK}/standby.log"]
        start.append(f"--timeout={BOUND:.0f}")
        options = f"--options=-p 6002 -k {WORK} -c listen_addresses="
        done = host.run([*start, options], user="postgres", check=False)
        assert done.returncode == 0, host.run(["cat", f"{WORK}/standby.log"]).stdout
        yield
        stop = [f"{BINDIR}/pg_ctl", "stop", "--wait", "--silent", "--mode=immediate", f"--pgdata={data}"]
        host.run(stop, user="postgres")

    def assert_starts(self, data: str = DATA, waldir: str | None = None) -> None:
        """It does, as a standby, and every tablespace has its rows."""
        host = self.clone.host
        with self.server(data, waldir):
            counts = " UNION ALL ".join(f"SELECT count(*) FROM t{n}" for n in range(COUNT))
            assert sql(host, "SELECT pg_is_in_recovery()", 6002) == "t"
            assert sql(host, counts, 6002).split() == [str(100 + n) for n in range(COUNT)]

    def assert_contents(self, mapping: dict[str, str]) -> None:
        """Every link leads to its place, and there is what the backup has there."""
        found = json.loads(self.clone.host.run(["sh", "-c", f'cd {DATA}/pg_tblspc && python3 -c "{LINKS}"']).stdout)
        wanted = {str(t["oid"]): mapping.get(t["location"], t["location"]) for t in self.backup["tablespaces"]}
        assert found == wanted
        here = as_postgres(self.clone.host, f"cd {DATA}/pg_tblspc && {CONTENTS}")
        there = self.clone.lab.barman.run(["sh", "-c", f"cd {self.backup['directory']} && {CONTENTS}"]).stdout
        assert here == there
        assert len(here.splitlines()) >= COUNT


def sql(host: Host, query: str, port: int) -> str:
    psql = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", f"--host={WORK}", f"--port={port}", "postgres"]
    return host.run(psql, user="postgres", input=query).stdout.rstrip("\n")


def take_small_backup(lab: Lab, host: Host) -> dict[str, Any]:
    """Make a cluster and its backup on the standby, and leave only the backup, on the Barman host."""
    as_postgres(
        host,
        f"cd {WORK}; mkdir wal; export LC_ALL=C.UTF-8;"
        f" {BINDIR}/initdb -D primary -A trust --allow-group-access --no-sync --wal-segsize=1 >/dev/null;"
        f" {BINDIR}/pg_ctl start -w -s -D primary -l log"
        f" -o '-p 6001 -k {WORK} -c listen_addresses= -c fsync=off -c wal_keep_size=64'",
    )
    as_postgres(host, 'mkdir -p -- "$@"', *LOCATIONS)
    for_each = (
        "CREATE TABLESPACE s{n} LOCATION '{at}';"
        "CREATE TABLE t{n} TABLESPACE s{n} AS SELECT generate_series(1, 100 + {n}) AS id;"
    )
    sql(host, "".join(for_each.format(n=n, at=at) for n, at in enumerate(LOCATIONS)), 6001)
    rows = sql(host, "SELECT spcname, oid FROM pg_tablespace WHERE spcname ~ '^s[0-9]' ORDER BY oid", 6001)
    oids = dict(line.split("|") for line in rows.splitlines())
    mapped = [f"--tablespace-mapping={place}={WORK}/small/{oids[f's{n}']}" for n, place in enumerate(LOCATIONS)]
    base = ["pg_basebackup", f"--host={WORK}", "--port=6001", f"--pgdata={WORK}/small/data", "--no-sync"]
    host.run([*base, "--wal-method=none", "--checkpoint=fast", *mapped], user="postgres")
    identifier = sql(host, "SELECT system_identifier FROM pg_control_system()", 6001)
    lab.barman.run(["install", "-d", "-o", "barman", "-g", "barman", THERE])
    as_postgres(
        host,
        f"cd {WORK}; {BINDIR}/pg_ctl stop -w -s -D primary -m fast; cp primary/pg_wal/0* wal/;"
        # Links of its own to where the tablespaces were are no part of a backup as Barman makes it.
        f" find small/data/pg_tblspc -type l -delete; rsync -a small barman@barman:{THERE}/; rm -rf small primary",
    )
    host.run(["rm", "-rf", PLACES])
    return {
        "backup_id": "small",
        "status": "DONE",
        "server": "layouts",
        "version": 150000,
        "system_identifier": identifier,
        "directory": f"{THERE}/small",
        "tablespaces": [{"name": f"s{n}", "oid": oids[f"s{n}"], "location": at} for n, at in enumerate(LOCATIONS)],
    }


@pytest.fixture(scope="module")
def small_backup(lab: Lab, installed: Clone) -> Iterator[dict[str, Any]]:
    host = installed.host
    own(host, WORK, PLACES)
    try:
        yield take_small_backup(lab, host)
    finally:
        host.run(["sh", "-c", f"{BINDIR}/pg_ctl stop -D {WORK}/primary -m immediate"], user="postgres", check=False)
        host.run(["rm", "-rf", WORK, PLACES])
        lab.barman.run(["rm", "-rf", THERE])


@pytest.fixture
def small(clone: Clone, small_backup: dict[str, Any]) -> Small:
    own(clone.host, PLACES)
    return Small(clone, small_backup)


# --- where the data directory is --------------------------------------------------------


def mount(host: Host, *below: str) -> None:
    """Make the data directory a file system of its own, as mkfs makes it."""
    host.run(["mkdir", "-p", WORK])
    host.run(["truncate", "--size=900M", f"{WORK}.ext4"])
    host.run(["mkfs.ext4", "-q", f"{WORK}.ext4"])
    host.run(["install", "-d", "-o", "postgres", "-g", "postgres", *below, DATA])
    host.run(["mount", "-o", "loop", f"{WORK}.ext4", DATA])
    host.run(["chown", "postgres:postgres", DATA])
    host.run(["rm", f"{WORK}.ext4"])  # gone with the mount


def test_a_mount_point_stays_with_its_lost_and_found(clone: Clone, hold: Held) -> None:
    host = clone.host
    mount(host)
    before = inode(host, f"{DATA}/lost+found")

    copy = Copy.begun(hold, clone)
    copy.signal([copy.note["pid"]], "TERM")
    assert copy.result()["error_code"] == "interrupted"
    hold.go_on()
    clone.assert_unstartable()

    again = clone.run()
    assert again["action"] == "resume", again
    assert again["bytes_sent"] < again["bytes"]
    assert inode(host, f"{DATA}/lost+found") == before
    assert host.run(["findmnt", "--noheadings", "--output=FSTYPE", DATA]).stdout.strip() == "ext4"
    assert host.run(["find", "/var/lib/postgresql/15", "-maxdepth", "1", "-name", ".*"]).stdout.strip() == STATE
    assert modes(host, DATA) == PRIVATE
    host.run(["chown", "postgres", f"{DATA}/lost+found"])  # for the look at everything
    clone.assert_healthy()


def test_a_link_to_the_data_directory_stays(clone: Clone) -> None:
    own(clone.host, "/srv/elsewhere", "/srv/elsewhere/main")
    as_postgres(clone.host, f"rmdir {DATA}; ln -s /srv/elsewhere/main {DATA}")
    assert clone.run()["action"] == "clone"
    assert clone.host.run(["readlink", DATA]).stdout.strip() == "/srv/elsewhere/main"
    assert modes(clone.host, "/srv/elsewhere/main", FAST) == PRIVATE
    assert clone.run()["action"] == "none"
    clone.assert_healthy()


DEBIAN = (DATA, {})
RHEL = ("/var/lib/pgsql/15/data", {"pg_bindir": BINDIR})


@pytest.mark.parametrize(("data", "options"), [DEBIAN, RHEL], ids=["Debian", "RHEL"])
def test_a_parent_that_only_root_may_write(small: Small, data: str, options: dict[str, str]) -> None:
    """The state directory has to be made beforehand, as the role does; until then nothing is changed."""
    host = small.clone.host
    parent, name = data.rsplit("/", 1)
    state = f"{parent}/.{name}.standby"
    host.run(["rm", "-rf", parent])
    host.run(["install", "-d", parent])
    own(host, data)

    refused = small.run(data_directory=data, **options)
    assert refused["error_code"] == "directory_not_writable", refused
    for word in (state, "Permission denied", "Next: create it, owned by the database's OS user"):
        assert word in refused["msg"]
    assert host.run(["find", parent, "-mindepth", "1"]).stdout.split() == [data]
    assert host.run(["find", PLACES, "-mindepth", "1"]).stdout == ""

    own(host, state)
    assert small.run(data_directory=data, **options)["action"] == "clone"
    small.assert_starts(data)


# --- modes -----------------------------------------------------------------------------


def test_group_access_is_that_of_the_source(small: Small) -> None:
    """An ordinary backup gives 0700 and 0600: see the test of the link."""
    own(small.clone.host, WALDIR)
    done = small.run(waldir=WALDIR)
    assert done["action"] == "clone", done
    assert modes(small.clone.host, DATA, WALDIR, *LOCATIONS) == GROUP
    small.assert_starts(waldir=WALDIR)


# --- WAL elsewhere ----------------------------------------------------------------------


def test_the_wal_goes_elsewhere(clone: Clone) -> None:
    own(clone.host, WALDIR)
    clone.host.run(["mkdir", f"{WALDIR}/lost+found"])
    done = clone.run(waldir=WALDIR)
    assert done["action"] == "clone", done
    assert clone.host.run(["readlink", f"{DATA}/pg_wal"]).stdout.strip() == WALDIR
    assert clone.host.run(["find", WALDIR, "-mindepth", "1", "-printf", "%P %m %u\n"]).stdout.splitlines() == [
        "lost+found 755 root",
        "archive_status 700 postgres",
    ]
    assert modes(clone.host, WALDIR) == ["d 700"]
    clone.host.run(["rmdir", f"{WALDIR}/lost+found"])
    clone.assert_healthy()


def test_an_interrupted_copy_with_its_wal_elsewhere_is_resumed(small: Small, hold: Held) -> None:
    own(small.clone.host, WALDIR)
    copy = Copy.begun(hold, small.clone, 4 * MIB, backup=small.backup, waldir=WALDIR)
    copy.signal([copy.note["pid"]], "TERM")
    assert copy.result()["error_code"] == "interrupted"
    hold.go_on()
    small.clone.assert_unstartable()
    again = small.run(waldir=WALDIR)
    assert again["action"] == "resume", again
    assert again["bytes_sent"] < again["bytes"]
    small.assert_contents({})
    small.assert_starts(waldir=WALDIR)


def test_a_wal_directory_with_something_in_it_is_refused(small: Small) -> None:
    own(small.clone.host, WALDIR)
    as_postgres(small.clone.host, f"echo mine >{WALDIR}/file")
    refused = small.run(waldir=WALDIR)
    assert refused["error_code"] == "target_not_empty", refused
    for word in ("for the WAL", WALDIR, "is not empty", "Nothing was changed", "Next:", "waldir"):
        assert word in refused["msg"]
    assert small.clone.host.run(["find", DATA, PLACES, "-mindepth", "1"]).stdout == ""
    assert small.clone.host.read(f"{WALDIR}/file") == "mine\n"
    assert not small.clone.host.exists(STATE)


# --- tablespaces ------------------------------------------------------------------------


def test_forty_tablespaces_with_odd_names(small: Small) -> None:
    mapping = {place: f"{PLACES}/mapped/{ODD[n % 10]} {n}" for n, place in enumerate(LOCATIONS) if n % 4 == 0}
    done = small.run(tablespace_mapping=mapping)
    assert done["action"] == "clone", done
    small.assert_contents(mapping)
    assert [place for place in mapping if small.clone.host.exists(place)] == []
    small.assert_starts()


@pytest.mark.parametrize(
    ("mapping", "code", "words"),
    [
        ({0: f"{PLACES}/one", 1: f"{PLACES}/one"}, "path_overlap", [f"{PLACES}/one and {PLACES}/one overlap"]),
        ({0: f"{PLACES}/one", 1: f"{PLACES}/one/two"}, "path_overlap", [f"{PLACES}/one", "overlap"]),
        ({0: f"{PLACES}/link", 1: f"{PLACES}/one"}, "path_overlap", [f"{PLACES}/one and {PLACES}/one overlap"]),
        ({0: f"{DATA}/inside"}, "path_overlap", [DATA, f"{DATA}/inside", "overlap"]),
        ({0: "/var/lib"}, "path_dangerous", ["/var/lib", "place of the system", "name a directory of its own"]),
        ({0: f"{PLACES}/full"}, "target_not_empty", ["tablespace s0", f"{PLACES}/full", "tablespace_mapping"]),
    ],
    ids=["two in one", "one in another", "two in one by a link", "in the data directory", "in a system's", "not empty"],
)
def test_places_of_tablespaces_that_are_refused(
    small: Small, mapping: dict[int, str], code: str, words: list[str]
) -> None:
    as_postgres(small.clone.host, f"cd {PLACES}; mkdir one full; ln -s one link; echo mine >full/file")
    refused = small.run(tablespace_mapping={LOCATIONS[n]: place for n, place in mapping.items()})
    assert refused["error_code"] == code, refused
    for word in [*words, "Next:"]:
        assert word in refused["msg"]
    left = small.clone.host.run(["find", DATA, PLACES, "-mindepth", "1"]).stdout.split()
    assert sorted(left) == [f"{PLACES}/{name}" for name in ("full", "full/file", "link", "one")]
    assert not small.clone.host.exists(STATE)


# --- the whole role ---------------------------------------------------------------------


@pytest.fixture
def fresh(lab: Lab, clone: Clone) -> Iterator[Host]:
    """A host without a directory of the database's, before and after."""
    lab.reset(HOST)
    yield clone.host
    clone.host.run(["umount", "--lazy", DATA], check=False)
    lab.reset(HOST)


@pytest.mark.long
def test_the_role_in_debians_layout_on_a_mount_point(fresh: Host, playbook: Playbook) -> None:
    mount(fresh, "/var/lib/postgresql/15")
    before = inode(fresh, f"{DATA}/lost+found")
    mapping = {FAST: '/srv/other "disk"/fast ü'}
    run = playbook.run("--limit", HOST, waldir=WALDIR, tablespace_mapping=mapping)
    assert run.rc == 0, run.output
    assert "streaming" in run.output
    assert inode(fresh, f"{DATA}/lost+found") == before
    assert fresh.run(["readlink", f"{DATA}/pg_wal"]).stdout.strip() == WALDIR
    assert [fresh.exists(place) for place in (FAST, *mapping.values())] == [False, True]


@pytest.mark.long
def test_the_role_in_red_hats_layout(fresh: Host, playbook: Playbook) -> None:
    data, options = RHEL
    run = playbook.run("--limit", HOST, data_directory=data, service="", **options)
    assert run.rc == 0, run.output
    assert "streaming" in run.output
    assert fresh.exists("/var/lib/pgsql/15/.data.standby/state.json")
