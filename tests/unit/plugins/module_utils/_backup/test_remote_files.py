# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup import remote_files as _remote_files
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.remote_files import fetch, list_backup
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    DATA,
    HOSTILE,
    PULLS,
    TABLESPACE,
    read_tree,
)
from ansible_collections.pgfleet.standby.tests.waiting import FOR_EVER


class TestListBackup:
    def test_names_every_file(self, host):
        found = {entry.path for entry in list_backup(host.source, host.backup()) if entry.kind == "f"}
        assert found == {f"data/{name}" for name in DATA} | {f"16388/{name}" for name in TABLESPACE}

    def test_survives_any_name(self, host):
        top = os.fsencode(host.data)
        for name in HOSTILE:
            os.close(os.open(os.path.join(top, os.fsencode(name)), os.O_CREAT | os.O_WRONLY))
        found = {entry.path for entry in list_backup(host.source, host.backup())}
        assert {f"data/{name}" for name in HOSTILE} <= found

    def test_connects_when_it_is_read(self, host):
        listing = list_backup(host.source, host.backup())
        assert host.calls() == []
        assert next(listing).path
        assert len(host.calls()) == 1

    def test_refuses_a_part_at_its_end(self, host):
        host.program("find", "#!/bin/sh\nprintf 'f 600 1 1.0 a\\0'; echo 'find: x: Permission denied' >&2; exit 1\n")
        listing = list_backup(host.source, host.backup())
        assert next(listing).path == "a"
        with pytest.raises(StandbyError, match=r"Permission denied\. Next") as refused:
            next(listing)
        assert refused.value.code == "backup_files_missing"

    @pytest.mark.parametrize(
        ("hook", "code", "said"),
        [
            pytest.param("echo Welcome", "ssh_stdout_polluted", "Welcome", id="login scripts"),
            pytest.param(
                "echo 'ssh: connect to host backup-host port 22: Connection refused' >&2; exit 255",
                "ssh_refused",
                "backup-host",
                id="ssh",
            ),
            pytest.param("exit 4", "backup_files_missing", "exit code 4", id="it says nothing"),
            pytest.param("echo no >&2; exit 127", "backup_files_missing", "on barman@backup-host: no", id="no find"),
            pytest.param("printf 'f 600 1 1.0'; exit 0", "listing_incomplete", "breaks off", id="breaks off"),
        ],
    )
    def test_tells_why_it_failed(self, host, hook, code, said):
        host.hook(hook)
        with pytest.raises(StandbyError, match=said) as refused:
            list(list_backup(host.source, host.backup()))
        assert refused.value.code == code

    def test_tells_of_a_backup_that_is_gone(self, host):
        with pytest.raises(StandbyError, match="No such file or directory") as refused:
            list(list_backup(host.source, host.backup(directory="/nowhere/it's gone")))
        assert refused.value.code == "backup_files_missing"

    def test_tells_when_there_is_no_ssh_here(self, host, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(StandbyError, match="ssh: command not found"):
            list(list_backup(host.source, host.backup()))


class TestFetch:
    @pytest.fixture
    def target(self, tmp_path):
        path = tmp_path / "target"
        (path / "global").mkdir(parents=True)
        return path

    def test_copies_just_those_files(self, host, target):
        (target / "base/5").mkdir(parents=True)
        names = [
            "PG_VERSION",
            "global/pg_control",
            "base/5/two words",
            "base/5/-rf",
            "base/5/line\nfeed",
            "base/5/umlaut-ä",
        ]
        fetch(host.source, str(host.data), names, str(target))
        assert read_tree(target) == {name: DATA[name] for name in names}

    def test_replaces_a_file_of_the_same_size(self, host, target):
        (target / "PG_VERSION").write_text("14\n", encoding="utf-8")
        fetch(host.source, str(host.data), ["PG_VERSION"], str(target))
        assert read_tree(target) == {"PG_VERSION": "15\n"}

    def test_keeps_what_it_copies_private(self, host, target):
        os.chmod(host.data / "PG_VERSION", 0o644)
        fetch(host.source, str(host.data), ["PG_VERSION"], str(target))
        assert (target / "PG_VERSION").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        ("hook", "code"),
        [
            pytest.param("echo 'bash: rsync: command not found' >&2; exit 127", "rsync_missing_remote", id="bash"),
            pytest.param("echo 'sh: 1: rsync: not found' >&2; exit 127", "rsync_missing_remote", id="dash"),
            pytest.param("echo Welcome", "ssh_stdout_polluted", id="login scripts"),
            pytest.param(
                "echo 'ssh: connect to host backup-host port 22: Connection refused' >&2; exit 255",
                "ssh_refused",
                id="ssh",
            ),
        ],
    )
    def test_tells_why_it_failed(self, host, target, hook, code):
        host.hook(hook)
        with pytest.raises(StandbyError, match="Next: ") as refused:
            fetch(host.source, str(host.data), ["PG_VERSION"], str(target))
        assert refused.value.code == code

    @pytest.mark.parametrize(("directory", "name"), [("data", "absent"), ("absent", "PG_VERSION")])
    def test_tells_what_is_missing(self, host, target, directory, name):
        with pytest.raises(StandbyError, match="No such file or directory") as refused:
            fetch(host.source, str(host.backup_directory / directory), [name], str(target))
        assert refused.value.code == "backup_files_missing"
        assert read_tree(target) == {}

    def test_ends_what_stands_still(self, host, target, monkeypatch):
        monkeypatch.setattr(_remote_files, "_IO_TIMEOUT", 1)
        host.hook(f"case $command in {PULLS} sleep {FOR_EVER} ;; esac")
        with pytest.raises(StandbyError) as refused:
            fetch(host.source, str(host.data), ["PG_VERSION"], str(target))
        assert refused.value.code == "rsync_interrupted"

    def test_lets_what_is_slow_take_its_time(self, host, target, monkeypatch):
        """A large manifest over a slow link: only standing still has a limit."""
        looks = []

        class Moves:
            def __init__(self, _group, _seconds):
                pass

            def is_too_long(self):
                looks.append("look")
                if len(looks) == 3:
                    (host.root / "go").touch()
                return False

        monkeypatch.setattr(_remote_files, "Stall", Moves)
        monkeypatch.setattr(_remote_files, "_LOOK_SECONDS", 0.01)
        host.hook(f"case $command in {PULLS} until [ -e {host.root}/go ]; do sleep 0.01; done ;; esac")
        fetch(host.source, str(host.data), ["PG_VERSION"], str(target))
        assert read_tree(target) == {"PG_VERSION": DATA["PG_VERSION"]}
        assert len(looks) >= 3

    def test_tells_that_rsync_is_missing_here(self, host, target, monkeypatch):
        monkeypatch.setenv("PATH", str(host.programs))
        with pytest.raises(StandbyError) as refused:
            fetch(host.source, str(host.data), ["PG_VERSION"], str(target))
        assert refused.value.code == "rsync_missing_local"
