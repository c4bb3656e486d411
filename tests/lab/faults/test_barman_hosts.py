"""Barman hosts that greet, refuse, drop connections or are reached oddly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from clone_on_host import FAST, Clone
from first_and_second import TOP, compare
from lab import Lab
from podman import File, Host
from small_cluster import SMALL
from sshd import CONFIG, PORT, SSHD, own_sshd
from standby_host import DATA, HOST, STATE


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
