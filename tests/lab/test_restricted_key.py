"""The forced command that the role ships: the whole role works with such a key, and the key can do nothing else."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
from conftest import HOST, ROOT
from sshd import SSHD, own_key
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
    "rsync by another path": "rsync -rs --rsync-path='touch {canary}; rsync' restricted:{home}/own/base/ {local}/",
}
LOOK = """\
cd {home} && find . -not -name '*.log' -printf '%p %y %u %m %s %T@\\n' | grep -v streaming | sort
ls -l {canary} 2>/dev/null
"""
# What came here counts as well.
TRY = """\
umask 077; mkdir {local}; cd {local}
( timeout 20 sh -c "$1" ) </dev/null 2>&1
echo "code $? files $(find {local} -type f | wc -l)"
rm -rf {local}
"""


class Refusals:
    """Attempts by that key, and what is there on the Barman host."""

    def __init__(self, upstream: Upstream, barman: OwnBarman) -> None:
        self.barman, self.host = upstream.lab.barman, upstream.host
        self.names = {"home": barman.home, "conf": barman.conf, "canary": f"{barman.home}/canary", "local": LOCAL}
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
