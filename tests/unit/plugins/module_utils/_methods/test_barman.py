# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import SshShell
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._methods import barman as _restore
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.barman import (
    Restore,
    _checked_options,
    _checked_ssh_command,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import BARMAN_VERSIONS
from ansible_collections.pgfleet.standby.tests.waiting import BOUND, FOR_EVER, wait_until


def restore(way="ssh postgres@standby"):
    shell = SshShell("barman@backup-host")
    return Restore(Barman(shell, "pg"), shell, _checked_ssh_command(way))


class TestSshCommand:
    def test_never_asks_and_verifies_host_keys_whatever_else_is_given(self):
        words = _checked_ssh_command("/usr/bin/ssh -p 2222 -o StrictHostKeyChecking=no postgres@standby")
        assert (words[0], words[-1]) == ("/usr/bin/ssh", "postgres@standby")
        text = " ".join(words)
        assert text.index("StrictHostKeyChecking=yes") < text.index("StrictHostKeyChecking=no")
        assert "BatchMode=yes" in text
        assert "-p 2222" in text

    @pytest.mark.parametrize(
        "text", ["", "ssh", "rsh host", "ssh -p", "ssh 'a b'", "ssh host; id", "ssh $(id)", "ssh 'host", "ssh -p 22 -v"]
    )
    def test_is_refused_when_it_is_none(self, text):
        with pytest.raises(StandbyError) as caught:
            _checked_ssh_command(text)
        assert caught.value.code == "remote_ssh_command_invalid"

    def test_holds_no_words_before_the_destination_that_belong_to_no_option(self):
        with pytest.raises(StandbyError) as caught:
            _checked_ssh_command("ssh other standby")
        assert caught.value.code == "ssh_options_invalid"


class TestOptions:
    @pytest.mark.parametrize(
        "words", [[], ["--staging-path", "/srv/x"], ["--staging-path=/srv/x", "--no-retry"], ["--retry-times", "3"]]
    )
    def test_of_where_and_how_are_passed_on(self, words):
        assert _checked_options(words) == tuple(words)

    @pytest.mark.parametrize(
        "words", [["--target-time", "now"], ["--staging-path"], ["/other"], ["--no-retry", "x"], ["--no-get-wal"]]
    )
    def test_of_what_is_restored_are_refused(self, words):
        with pytest.raises(StandbyError) as caught:
            _checked_options(words)
        assert caught.value.code == "restore_options_invalid"
        assert "--staging-path" in caught.value.msg


class TestRequire:
    WAY_HERE = 'case $command in "sh -c \'id -u"*) {} ;; esac'

    @pytest.mark.parametrize("barman", BARMAN_VERSIONS)
    def test_a_way_to_this_host_and_user(self, host, barman):
        host.install_barman(barman)
        restore().require(host.job())

    @pytest.mark.parametrize(
        ("then", "said"),
        [
            (
                "echo 'Permission denied (publickey).' >&2; exit 255",
                "it refused our key (Permission denied (publickey).)",
            ),
            ("echo 'Host key verification failed.' >&2; exit 255", "its host key is unknown"),
            ("echo 4711; exit 0", "that is another host or user"),
            ("echo Welcome", "something prints on login (Welcome)"),
        ],
    )
    def test_no_way_or_one_that_leads_elsewhere(self, host, then, said):
        host.install_barman(BARMAN_VERSIONS[-1])
        host.hook(self.WAY_HERE.format(then))
        refused = self.refused(host)
        assert refused.code == "standby_unreachable"
        assert said in refused.msg

    def refused(self, host, **changed):
        with pytest.raises(StandbyError) as caught:
            restore().require(host.job(**changed))
        assert "Nothing was changed" in caught.value.msg
        return caught.value

    @pytest.mark.parametrize("changed", [{"type": "snapshot"}, {"mode": "snapshot-concurrent"}])
    def test_files_that_barman_does_not_have(self, host, changed):
        assert self.refused(host, backup=host.backup(**changed)).code == "backup_unsupported"

    def test_a_program_that_is_not_here(self, host, monkeypatch):
        monkeypatch.setattr(_restore.shutil, "which", lambda name: None if name == "zstd" else f"/usr/bin/{name}")
        host.install_barman(BARMAN_VERSIONS[-1])
        refused = self.refused(host, backup=host.backup(compression="zstd"))
        assert (refused.code, refused.msg.rpartition("Next: ")[2]) == ("decompressor_missing", "install zstd here.")
        restore().require(host.job(backup=host.backup(compression="gzip")))

    @pytest.mark.parametrize("name", ["two words", "ü", "a'b", "$(id)", "a:b"])
    def test_names_that_pass_no_shell(self, host, name):
        assert self.refused(host, data_directory=f"/srv/{name}").code == "path_unsuitable"
        assert self.refused(host, targets={16388: f"/srv/{name}"}).code == "path_unsuitable"


class TestWorking:
    """The directory on the Barman host in which only Barman can unpack, made and removed by a real shell."""

    def argv(self, tmp_path, script):
        work = tmp_path / "pgfleet-staging" / "run"
        return work, ["sh", "-c", _restore._WORKING, "sh", str(work), "/opt/pg/bin", "sh", "-c", script, str(work)]

    def test_is_there_for_barman_only_with_the_programs_that_it_needs(self, tmp_path):
        _work, argv = self.argv(tmp_path, 'stat --format=%a "$0"; echo "${PATH%%:*}"; exit 3')
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.split()) == (3, ["700", "/opt/pg/bin"])
        assert list(tmp_path.iterdir()) == []

    def test_is_gone_when_barman_is_ended(self, tmp_path):
        work, argv = self.argv(tmp_path, f'touch "$0/begun"; exec sleep {FOR_EVER}')
        process = subprocess.Popen(argv, start_new_session=True)
        wait_until((work / "begun").exists)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(BOUND) != 0
        assert list(tmp_path.iterdir()) == []


def test_files_by_the_names_that_barman_gives_may_be_the_backups(host, tmp_path):
    write_tree(host.data, {"postgresql.conf.origin": "of an earlier restore"})
    write_tree(tmp_path / "restored", {"postgresql.conf": "changed", "postgresql.conf.origin": "as it was"})
    _restore._undo_restore_changes(host.job(), str(tmp_path / "restored"))
    expected = {"postgresql.conf": "as it was", "postgresql.conf.origin": "of an earlier restore"}
    assert read_tree(tmp_path / "restored") == expected
