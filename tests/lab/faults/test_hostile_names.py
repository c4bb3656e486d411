"""Traps on the standby, names that a shell would execute, and Barman hosts that greet, refuse or are reached oddly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from clone_on_host import FAST, Clone
from lab import Lab
from podman import File, Host
from small_cluster import SMALL, SMALL_AT_BARMAN, build_small, remove_small
from sshd import CONFIG, PORT, SSHD, own_sshd
from standby_host import DATA, HOST, STATE

TOP = "/srv/pgfleet-hostile"
CANARY = f"{TOP}/canary"

# --- fixtures ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def first_and_second(lab: Lab) -> Iterator[list[Clone]]:
    """A clone of each of the small backups, of which the second is the newer."""
    clone = Clone.on(lab)
    remove_small(lab, clone.host)
    try:
        backups = build_small(lab, clone.host)
        yield [replace(clone, options={**clone.options, "backup": backup, "compress": "none"}) for backup in backups]
    finally:
        remove_small(lab, clone.host)
        clone.empty()
        clone.host.run(["rm", "-rf", STATE, TOP])


@pytest.fixture
def second(first_and_second: list[Clone]) -> Clone:
    first_and_second[1].empty()
    first_and_second[1].host.run(["rm", "-rf", TOP])
    first_and_second[1].host.run(["install", "--directory", "--mode=700", "--owner=postgres", TOP])
    return first_and_second[1]


@pytest.fixture
def first(first_and_second: list[Clone], second: Clone) -> Clone:
    return first_and_second[0]


def assert_healthy(clone: Clone) -> None:
    """As for every clone; the WAL of the small cluster is here."""
    restore = f"echo \"restore_command = 'cp {SMALL}/wal/%f %p'\" >>{DATA}/postgresql.auto.conf"
    clone.host.run(["sh", "-c", restore], user="postgres")
    clone.assert_healthy()


def assert_untouched(clone: Clone) -> None:
    found = clone.host.run(["sh", "-c", f"find {DATA} {FAST} -mindepth 1; ls -d {STATE}"], check=False).stdout
    assert found == ""


@contextmanager
def without_rsync(host: Host) -> Iterator[str]:
    """A directory with all programs but that."""
    path = f"/run/pgfleet-without-rsync-{HOST}"
    host.run(["sh", "-c", f"mkdir {path} && ln -s /usr/bin/* {path} && rm {path}/rsync*"])
    try:
        yield path
    finally:
        host.run(["rm", "-rf", path])


# --- traps ---------------------------------------------------------------------------

# What stands for things that somebody else needs. A copy may neither write to them nor remove them.
CANARIES = f"""\
set -eu
umask 077
mkdir {CANARY} {CANARY}/empty {CANARY}/other
for name in soft hard other/file; do echo "precious $name" >{CANARY}/$name; done
touch -d 2001-01-01 {CANARY}/*
"""
LOOK = f"cd {CANARY} && find . -printf '%p %y %m %T@ %s\\n' | sort && find . -type f -exec sha256sum {{}} + | sort"

# In the data directory (the working directory) and the tablespace, $1.
TRAPS = {
    "files": f"""
        ln -sf {CANARY}/soft base/1/1255
        ln -f {CANARY}/hard base/1/1249
        ln -sf {CANARY}/soft $(find $1 -type f | head -1)
        ln -f {CANARY}/hard $(find $1 -type f | tail -1)""",
    "files that the copy writes itself": f"""
        ln -sf {CANARY}/soft postgresql.auto.conf
        ln -sf {CANARY}/soft standby.signal
        ln -s {CANARY}/hard global/pg_control.new""",
    "directories": f"""
        mv base/1 $1/PG_* {CANARY}
        ln -s {CANARY}/1 base/1
        ln -s {CANARY}/PG_* $1/""",
    "a directory of directories": f"mv base {CANARY}/base && ln -s {CANARY}/base base",
    "the directory of pg_control": f"mv global {CANARY}/global && ln -s {CANARY}/global global",
    "the WAL": f"rm -r pg_wal && ln -s {CANARY}/other pg_wal",
    "the tablespace": f"ln -sfn {CANARY}/other $(echo pg_tblspc/1*)",
}
# Of a copy that was interrupted before its end.
INTERRUPTED = f"rm -f {DATA}/global/pg_control {DATA}/standby.signal; sed -i s/committed/copying/ {STATE}/state.json"


def plant(clone: Clone, script: str) -> str:
    """Set a trap; what the canaries look like."""
    clone.host.run(["sh", "-c", CANARIES], user="postgres")
    clone.host.run(["sh", "-euc", f"cd {DATA}; {script}", "sh", FAST], user="postgres")
    return clone.host.run(["sh", "-c", LOOK]).stdout


def look(clone: Clone) -> str:
    return clone.host.run(["sh", "-c", LOOK]).stdout


def renew(host: Host, saved: str) -> None:
    """The clone as it was."""
    host.run(["sh", "-euc", f"rm -rf {DATA} {FAST} {STATE} {CANARY}; cp -a {saved}/. /"])


@pytest.fixture(scope="module")
def saved(first_and_second: list[Clone]) -> str:
    """A finished clone of the first backup, to be had again and again."""
    clone, saved = first_and_second[0], f"{SMALL}/saved"
    clone.empty()
    assert clone.run()["action"] == "clone"
    clone.host.run(["sh", "-euc", f"mkdir {saved} && cp -a --parents {DATA} {FAST} {STATE} {saved}"])
    return saved


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("way", ["resume", "delta"])
def test_a_copy_writes_through_no_link(first: Clone, second: Clone, saved: str, way: str, trap: str) -> None:
    renew(first.host, saved)
    before = plant(first, (f"{INTERRUPTED}; " if way == "resume" else "") + TRAPS[trap])
    clone = first if way == "resume" else second
    options = {} if way == "resume" else {"overwrite": "same_cluster"}
    done = clone.run(**options)
    assert look(clone) == before
    if (way, trap) == ("delta", "the tablespace"):  # where ours should be is somebody's whom the cluster does not know
        assert done["error_code"] == "target_not_empty"
        for said in (FAST, "Nothing was changed", "Next: empty it"):
            assert said in done["msg"]
        clone.host.run(["sh", "-c", f"rm -r {FAST}/*"])
        done = clone.run(**options)
        assert look(clone) == before
    assert done.get("action") == way, done
    elsewhere = trap in ("the WAL", "the tablespace")
    assert done["left_behind"] == ([f"{CANARY}/other"] if elsewhere else [])
    compare(clone, clone.options["backup"], DATA, FAST)
    assert clone.run()["action"] == "none"


# What a link in the place of each of them leads to, and the refusal; where there is none, the copy goes round it.
STATE_TRAPS = {
    "lock": ("soft", "write_failed"),
    "runner": ("soft", "write_failed"),
    "state.json": ("soft", "state_unreadable"),
    "work": ("other", None),
    "result.json": ("soft", None),
    "progress.json": ("soft", None),
}


@pytest.mark.parametrize("name", STATE_TRAPS)
def test_a_copy_writes_through_no_link_of_its_state_directory(second: Clone, name: str) -> None:
    target, code = STATE_TRAPS[name]
    second.host.run(["install", "--directory", "--mode=700", "--owner=postgres", STATE])
    before = plant(second, f"ln -s {CANARY}/{target} {STATE}/{name}")
    done = second.run()
    assert look(second) == before
    assert done.get("error_code") == code, done
    if code:
        assert f"{STATE}/{name}" in done["msg"]
        assert "remove it" in done["msg"].partition("Next: ")[2]
        second.host.run(["rm", f"{STATE}/{name}"])
        done = second.run()
        assert look(second) == before
    assert done.get("action") == "clone", done
    compare(second, second.options["backup"], DATA, FAST)


# --- names ---------------------------------------------------------------------------

PWNED = "pwned-by-a-name"
NAMES = [
    b" leading and trailing ",
    b"it's",
    b'quo"te',
    f"$(touch {PWNED})".encode(),
    f"`touch {PWNED}`".encode(),
    f"; touch {PWNED};".encode(),
    b"#comment",
    b";comment",
    b"-rf",
    b"--delete",
    b"new\nline",
    b"carriage\rreturn",
    b"tab\t",
    b"back\\slash",
    b"\\",
    rb"\#012",
    rb"\#134",
    b"100%s %1",
    b"*",
    b"[a-z]?",
    b"{a,b}",
    b"~",
    b"!history",
    b"host:path",
    b"::module",
    "Übergröße".encode(),
    b"caf\xe9",
    b"\x01\x7f\xff",
    b"x" * 255,
    "ü".encode() * 127,
]

# On the Barman host: adds files and directories of these names to a backup, or changes those that are there.
LITTER = """
import json, os, sys
top, tree, change, *names = json.load(sys.stdin)
places = [os.path.join(os.fsencode(top), b"data/base/1"), os.path.join(os.fsencode(top), os.fsencode(tree))]
for number, name in enumerate(map(bytes.fromhex, names)):
    for place in places:
        for parent in (place, os.path.join(place, b"odd", name)):
            os.makedirs(parent, exist_ok=True)
            with open(os.path.join(parent, name), "ab") as file:
                file.write(b"content of " + name * (1 if number % 2 else 50) + change.encode())
"""
# Every file and directory below some places, with its contents.
WALK = """
import hashlib, os, sys
for top in map(os.fsencode, sys.argv[1:]):
    for directory, directories, files in sorted(os.walk(top)):
        for name in sorted(directories):
            print(os.path.relpath(os.path.join(directory, name), top).hex())
        for name in sorted(files):
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                print(os.path.relpath(path, top).hex(), hashlib.sha256(file.read()).hexdigest())
"""


def walk(host: Host, *tops: str) -> list[str]:
    return host.run(["python3", "-", *tops], input=WALK).stdout.splitlines()


def compare(clone: Clone, backup: dict[str, Any], data: str, fast: str) -> None:
    """All of the databases and the tablespace is the backup's, byte for byte."""
    top = backup["directory"]
    parts = ("base", "global", "pg_xact")
    there = walk(clone.lab.barman, *(f"{top}/data/{part}" for part in parts), f"{top}/{oid(backup)}")
    assert walk(clone.host, *(f"{data}/{part}" for part in parts), fast) == there
    assert len(there) > 300


def oid(backup: dict[str, Any]) -> int:
    return int(backup["tablespaces"][0]["oid"])


def litter(lab: Lab, backup: dict[str, Any], change: str = "") -> None:
    tree = lab.barman.run(["sh", "-c", f'cd "$0" && echo {oid(backup)}/PG_*/1', backup["directory"]]).stdout.strip()
    given = json.dumps([backup["directory"], tree, change, *(name.hex() for name in NAMES)])
    lab.barman.run(["python3", "-c", LITTER], user="barman", input=given)


