"""The forced command that the role ships: the whole role works with such a key, and the key can do nothing else."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.keep import ClaimRequest, pin
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import Completed, Shell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.quoting import remote_command
from ansible_collections.pgfleet.standby.plugins.module_utils._model import backup_from
from clone_on_host import Clone
from modules import PLUGINS, program
from podman import BOUND
from sshd import SSHD, own_key
from standby_host import DATA, HOST, ROOT
from upstream import OwnBarman, Upstream, own_barman

PROGRAM = ROOT / "roles/standby_from_barman/files/pgfleet_barman_only.py"
ALIAS = "restricted"


@pytest.fixture(scope="module")
def barman(upstream: Upstream) -> Iterator[OwnBarman]:
    """A Barman with a backup that the standby's key can read, and nothing more."""
    lab = upstream.lab
    with own_barman(OwnBarman(lab, f"{HOST}-key")) as barman:
        installed = f"{SSHD}.only.py"  # it goes with that sshd
        argv = ["python3", "-I", installed, "--server", "own", "--directory", barman.directory]
        argv += ["--barman", barman.executable, "--config", barman.conf]
        sftp = "Subsystem sftp internal-sftp"
        with own_key(lab, ALIAS, "barman", f'restrict,command="{shlex.join(argv)}" ', sftp):
            lab.barman.write(installed, PROGRAM.read_text())
            yield barman


def test_the_whole_role_works_with_it(upstream: Upstream, barman: OwnBarman) -> None:
    upstream.becomes_standby(host=ALIAS, config=barman.conf)
    assert "barman-wal-restore -U barman " in upstream.sql("SHOW restore_command", standby=True)
    upstream.assert_wal_comes()


LOCAL = f"/var/tmp/pgfleet-key-{HOST}"
# As a user would type it on the standby; {home} is Barman's, {canary} may never be there.
ATTEMPTS = {
    "nothing": "ssh restricted",
    "a shell": "ssh restricted sh",
    "a terminal": "ssh -tt restricted barman -v '&&' id",
    "another command": "ssh restricted rm -rf {home}/own",
    "a second command": "ssh restricted 'barman -v; touch {canary}'",
    "a command within": "ssh restricted 'barman -f json show-servers $(touch {canary})'",
    "a command on the next line": "ssh restricted 'barman -v\ntouch {canary}'",
    "a pipe": "ssh restricted 'barman -v | tee {canary}'",
    "a redirection": "ssh restricted 'barman -v > {canary}'",
    "another of barman's": "ssh restricted barman --config {conf} delete own latest",
    "another configuration": "ssh restricted barman --config {home}/mine.conf -v",
    "an option of barman's": "ssh restricted barman get-wal -o {home} own 000000010000000000000001",
    "another server": "ssh restricted barman -f json show-servers pg",
    "another file": "ssh restricted cat /etc/passwd",
    "another file by dots": "ssh restricted cat {home}/own/../../../../etc/backup.info",
    "an action of find's": "ssh restricted find {home}/own -mindepth 1 -delete",
    "a way through": "ssh -W localhost:22 restricted",
    "a forwarded port": "ssh -o ExitOnForwardFailure=yes -R 0:localhost:22 restricted cat",
    "sftp": "sftp -b /dev/null restricted",
    "scp": "scp restricted:{home}/own/identity.json {local}",
    "scp of old": "scp -O restricted:{home}/own/identity.json {local}",
    "rsync to it": "rsync -s /etc/hostname restricted:{home}/own/hostname",
    "rsync of another place": "rsync -rs restricted:/etc/ssh/ {local}/",
    "rsync by dots": "rsync -rs restricted:{home}/own/../../../../etc/ssh/ {local}/",
    "rsync without -s": "rsync -r --no-s restricted:{home}/own/base/ {local}/",
    "rsync that removes": "rsync -rs --remove-source-files restricted:{home}/own/base/ {local}/",
    "rsync with a log": "rsync -rs -M--log-file={canary} restricted:{home}/own/base/ {local}/",
    "rsync with a list there": "rsync -rs --files-from=:/etc/passwd restricted:{home}/own/base/ {local}/",
    "a program of its own": "ssh restricted \"python3 -I -c 'import os' x y\"",
    "another python": "ssh restricted python3 -c pass",
    "a tar elsewhere": "ssh restricted gzip -dc /etc/alternatives/README",
    "rsync by another path": "rsync -rs --rsync-path='touch {canary}; rsync' restricted:{home}/own/base/ {local}/",
}
LOOK = """\
cd {home} && find . -not -name '*.log' -printf '%p %y %u %m %s %T@\\n' | grep -v streaming | sort
ls -l {canary} 2>/dev/null
"""
# What came here counts as well.
TRY = """\
umask 077; mkdir {local}; cd {local}
( timeout {bound:.0f} sh -c "$1" ) </dev/null 2>&1
echo "code $? files $(find {local} -type f | wc -l)"
rm -rf {local}
"""


