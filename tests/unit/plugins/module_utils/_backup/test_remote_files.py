# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.remote_files import fetch, list_backup
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.rsync import rsync_argv, write_names
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import DATA, TABLESPACE, read_tree


@pytest.mark.parametrize(
    ("destination", "address"),
    [
        ("backup", "backup:/b"),
        ("barman@backup", "barman@backup:/b"),
        ("::1", "[::1]:/b"),
        ("barman@[::1]", "barman@[::1]:/b"),
        ("barman@fe80::1%eth0", "barman@[fe80::1%eth0]:/b"),
        ("a@b@host", "a@b@host:/b"),
    ],
)
def test_address(destination, address):
    assert BarmanHost(destination).address("/b") == address


class TestRsyncArgv:
    ARGV = rsync_argv(BarmanHost("backup"), "/b c/data/", "/pg/", ["--bwlimit=5"])

    @pytest.mark.parametrize("option", ["--delete", "-a", "--archive", "--links", "--recursive", "-z"])
    def test_has_nothing_dangerous(self, option):
        assert option not in self.ARGV

    def test_ends_with_source_and_target_as_directories(self):
        assert self.ARGV[-3:] == ["--bwlimit=5", "backup:/b c/data/", "/pg/"]

    def test_leaves_names_to_no_shell_and_times_of_directories_alone(self):
        assert {"-s", "--from0", "--no-implied-dirs", "--omit-dir-times"} <= set(self.ARGV)

    def test_connects_as_every_ssh_does_with_the_options_of_the_source(self):
        argv = rsync_argv(BarmanHost("backup", ("-o", "ControlPath=it's %h")), "/b", "/pg")
        [shell] = [word for word in argv if word.startswith("--rsh=")]
        assert shell.index("'StrictHostKeyChecking=yes'") < shell.index("'ControlPath=it''s %h'")


HOSTILE = [
    "two words",
    " lead",
    "-rf",
    "#comment",
    ";comment",
    "it's",
    '"',
    "$(id)",
    "`id`",
    "*",
    "[a]",
    "back\\slash",
    "line\nfeed",
    "umlaut-ä",
    "\udcff\udcfe",
]


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
            pytest.param("echo 'Connection refused' >&2; exit 255", "ssh_refused", "backup-host", id="ssh"),
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


class TestWriteNames:
    def test_names_them_for_rsync_whatever_they_are(self, tmp_path):
        source, target = os.fsencode(tmp_path / "source"), os.fsencode(tmp_path / "target")
        os.mkdir(source)
        os.mkdir(target)
        for name in (*HOSTILE, "not wanted"):
            os.close(os.open(os.path.join(source, os.fsencode(name)), os.O_CREAT | os.O_WRONLY))
        write_names(str(tmp_path / "names"), HOSTILE)
        argv = ["rsync", "--from0", f"--files-from={tmp_path}/names", source + b"/", target + b"/"]
        subprocess.run(argv, check=True)
        assert sorted(map(os.fsdecode, os.listdir(target))) == sorted(HOSTILE)

    def test_replaces_what_was_there_and_keeps_it_private(self, tmp_path):
        write_names(str(tmp_path / "names"), ["a long list of names"] * 100)
        write_names(str(tmp_path / "names"), iter("ab"))
        assert (tmp_path / "names").read_bytes() == b"./a\0./b\0"
        assert (tmp_path / "names").stat().st_mode & 0o777 == 0o600

    def test_does_not_write_through_a_link(self, tmp_path):
        (tmp_path / "precious").write_text("precious", encoding="utf-8")
        (tmp_path / "names").symlink_to("precious")
        with pytest.raises(OSError, match="symbolic links"):
            write_names(str(tmp_path / "names"), ["a"])
        assert (tmp_path / "precious").read_text(encoding="utf-8") == "precious"


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
