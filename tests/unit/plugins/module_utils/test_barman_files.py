# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_files import (
    Source,
    fetch,
    list_backup,
    rsync_argv,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import DATA, TABLESPACE, read_tree


@pytest.mark.parametrize(
    ("destination", "address"),
    [
        ("backup", "backup:/b"),
        ("barman@backup", "barman@backup:/b"),
        ("::1", "[::1]:/b"),
        ("barman@fe80::1%eth0", "barman@[fe80::1%eth0]:/b"),
        ("a@b@host", "a@b@host:/b"),
    ],
)
def test_address(destination, address):
    assert Source(destination).address("/b") == address


class TestRsyncArgv:
    ARGV = rsync_argv(Source("backup"), "/b c/data/", "/pg/", ["--bwlimit=5"])

    @pytest.mark.parametrize("option", ["--delete", "-a", "--archive", "--links", "--inplace", "--recursive", "-z"])
    def test_has_nothing_dangerous(self, option):
        assert option not in self.ARGV

    def test_ends_with_source_and_target_as_directories(self):
        assert self.ARGV[-3:] == ["--bwlimit=5", "backup:/b c/data/", "/pg/"]

    def test_shares_no_connection_whatever_the_options_say(self):
        [shell] = [
            word for word in rsync_argv(Source("backup", ("-o", "ControlMaster=auto")), "/b", "/pg") if "--rsh" in word
        ]
        assert shell.index("'ControlMaster=no'") < shell.index("'ControlMaster=auto'")
        assert shell.index("'StrictHostKeyChecking=yes'") < shell.index("'ControlMaster=no'")


class TestListBackup:
    def test_names_every_file(self, host):
        found = {entry.path for entry in list_backup(host.source, host.backup()) if entry.kind == "f"}
        assert found == {f"data/{name}" for name in DATA} | {f"16388/{name}" for name in TABLESPACE}

    def test_refuses_a_part(self, host):
        host.program("find", "#!/bin/sh\nprintf 'f 1 1.0 a\\0'; echo 'find: x: Permission denied' >&2; exit 1\n")
        with pytest.raises(StandbyError, match="Permission denied") as refused:
            list_backup(host.source, host.backup())
        assert refused.value.code == "backup_files_missing"

    def test_tells_of_login_scripts_that_print(self, host):
        host.hook("echo Welcome")
        with pytest.raises(StandbyError) as refused:
            list_backup(host.source, host.backup())
        assert refused.value.code == "ssh_stdout_polluted"


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
            pytest.param("echo 'Connection refused' >&2; exit 255", "ssh_refused", id="ssh"),
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

    def test_tells_that_rsync_is_missing_here(self, host, target, monkeypatch):
        monkeypatch.setenv("PATH", str(host.programs))
        with pytest.raises(StandbyError) as refused:
            fetch(host.source, str(host.data), ["PG_VERSION"], str(target))
        assert refused.value.code == "rsync_missing_local"