class Refusals:
    """Attempts by that key, and what is there on the Barman host."""

    def __init__(self, upstream: Upstream, barman: OwnBarman) -> None:
        self.barman, self.host = upstream.lab.barman, upstream.host
        self.names = {
            "home": barman.home,
            "conf": barman.conf,
            "canary": f"{barman.home}/canary",
            "local": LOCAL,
            "bound": BOUND,
        }
        self.before = self.look()

    def look(self) -> str:
        return self.barman.run(["sh", "-c", LOOK.format(**self.names)], check=False).stdout

    def attempt(self, command: str) -> str:
        argv = ["sh", "-c", TRY.format(**self.names), "sh", command.format(**self.names)]
        return self.host.run(argv, user="postgres").stdout


@pytest.fixture(scope="module")
def refusals(upstream: Upstream, barman: OwnBarman) -> Refusals:
    refusals = Refusals(upstream, barman)
    assert "backup.info" in refusals.before
    # It does get in.
    assert "code 0 " in refusals.attempt("ssh restricted barman --config {conf} -v")
    return refusals


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_all_else_is_refused_and_changes_nothing(refusals: Refusals, attempt: str) -> None:
    said = refusals.attempt(ATTEMPTS[attempt])
    end = re.search(r"code (\d+) files (\d+)\n$", said)
    assert end is not None, said
    assert end[1] not in ("0", "124"), said
    assert end[2] == "0", said
    # sshd passes on nothing that a subsystem says on standard error.
    assert re.search("this key may not run|(forwarding|PTY allocation request) failed|Connection closed", said), said
    assert refusals.look() == refusals.before


# --- with the options that let it keep and stage ----------------------------------------

INSTALLED = f"/var/tmp/pgfleet-program-{HOST}"
UTILS = f"{INSTALLED}/module_utils"


class Noted(Shell):
    """Notes what would be run on the Barman host."""

    where = ALIAS

    def run(self, argv: Any, **_bound: float) -> Completed:
        self.argv = list(argv)
        return Completed((), 0, "", "")


