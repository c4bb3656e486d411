"""Barman's own restore: the role with it, and what becomes of it when everything is killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from clone_on_host import FAST, Clone
from copies_under_way import taking_part
from lab import Lab
from play import Playbook, said_of
from podman import wait_for
from small_cluster import SMALL, SMALL_AT_BARMAN, build_small, remove_small
from standby_host import DATA, HOST, STATE

SERVER = f"pgfleet_small_{HOST}"
CONFIG = f"/etc/barman.d/{SERVER}.conf"
SECTION = f"""\
[{SERVER}]
description = a small cluster of {HOST}'s tests
conninfo = host=nowhere
backup_method = rsync
ssh_command = ssh nowhere
archiver = on
backup_directory = {SMALL_AT_BARMAN}
"""
# What Barman knows of a backup; the files are those of a real one.
INFO = """\
backup_label=None
begin_offset=40
begin_time=2026-11-22 01:00:00+00:00
begin_wal=000000010000000000000002
begin_xlog=None
compression=None
config_file=None
copy_stats=None
encryption=None
end_offset=256
end_time=2026-11-22 01:00:01+00:00
end_wal=000000010000000000000002
end_xlog=None
error=None
hba_file=None
ident_file=None
included_files=None
mode=rsync-concurrent
pgdata={data}
server_name={server}
size=30000000
status=DONE
systemid={identifier}
tablespaces=[('fast', {oid}, '{fast}')]
timeline=1
version=150000
xlog_segment_size=16777216
"""
BACKUP_ID = "20261122T010000"
PLACE = f"{SMALL_AT_BARMAN}/base/{BACKUP_ID}"
WAY = f"ssh postgres@{HOST}"
OTHER = "primary"  # where the same user is let in
# A Barman that has restored everything and does not end.
LINGERING = f"{SMALL_AT_BARMAN}/lingering"
LINGER = """\
#!/bin/sh
barman "$@" || exit
case $* in *restore*) exec sleep 123456 ;; esac
"""


@pytest.fixture(scope="module")
def clone(lab: Lab) -> Iterator[Clone]:
    """A small backup in Barman's catalogue, with settings that Barman changes."""
    clone = SmallClone.on(lab)
    remove_small(lab, clone.host)
    try:
        small = build_small(lab, clone.host)[0]
        catalogue(lab, small)
        clone.options |= {
            "backup": small
            | {"server": SERVER, "backup_id": BACKUP_ID, "directory": f"{SMALL_AT_BARMAN}/base/{BACKUP_ID}"},
            "remote_ssh_command": WAY,
        }
        yield clone
    finally:
        clone.empty()
        clone.host.run(["rm", "-rf", STATE])
        lab.barman.run(["rm", "-f", CONFIG])
        remove_small(lab, clone.host)


def catalogue(lab: Lab, small: dict[str, Any]) -> None:
    """Have Barman know the backup."""
    [tablespace] = small["tablespaces"]
    values = {"oid": tablespace["oid"], "fast": FAST, "identifier": small["system_identifier"]}
    info = INFO.format(data=DATA, server=SERVER, **values)
    lab.barman.run(["mkdir", f"{SMALL_AT_BARMAN}/base", f"{SMALL_AT_BARMAN}/meta"], user="barman")
    lab.barman.run(["mv", small["directory"], PLACE], user="barman")
    lab.barman.write(f"{SMALL_AT_BARMAN}/meta/{BACKUP_ID}-backup.info", info)
    lab.barman.write(CONFIG, SECTION)
    lab.barman.write(LINGERING, LINGER)
    lab.barman.run(["chmod", "755", LINGERING])


class SmallClone(Clone):
    """Its WAL is here."""

    def start_settings(self) -> dict[str, str]:
        return {"restore_command": f"cp {SMALL}/wal/%f %p", "max_connections": "100", "archive_mode": "off"}


def restore(clone: Clone, **options: Any) -> dict[str, Any]:
    return clone.module("standby_restore", **{**clone.options, **options})