PLACES = {"data": DATA, "fast": FAST, "wal": f"{TOP}/wal"}
ODD = f'{TOP}/it\'s "odd" $(touch {PWNED}) `touch {PWNED}`; # -\t\\ % * ü'
ODD_PLACES = {name: f"{ODD}/-{name} #" for name in PLACES}


@pytest.mark.parametrize("places", [PLACES, ODD_PLACES], ids=["plain places", "odd places"])
def test_every_name_arrives_and_is_brought_up_to_date(lab: Lab, second: Clone, places: dict[str, str]) -> None:
    second.host.run(["install", "--directory", "--mode=700", "--owner=postgres", ODD, *places.values()])
    directory = f"{SMALL_AT_BARMAN}/it's $(touch {PWNED}) #1" if places is ODD_PLACES else f"{SMALL_AT_BARMAN}/odd"
    backup = {**second.options["backup"], "directory": directory}
    lab.barman.run(["cp", "-a", second.options["backup"]["directory"], directory])
    options = {
        "data_directory": places["data"],
        "tablespace_mapping": {FAST: places["fast"]},
        "waldir": places["wal"],
        "verify": "checksum",
    }
    try:
        litter(lab, backup)
        cloned = second.run(**options, backup=backup)
        assert (cloned.get("action"), cloned.get("verified")) == ("clone", "checksum"), cloned
        compare(second, backup, places["data"], places["fast"])

        litter(lab, backup, "changed")
        newer = {**backup, "backup_id": "newer"}
        delta = second.run(**options, backup=newer, overwrite="same_cluster")
        assert (delta.get("action"), delta.get("verified")) == ("delta", "checksum"), delta
        compare(second, backup, places["data"], places["fast"])
        assert delta["bytes_sent"] < delta["bytes"] / 2
        assert second.run(**options, backup=newer)["action"] == "none"
    finally:
        lab.barman.run(["rm", "-rf", directory])
    for host in (second.host, lab.barman):
        found = host.run(["find", "/", "/tmp", "/run", "-xdev", "-name", PWNED]).stdout
        assert found == "", host.name


