# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
import socket
import stat

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind import host_files as _host_files
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.host_files import (
    HostFiles,
    host_file_names,
    unwritable,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree

CLUSTER = {
    "PG_VERSION": "15\n",
    "backup_label.old": "label",
    "base/1/1259": "data",
    "core": "dump",
    "current_logfiles": "stderr log/server.log",
    "global/pg_control": "control",
    "pg_xact/0000": "commits",
    "postmaster.opts": "postgres",
    "standby.signal": "",
}
OWN = {
    "conf.d/own.conf": "work_mem = 1MB",
    "pg_hba.conf": "own",
    "postgresql.auto.conf": "own",
    "postgresql.conf": "own",
}
LOG = {"log/server.log": "what happened"}


@pytest.fixture
def top(tmp_path):
    top = tmp_path / "pgdata"
    write_tree(top, {**CLUSTER, **OWN, **LOG})
    (top / "server.key").symlink_to("/etc/ssl/private/own.key")
    (top / "pg_wal").symlink_to(tmp_path / "wal")
    return top


@pytest.fixture
def own(top, tmp_path):
    return HostFiles(str(top), str(tmp_path / "state" / "own"))


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_names(top):
    assert host_file_names(str(top)) == (
        "conf.d",
        "log",
        "pg_hba.conf",
        "postgresql.auto.conf",
        "postgresql.conf",
        "server.key",
    )


def test_what_a_server_left_is_not_its_own(top, monkeypatch):
    monkeypatch.chdir(top)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(".s.PGSQL.5432")
    assert ".s.PGSQL.5432" not in host_file_names(str(top))


def test_comes_back_over_what_has_arrived(top, own):
    before = read_tree(top)
    own.set_aside()
    write_tree(top, dict.fromkeys((*OWN, "log/other.log", "conf.d/other.conf"), "of the upstream"))
    (top / "server.key").unlink()
    write_tree(top, {"server.key": "of the upstream", "pg_xact/0000": "newer"})
    own.put_back()
    assert read_tree(top) == {**before, "pg_xact/0000": "newer"}


def test_comes_back_where_it_was_removed(top, own):
    before = read_tree(top)
    own.set_aside()
    for name in OWN:
        (top / name).unlink()
    own.put_back()
    assert read_tree(top) == before


def test_keeps_modes_though_it_makes_the_originals_writable(top, own):
    (top / "pg_hba.conf").chmod(0o400)
    own.set_aside()
    assert mode_of(top / "pg_hba.conf") == 0o600
    own.put_back()
    assert mode_of(top / "pg_hba.conf") == 0o400


def test_the_place_is_private_and_of_this_time(own, tmp_path):
    write_tree(tmp_path, {"elsewhere/precious": "x", "state/own/of_another_day": "x"})
    own.set_aside()
    place = tmp_path / "state" / "own"
    assert mode_of(place) == 0o700
    assert not (place / "of_another_day").exists()
    own.forget()
    assert not place.exists()
    place.symlink_to(tmp_path / "elsewhere")
    own.forget()
    assert not place.is_symlink()
    assert read_tree(tmp_path / "elsewhere") == {"precious": "x"}


def test_logs_are_no_reason_to_fail(top, own, monkeypatch):
    def refuse(*_paths):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(_host_files.os, "rename", refuse)
    own.set_aside()
    assert "log" not in own.names
    assert (top / "log/server.log").exists()


def test_what_cannot_be_kept_stops_it(top, own, monkeypatch):
    def refuse(source, _target, **_how):
        raise OSError(errno.ENOSPC, "No space left on device", source)

    monkeypatch.setattr(_host_files.shutil, "copy2", refuse)
    with pytest.raises(StandbyError, match=r"pg_hba\.conf .* No space left") as failed:
        own.set_aside()
    assert failed.value.code == "write_failed"
    assert (top / "log/server.log").exists()


def test_what_cannot_be_brought_back_is_told(own, tmp_path):
    own.set_aside()
    (tmp_path / "state/own/pg_hba.conf").unlink()
    with pytest.raises(StandbyError, match=r"Cannot bring pg_hba\.conf back") as failed:
        own.put_back()
    assert failed.value.code == "write_failed"


def test_unwritable(top, monkeypatch):
    assert unwritable(str(top)) == []
    monkeypatch.setattr(_host_files.os, "geteuid", lambda: os.getuid() + 1)
    assert unwritable(str(top)) == ["conf.d", "log", "pg_hba.conf", "postgresql.auto.conf", "postgresql.conf"]