def kill_everything(clone: Clone) -> None:
    """What takes part on this host, at once."""
    runner = json.loads(clone.host.read(f"{STATE}/runner"))["pid"]
    pids = {runner, *taking_part(clone, runner, "")}
    clone.host.run(["kill", "-KILL", *map(str, pids)], check=False)


def at_barman(clone: Clone, pattern: str) -> bool:
    """Whether a process of Barman's user at the Barman host has this in its command."""
    return clone.lab.barman.run(["pgrep", "-u", "barman", "-f", pattern], check=False).returncode == 0


def nested_control(clone: Clone) -> bool:
    found = clone.host.run(["find", f"{DATA}/.pgfleet", "-path", "*/global/pg_control"], check=False).stdout
    return bool(found.strip())


def test_a_way_that_leads_elsewhere_or_nowhere_is_refused(clone: Clone) -> None:
    for way, said in (
        (f"ssh postgres@{OTHER}", "another host"),
        (f"ssh -i /none -F none nobody@{HOST}", "cannot use its own key"),
    ):
        refused = restore(clone, remote_ssh_command=way)
        assert refused["error_code"] == "standby_unreachable", refused
        for word in (said, "Nothing was changed", "authorized_keys of postgres"):
            assert word in refused["msg"]
    assert clone.host.run(["find", DATA, FAST, "-mindepth", "1"]).stdout == ""
    assert not clone.host.exists(STATE)


def test_a_restore_of_which_everything_is_killed_leaves_nothing_that_starts(clone: Clone) -> None:
    """First with files on their way, then with all of them there and pg_control among them."""
    for options, reached in (
        ({"bwlimit": 200, "jobs": 1}, lambda: clone.progress().get("bytes_done", 0) > 0),
        ({"barman_executable": LINGERING}, lambda: nested_control(clone) and at_barman(clone, "sleep 123456")),
    ):
        waiting = clone.start(module="standby_restore", **options)
        wait_for(reached, "the restore to come so far")
        kill_everything(clone)
        assert clone.finish(waiting)["error_code"] == "copy_killed"
        assert clone.state()["phase"] == "copying"
        assert clone.try_to_start()[0] != 0
        assert not clone.host.exists(f"{DATA}/global/pg_control")
        wait_for(lambda: not at_barman(clone, f"restore.*{SERVER}|sleep 123456"), "Barman to end")

    done = restore(clone)
    assert (done.get("action"), done["verified"]) == ("replace", "manifest"), done
    assert any("Some settings have been modified" in line for line in done["barman_said"])
    assert "archive_command = 'cp %p" in clone.host.read(f"{DATA}/postgresql.conf")
    left = clone.host.run(
        ["find", DATA, FAST, "-name", "*.origin", "-o", "-name", ".pgfleet", "-o", "-name", ".barman*"]
    )
    assert left.stdout == ""
    clone.assert_healthy()
    assert restore(clone)["action"] == "none"


@pytest.mark.long
def test_the_role_ends_with_a_standby_that_streams(lab: Lab, playbook: Playbook, empty: None) -> None:
    place = "/srv/tablespaces/other"
    options = {"method": "barman", "remote_ssh_command": WAY, "tablespace_mapping": {FAST: place}}
    refused = playbook.run("--limit", HOST, **{**options, "remote_ssh_command": f"ssh postgres@{OTHER}"})
    assert refused.rc != 0, refused.output
    assert "standby_unreachable" in refused.output
    assert refused.recap[HOST]["changed"] == 0
    assert not lab.host(HOST).exists("/var/lib/postgresql/15")

    run = playbook.run("--limit", HOST, **options)
    assert run.rc == 0, run.output
    assert "by barman" in run.output
    assert said_of(HOST, run) == "clone"
    assert "streaming" in run.output
    assert lab.host(HOST).run(["ls", place]).stdout.startswith("PG_15_")
    again = playbook.run("--limit", HOST, **options)
    assert (again.rc, again.recap[HOST]["changed"]) == (0, 0), again.output