# --- the way to the Barman host ------------------------------------------------------


def test_what_a_login_prints_is_named_before_anything_changes(lab: Lab, second: Clone) -> None:
    command = 'ForceCommand echo Welcome to Barman; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    with own_sshd(lab, command) as options:
        refused = second.run(ssh_options=options)
    assert refused["error_code"] == "ssh_stdout_polluted"
    for said in ("barman@barman", "Welcome to Barman", "login", "Next: silence the login scripts"):
        assert said in refused["msg"]
    assert_untouched(second)


def test_a_banner_before_login_does_no_harm(lab: Lab, second: Clone) -> None:
    lab.barman.write(f"{SSHD}.banner", "Authorized use only!\nrsync: not found\nPermission denied\n")
    with own_sshd(lab, f"Banner {SSHD}.banner") as options:
        assert second.run(ssh_options=options).get("action") == "clone"
    assert_healthy(second)


def test_a_missing_rsync_is_named_before_anything_changes(lab: Lab, second: Clone) -> None:
    with without_rsync(second.host) as path:
        here = second.finish(second.start("env", f"PATH={path}"))
    assert here["error_code"] == "rsync_missing_local"
    assert "rsync is not installed on this host. Next: install rsync" in here["msg"]
    assert_untouched(second)

    with (
        without_rsync(lab.barman) as path,
        own_sshd(lab, f'ForceCommand PATH={path} exec sh -c "$SSH_ORIGINAL_COMMAND"') as options,
    ):
        there = second.run(ssh_options=options)
    assert there["error_code"] == "rsync_missing_remote"
    for said in ("barman@barman", "Nothing was changed", "Next: install rsync on the Barman host"):
        assert said in there["msg"]
    assert_untouched(second)


