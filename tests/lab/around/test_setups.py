"""A Barman host where nothing is as usual: port, user, key, Barman's place and configuration, and what a login says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sshd import SSHD, own_key
from standby_host import HOST
from upstream import OwnBarman, Upstream, own_barman

USER = f"keeper-{HOST}"
PLACE = f"/opt/pgfleet-{HOST}"
ALIAS = "backups"
# Every login is told something on standard error; a person also on standard output.
NOISE = "echo 'Maintenance on Sunday: {rsync} barman: not found' >&2\ncase $- in *i*) echo 'Welcome!' ;; esac\n"
BANNER = "Authorized use only!\nPermission denied\n{}\n"


@pytest.fixture(scope="module")
def barman(upstream: Upstream) -> Iterator[OwnBarman]:
    lab = upstream.lab
    try:
        lab.barman.run(["useradd", "--system", "--create-home", "--shell", "/bin/bash", USER])
        lab.barman.write(f"/home/{USER}/.bashrc", NOISE, owner=USER)
        lab.barman.write(f"/home/{USER}/.bash_profile", "echo 'Welcome!'\n. ~/.bashrc\n", owner=USER)
        lab.barman.run(["sh", "-euc", f"mkdir -p {PLACE}/bin; ln -s /opt/barman/bin/barman {PLACE}/bin/barman"])
        barman = OwnBarman(lab, f"{HOST}-setup", f"{PLACE}/bin/barman", USER)
        with own_barman(barman):
            lab.barman.write(f"{SSHD}.banner", BANNER)
            # /usr/local/bin, where the lab's barman is, is not on this PATH.
            lines = [f"Banner {SSHD}.banner", "PrintMotd yes", "SetEnv PATH=/usr/bin:/bin"]
            with own_key(lab, ALIAS, USER, "", *lines):
                yield barman
    finally:
        lab.barman.run(["rm", "-rf", PLACE, f"/home/{USER}"])
        lab.barman.run(["userdel", "--force", USER], check=False)


@pytest.mark.long
def test_all_of_it_at_once(upstream: Upstream, barman: OwnBarman) -> None:
    greeted = upstream.host.run(["ssh", ALIAS, "barman"], user="postgres", check=False)
    assert (greeted.returncode, greeted.stdout) == (127, "")
    assert "Maintenance" in greeted.stderr
    assert "Authorized" in greeted.stderr
    extra = {"host": ALIAS, "config": barman.conf, "executable": barman.executable}
    upstream.becomes_standby(**extra)
    upstream.stays(**extra)
    upstream.assert_wal_comes()