class Claims:
    """A backup of that Barman's, and what the standby's modules can do to it by that key."""

    def __init__(self, upstream: Upstream, barman: OwnBarman) -> None:
        upstream.bare()
        self.lab, self.barman = upstream.lab, barman
        self.clone = Clone.on(self.lab)
        self.backup = self.module("info", backup_id="latest", backup=None)["selected"]
        self.staging = f"{barman.home}/staging"

    def module(self, name: str, **options: Any) -> dict[str, Any]:
        where = {"barman_host": ALIAS, "barman_server": "own", "barman_config": self.barman.conf}
        given = {"owner": "one", "backup": getattr(self, "backup", None), **where, **options}
        if name == "info":
            del given["owner"], given["backup"]
        return self.clone.module(f"barman_backup_{name}", **given)

    def target(self) -> str:
        said = json.loads(self.barman.run("-f", "json", "keep", "--status", "own", self.backup["backup_id"]))
        return str(said["own"]["keep_status"]["message"])

    def staged(self) -> list[str]:
        return self.lab.barman.run(["ls", self.staging], check=False).stdout.split()

    def asked(self) -> list[str]:
        """What the module has Python run there to keep the backup."""
        noted = Noted()
        pin(Barman(noted, "own", config=self.barman.conf), backup_from(self.backup), ClaimRequest("one", 60))
        return noted.argv

    def run(self, argv: list[str]) -> Completed:
        command = ["ssh", ALIAS, remote_command(argv)]
        done = self.clone.host.run(command, user="postgres", check=False)
        return Completed((), done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def claims(upstream: Upstream, barman: OwnBarman) -> Iterator[Claims]:
    """The same key, with the options and with the program that they let it run."""
    host = upstream.lab.barman
    keys = host.read(f"{SSHD}.keys")
    claims = Claims(upstream, barman)
    more = ["--keep", "--stage", "--staging-directory", claims.staging, "--program", UTILS]
    utils = f"{PLUGINS}/module_utils"
    try:
        host.run(["mkdir", INSTALLED])
        unpack = ["tar", "--extract", "--no-same-owner", "--directory", INSTALLED, "--strip-components=5", utils]
        host.run(unpack, input=program())
        host.write(f"{SSHD}.keys", keys.replace("--config ", f"{shlex.join(more)} --config ", 1))
        yield claims
    finally:
        host.write(f"{SSHD}.keys", keys)
        host.run(["rm", "-rf", INSTALLED])


def test_with_the_options_it_keeps_and_stages(claims: Claims) -> None:
    kept = claims.module("keep")
    assert (kept.get("pinned"), claims.target()) == (True, "full"), kept
    released = claims.module("keep", state="absent")
    assert (released.get("pinned"), claims.target()) == (False, "nokeep"), released

    staged = claims.module("stage", staging_directory=claims.staging)
    assert (staged.get("restored"), len(claims.staged())) == (True, 1), staged
    copied = claims.clone.run(barman_host=ALIAS, backup=staged["backup"])
    assert (copied.get("action"), claims.clone.host.exists(f"{DATA}/global/pg_control")) == ("clone", True), copied
    # Held for the batches of a play with `serial`: the next one finds it.
    assert claims.module("stage", owner="whole play", staging_directory=claims.staging)["restored"] is False
    assert claims.module("stage", state="absent")["owners"] == ["whole play"]
    assert claims.module("stage", owner="two", staging_directory=claims.staging)["restored"] is False
    assert claims.module("stage", owner="two", state="absent")["owners"] == ["whole play"]
    given_up = claims.module("stage", owner="whole play", state="absent")
    assert (given_up.get("owners"), claims.staged()) == ([], []), given_up


def test_with_the_options_it_can_do_nothing_else(claims: Claims) -> None:
    *python, loader, text, request = claims.asked()
    canary = f"{claims.barman.home}/canary"
    theirs = {**json.loads(request), "directory": f"/var/lib/barman/pg/base/{claims.backup['backup_id']}"}
    for attempt in (
        [*python, f"import os; os.mkdir('{canary}')", text, request],
        [*python, loader, text.replace(text[100:104], "AAAA"), request],
        [*python, loader, text, json.dumps(theirs)],
    ):
        refused = claims.run(attempt)
        assert (refused.rc, ".only.py: " in refused.err) == (125, True), refused
    for options in ({"staging_directory": "/var/tmp"}, {"owner": "two\nlines"}, {"expiry": "400d"}):
        refused_stage = claims.module("stage", **options)
        assert refused_stage.get("error_code") == "barman_host_refused", refused_stage
    assert (claims.target(), claims.staged()) == ("nokeep", [])
    assert not claims.lab.barman.exists(canary)
    # It does get in.
    assert claims.run([*python, loader, text, request]).rc == 0
    assert claims.module("keep", state="absent")["changed"] is True


def test_a_program_of_another_version_does_not_run(claims: Claims) -> None:
    claims.lab.barman.run(["sh", "-c", f"echo >>{UTILS}/_barman_host/claims.py"])
    staged = claims.module("stage")
    assert (staged.get("error_code"), staged["msg"].count("plugins/module_utils")) == ("barman_host_refused", 2), staged
    assert f"{UTILS}/_barman_host/claims.py is not that of the standby's collection" in staged["msg"]
    kept = claims.module("keep")
    assert (kept.get("failed", False), kept["pinned"], claims.target()) == (False, False, "nokeep"), kept


def test_a_packed_backup_is_copied_by_it(claims: Claims) -> None:
    """The Barman host decompresses it, for this standby cannot."""
    pack = ["sh", "-c", f"echo backup_compression = lz4 >>{claims.barman.conf}"]
    claims.lab.barman.run(pack)
    claims.barman.run("backup", "--wait", "--wait-timeout", "300", "own")
    claims.clone.empty()
    packed = claims.module("info", backup_id="latest")["selected"]
    copied = claims.clone.run(barman_host=ALIAS, backup=packed)
    assert (copied.get("action"), copied.get("compress"), copied.get("verified")) == ("clone", "lz4", "manifest"), (
        copied
    )