def test_many_connections_at_once_pass_a_host_that_drops_them(lab: Lab, second: Clone) -> None:
    """Eight workers of one run, beside six runs of two workers each."""
    places = [f"{TOP}/{number}" for number in range(6)]
    second.host.run(["install", "--directory", "--mode=700", "--owner=postgres", *places])
    with own_sshd(lab, "MaxStartups 2:50:4") as options:
        runs = [
            second.start(
                ssh_options=options,
                jobs=2,
                data_directory=f"{place}/main",
                tablespace_mapping={FAST: f"{place}/fast"},
            )
            for place in places
        ]
        done = [second.finish(run) for run in runs]
        eight = second.run(ssh_options=options, jobs=8)
    assert [one.get("action") for one in done] == ["clone"] * 6, done
    assert eight.get("action") == "clone", eight
    for place in places:
        compare(second, second.options["backup"], f"{place}/main", f"{place}/fast")


ALIASES = f"""\
Host jumped
    HostName 127.0.0.1
    ProxyJump barman@barman
    User barman
    Port {PORT}
    HostKeyAlias barman
Host shared
    HostName barman
    User barman
    ControlMaster auto
    ControlPath ~/.ssh/shared-%C
    ControlPersist 60
"""


@pytest.mark.parametrize("alias", ["jumped", "shared"])
def test_ssh_config_is_obeyed(lab: Lab, second: Clone, alias: str) -> None:
    """Another port, user and way; a connection that the user shares between programs."""
    host = second.host
    host.put([File(CONFIG, ALIASES, "postgres", 0o600)])
    try:
        with own_sshd(lab):
            host.run(["ssh", alias, "true"], user="postgres")
            done = second.run(barman_host=alias)
        assert done.get("action") == "clone", done
        compare(second, second.options["backup"], DATA, FAST)
    finally:
        host.run(["ssh", "-O", "exit", "shared"], user="postgres", check=False)
        host.run(["rm", "-f", CONFIG])


def test_an_ipv6_address_is_a_destination(lab: Lab, second: Clone) -> None:
    ours, theirs = (f"fd00:6:{HOST[1:]}::{number}" for number in (1, 2))
    hosts = ((second.host, ours), (lab.barman, theirs))
    try:
        for host, address in hosts:
            host.run(["ip", "-6", "address", "add", f"{address}/64", "dev", "eth0", "nodad"])
        done = second.run(barman_host=f"barman@[{theirs}]", ssh_options=["-o", "HostKeyAlias=barman"])
        assert done.get("action") == "clone", done
        compare(second, second.options["backup"], DATA, FAST)
    finally:
        for host, address in hosts:
            host.run(["ip", "-6", "address", "delete", f"{address}/64", "dev", "eth0"], check=False)
