# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup import tar_backup as _tar_backup
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.backup_manifest import (
    parse_manifest,
    render_manifest,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    DATA,
    NOT_COPIED,
    TABLESPACE,
    make_tar,
    read_tree,
)

PULLS_A_TAR = "*nice*base.tar*)"
# For pg_verifybackup, which needs more than these files.
CHANGED = {"postgresql.auto.conf", "standby.signal", "pg_tblspc/16388"}


@pytest.fixture(params=["gzip"])
def packed(request, host):
    host.pack(request.param)
    return host


def wanted():
    return {name: text for name, text in DATA.items() if name not in NOT_COPIED}


def pulled(host):
    """The tars that were sent whole."""
    commands = [" ".join(call) for call in host.calls()]
    return {command.split("/")[-1].split()[0] for command in commands if "nice" in command and ".tar" in command}


def assert_copied(host):
    there = read_tree(host.pgdata)
    assert {name: text for name, text in there.items() if name not in CHANGED} == {
        name: text for name, text in wanted().items() if name not in CHANGED
    }
    assert read_tree(host.fast) == TABLESPACE
    assert {path.name for path in host.state.iterdir()} == {"lock", "progress.json", "state.json"}


@pytest.mark.parametrize("packed", ["gzip", "lz4", "zstd", None], indirect=True)
def test_a_packed_backup_is_copied_like_a_plain_one(packed):
    outcome = packed.copy()
    assert (outcome.action, outcome.verified, outcome.files) == ("clone", "manifest", len(wanted()) + len(TABLESPACE))
    assert outcome.sent == outcome.bytes
    assert_copied(packed)
    assert packed.copy().action == "none"


def test_another_copy_writes_only_what_is_not_right(packed):
    packed.copy()
    (packed.pgdata / "base/1/1259").write_text("damaged")
    outcome = packed.copy(overwrite="same_cluster", again=True)
    assert (outcome.action, outcome.sent) == ("delta", 8192 + len(DATA["postgresql.auto.conf"]))
    assert_copied(packed)


def test_a_tar_whose_files_are_all_right_is_not_sent_by_a_run_that_resumes(packed):
    packed.hook(f"case $command in {PULLS_A_TAR} exit 1 ;; esac")
    with pytest.raises(StandbyError) as failed:
        packed.copy(jobs=1)
    assert failed.value.code == "backup_files_missing"
    assert not (packed.pgdata / "global/pg_control").exists()
    packed.healthy()
    packed.forget_calls()
    outcome = packed.copy(jobs=1)
    assert (outcome.action, outcome.sent) == ("resume", outcome.bytes - sum(map(len, TABLESPACE.values())))
    assert pulled(packed) == {"base.tar.gz"}
    assert_copied(packed)


def test_a_connection_that_breaks_is_tried_again(packed):
    once = packed.root / "once"
    broken = "head -c 100 <&0; echo 'client_loop: send disconnect: Broken pipe' >&2; exit 255"
    packed.hook(f"case $command in {PULLS_A_TAR} [ -e {once} ] || {{ touch {once}; {broken}; }} ;; esac")
    assert packed.copy().retries == 1
    assert_copied(packed)


@pytest.mark.parametrize("packed", ["gzip", "zstd", None], indirect=True)
@pytest.mark.parametrize("there", [False, True], ids=["unpacked here", "unpacked there"])
def test_a_connection_that_breaks_is_tried_again_although_ssh_says_that_all_is_well(packed, there, monkeypatch):
    """It does when it shares a connection and that ends after the program there, but before all has come."""
    if there:
        monkeypatch.setattr(_tar_backup, "shutil", SimpleNamespace(which=lambda name: None))
    once = packed.root / "once"
    broken = f'touch {once}; sh -c "$command" | head -c 100; exit 0'
    packed.hook(f"case $command in {PULLS_A_TAR} [ -e {once} ] || {{ {broken}; }} ;; esac")
    assert packed.copy().retries == 1
    assert_copied(packed)


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_tar_that_breaks_off_is_refused(packed, size):
    tar = packed.data / "16388.tar.gz"
    tar.write_bytes(tar.read_bytes()[:size])
    with pytest.raises(StandbyError) as refused:
        packed.copy()
    assert refused.value.code == "archive_damaged"
    assert not (packed.pgdata / "global/pg_control").exists()


@pytest.mark.parametrize(("packed", "there"), [("zstd", True), ("zstd", False)], indirect=["packed"])
def test_what_this_host_cannot_decompress_the_other_may(packed, there, monkeypatch):
    monkeypatch.setattr(_tar_backup, "shutil", SimpleNamespace(which=lambda name: None))
    if there:
        packed.copy()
        assert_copied(packed)
        assert any(f"zstd -dc {packed.data}/base.tar.zst" in " ".join(call) for call in packed.calls())
        return
    packed.hook("case $command in zstd*) exit 127 ;; esac")
    with pytest.raises(StandbyError, match="neither on this host nor on barman@backup-host") as refused:
        packed.copy()
    assert refused.value.code == "decompressor_missing"
    assert not packed.pgdata.exists()


def test_without_a_manifest_it_is_refused(packed):
    (packed.data / "backup_manifest").unlink()
    with pytest.raises(StandbyError, match=r"has no backup_manifest.*Next: choose a backup .*without"):
        packed.copy()


def test_an_empty_tablespace_gets_its_directory_from_its_tar(packed):
    shutil.rmtree(packed.tablespace)
    (packed.tablespace / "PG_15_202209061").mkdir(parents=True)
    make_tar(packed.tablespace, packed.data / "16388.tar")
    (packed.data / "16388.tar.gz").unlink()
    manifest = packed.data / "backup_manifest"
    promised = [it for it in parse_manifest(manifest.read_bytes().splitlines(True)) if "pg_tblspc" not in it.path]
    manifest.write_text(render_manifest(promised))
    packed.copy()
    assert [path.name for path in packed.fast.iterdir()] == ["PG_15_202209061"]
