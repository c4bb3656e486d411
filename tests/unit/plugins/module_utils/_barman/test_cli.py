# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Barman's commands, answered by a program that repeats what every recorded version printed."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman, RestoreOrder
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.selection import _reasons_unusable
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import Completed, LocalShell, SshShell
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    BARMAN_VERSIONS,
    OLD_BARMAN_VERSIONS,
)


@pytest.fixture(params=BARMAN_VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def ask(host, version):
    host.install_barman(version)

    def server(name="pg", **options):
        return Barman(SshShell("barman@backup"), name, **options)

    return server


KINDS = [("pg", None), ("pg_postgres", None), ("pg_gzip", "gzip")]


@pytest.mark.parametrize(("server", "compression"), KINDS, ids=["rsync", "postgres", "gzip"])
def test_a_backup_with_all_that_is_known_of_it(ask, server, compression):
    barman = ask(server)
    [listed] = barman.list_backups()
    shown = barman.show_server()
    backup = barman.show_backup(listed.backup_id, barman.version(), shown)
    assert backup.backup_id == listed.backup_id
    assert backup.directory == f"{shown.basebackups_directory}/{listed.backup_id}"
    assert backup.compression == compression


END_OF_OLD = {"2.12": "1795298760", "3.4.0": "1795298846"}


@pytest.mark.parametrize("old", OLD_BARMAN_VERSIONS)
def test_an_old_one_tells_of_a_backup_in_its_backup_info(host, old):
    host.install_barman(old, "barman_old")
    barman = Barman(SshShell("barman@backup"), "pg")
    number = barman.version()
    shown = barman.show_server()
    [listed] = barman.list_backups()
    backup = barman.show_backup(listed.backup_id, number, shown)
    assert listed.type is None
    # Debian's 3.4.0 has them right already.
    assert (listed.end_timestamp is None) == (number < (3, 1))
    assert str(backup.end_timestamp) == END_OF_OLD[old]
    assert (backup.mode, backup.type, backup.compression) == ("rsync-concurrent", "rsync", None)
    assert backup.system_identifier == shown.system_identifier
    assert backup.size > 100_000_000
    assert [tablespace.location for tablespace in backup.tablespaces] == ["/srv/tablespaces/fast"]
    assert _reasons_unusable(backup) == []
    assert all(item.ok for item in barman.check())


@pytest.mark.parametrize("old", OLD_BARMAN_VERSIONS)
def test_an_old_one_does_not_know_a_server(host, old):
    host.install_barman(old, "barman_old")
    barman = Barman(LocalShell(), "nosuch")
    barman.version()
    for ask_for in (barman.show_server, barman.list_backups):
        with pytest.raises(StandbyError, match="Unknown server") as refused:
            ask_for()
        assert refused.value.code == "barman_unknown_server"


def test_compression_is_not_guessed_when_it_cannot_be_read(ask, host, version):
    (host.root / "hook").write_text(
        "case $command in cat*) echo 'cat: Permission denied' >&2; exit 1 ;; esac", encoding="utf-8"
    )
    barman = ask()
    shown = barman.show_server()
    [listed] = barman.list_backups()
    number = barman.version()
    if number >= (3, 16):
        assert barman.show_backup(listed.backup_id, number, shown).compression is None
        return
    with pytest.raises(StandbyError, match="Permission denied") as refused:
        barman.show_backup(listed.backup_id, number, shown)
    assert refused.value.code == "backup_info_unreadable"


def test_an_empty_catalogue(ask):
    assert ask("pg_empty").list_backups() == ()


def test_checks_that_fail_are_a_result(ask):
    assert [item.ok for item in ask("pg_empty").check()].count(False) == 1


def test_the_version(ask, version):
    assert ".".join(map(str, ask().version())) == version


@pytest.mark.parametrize(
    ("call", "code"),
    [
        pytest.param(lambda ask: ask("nosuch").list_backups(), "barman_unknown_server", id="list"),
        pytest.param(lambda ask: ask("nosuch").show_server(), "barman_unknown_server", id="show"),
        pytest.param(lambda ask: ask("nosuch").check(), "barman_unknown_server", id="check"),
        pytest.param(
            lambda ask: ask().show_backup("20000101T000000", (3, 19), ask().show_server()),
            "backup_unknown",
            id="backup",
        ),
    ],
)
def test_what_barman_does_not_know(ask, call, code):
    with pytest.raises(StandbyError, match="Next: ") as refused:
        call(ask)
    assert refused.value.code == code
    assert "Unknown" in refused.value.msg


class TestCommandLine:
    @pytest.fixture
    def printed(self, host):
        host.program("barman", '#!/bin/sh\nprintf \'{"pg": []}\'; printf \'%s\\n\' "$0" "$@" >&2\n')
        return host

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({}, "barman"),
            ({"executable": "/opt/b/barman"}, "/opt/b/barman"),
            ({"config": "/etc/b c.conf"}, "barman --config '/etc/b c.conf'"),
        ],
    )
    def test_names_the_configuration_and_the_program(self, host, options, words):
        with pytest.raises(StandbyError):
            Barman(SshShell("backup"), "pg", **{"executable": "barman", **options}).show_server()
        assert host.calls()[0][-1] == f"{words} -f json show-servers pg"

    @pytest.mark.parametrize("name", ["-h", "--all", "-"])
    def test_takes_no_option_for_a_name(self, host, name):
        for call in (
            Barman(LocalShell(), name).list_backups,
            lambda: Barman(LocalShell(), "pg").show_backup(name, (3, 19), None),
        ):
            with pytest.raises(StandbyError) as refused:
                call()
            assert refused.value.code == "barman_argument_invalid"


class TestPeek:
    FIRST = "000000010000000000000003"

    def test_names_what_barman_has_and_passes_a_banner_over(self, host):
        host.program("barman", f'#!/bin/sh\nprintf "%s\\n" Welcome {self.FIRST} "" {self.FIRST[:-1]}4\n')
        assert Barman(LocalShell(), "pg").peek_wal(self.FIRST, 5) == (self.FIRST, f"{self.FIRST[:-1]}4")

    def test_nothing_there_is_an_answer(self, host):
        host.program("barman", "#!/bin/sh\n")
        assert Barman(LocalShell(), "pg").peek_wal(self.FIRST, 5) == ()

    def test_asks_for_so_many_of_the_server(self, host):
        host.program("barman", "#!/bin/sh\n")
        Barman(SshShell("backup"), "pg", config="/etc/b.conf").peek_wal(self.FIRST, 65536)
        assert host.calls()[0][-1] == f"barman --config /etc/b.conf get-wal --peek 65536 pg {self.FIRST}"

    @pytest.mark.parametrize(("server", "first"), [("-o/tmp", FIRST), ("pg", "--output-directory=/tmp")])
    def test_takes_no_option_for_a_name(self, server, first):
        with pytest.raises(StandbyError) as refused:
            Barman(LocalShell(), server).peek_wal(first, 1)
        assert refused.value.code == "barman_argument_invalid"

    @pytest.mark.parametrize(
        ("said", "code"),
        [("ERROR: Unknown server 'pg'", "barman_unknown_server"), ("ERROR: '1' is not a valid", "barman_failed")],
    )
    def test_failures(self, host, said, code):
        host.program("barman", f'#!/bin/sh\necho "{said}" >&2; exit 1\n')
        with pytest.raises(StandbyError, match="Next: ") as refused:
            Barman(LocalShell(), "pg").peek_wal(self.FIRST, 1)
        assert refused.value.code == code


class TestHistory:
    def test_is_the_file_as_barman_has_it(self, host):
        host.program("barman", "#!/bin/sh\nprintf '1\\t0/3000000\\tno recovery target specified\\n'\n")
        assert Barman(LocalShell(), "pg").history(2) == "1\t0/3000000\tno recovery target specified\n"
        assert host.calls() == []

    def test_is_asked_for_by_its_name(self, host):
        host.program("barman", "#!/bin/sh\n")
        Barman(SshShell("backup"), "pg").history(27)
        assert host.calls()[0][-1] == "barman get-wal pg 0000001B.history"

    def test_that_is_not_there_is_an_answer(self, host):
        host.program("barman", "#!/bin/sh\necho \"ERROR: WAL file '$3' not found in server 'pg'\" >&2; exit 1\n")
        assert Barman(LocalShell(), "pg").history(2) is None

    def test_no_answer_is_no_answer(self, host):
        host.program("barman", "#!/bin/sh\necho \"ERROR: Unknown server 'pg'\" >&2; exit 1\n")
        with pytest.raises(StandbyError) as refused:
            Barman(LocalShell(), "pg").history(2)
        assert refused.value.code == "barman_unknown_server"


class TestFailures:
    def run(self, host, script, call=Barman.list_backups):
        host.program("barman", f"#!/bin/sh\n{script}\n")
        with pytest.raises(StandbyError) as refused:
            call(Barman(LocalShell(), "pg"))
        return refused.value

    @pytest.mark.parametrize(
        ("script", "code"),
        [
            pytest.param("exit 0", "barman_output", id="nothing printed"),
            pytest.param("echo '{\"pg\": ['", "barman_output", id="breaks off"),
            pytest.param('echo \'{"_INFO": ["Skipping inactive server"]}\'', "barman_server_inactive", id="inactive"),
            pytest.param("echo 'ERROR: please run barman as barman user' >&2; exit 1", "barman_wrong_user", id="user"),
            pytest.param("exit 2", "barman_failed", id="silent"),
            pytest.param("echo '{\"pg\": []}'; exit 1", "barman_failed", id="an answer, but failed"),
        ],
    )
    def test_are_told_apart(self, host, script, code):
        assert self.run(host, script).code == code

    def test_of_a_check_without_an_answer(self, host):
        assert self.run(host, "echo '{}'; exit 1", Barman.check).code == "barman_failed"

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param('{"pg": {"conninfo": "host=p password=s3cret', id="half a document"),
            pytest.param('{"pg": {"conninfo": "host=p password=s3cret"}}', id="a document"),
            pytest.param("conninfo: host=p password=s3cret", id="no JSON"),
            pytest.param("conninfo: postgresql://u:s3cret@p", id="a URI"),
        ],
    )
    def test_never_shows_the_parameters_of_a_server(self, host, answer):
        """Barman prints its connection strings among them, and may fail in the middle."""
        error = self.run(host, f"echo '{answer}'; exit 1", Barman.show_server)
        assert error.code == "barman_failed"
        assert "s3cret" not in str(error.as_result())

    def test_pass_on_no_output_that_may_hold_a_secret(self, host):
        error = self.run(
            host, 'echo \'{"_ERROR": ["boom"], "pg": {"conninfo": "password=Geh3im"}}\'; exit 1', Barman.show_server
        )
        assert "boom" in error.msg
        assert "Geh3im" not in str(error.as_result())

    @pytest.mark.parametrize("version", ["2.11", "2.9.1", "1.0"])
    def test_an_old_barman(self, host, version):
        error = self.run(host, f"echo {version} Barman by EnterpriseDB", Barman.version)
        assert error.code == "barman_too_old"
        assert version in error.msg

    def test_no_barman(self, monkeypatch):
        with pytest.raises(StandbyError) as refused:
            Barman(LocalShell(), "pg", executable="pgfleet-no-barman").version()
        assert refused.value.code == "barman_not_found"


class TestRestore:
    ORDER = RestoreOrder(
        "20261121T114827", "/srv/pg", {"fast disk": "/srv/fast"}, "ssh postgres@n1", 4, 100, True, ("-x",)
    )

    def test_is_of_what_was_ordered_and_of_no_wal(self):
        argv = Barman(LocalShell(), "pg", config="/etc/b.conf").restore_argv(self.ORDER)
        assert argv[:7] == ["barman", "--config", "/etc/b.conf", "-f", "json", "restore", "--get-wal"]
        assert argv[-4:] == ["-x", "pg", "20261121T114827", "/srv/pg"]
        pairs = set(itertools.pairwise(argv))
        assert pairs >= {
            ("--jobs", "4"),
            ("--bwlimit", "100"),
            ("--remote-ssh-command", "ssh postgres@n1"),
            ("--tablespace", "fast disk:/srv/fast"),
        }
        assert "--network-compression" in argv

    @pytest.mark.parametrize("old", OLD_BARMAN_VERSIONS)
    def test_had_another_name(self, host, old):
        host.install_barman(old, "barman_old")
        barman = Barman(SshShell("barman@backup"), "pg")
        word = "restore" if barman.version() >= (3, 12) else "recover"
        assert word in barman.restore_argv(self.ORDER)

    def test_tells_what_barman_warned_of(self):
        done = Completed((), 0, '{"_WARNING": ["look", "again"]}', "")
        assert Barman(LocalShell(), "pg").require_restored(done) == ("look", "again")

    @pytest.mark.parametrize(("rc", "out"), [(0, '{"_ERROR": ["lost"]}'), (1, '{"_ERROR": ["lost"]}'), (1, "lost")])
    def test_that_complains_of_an_error_has_failed(self, rc, out):
        with pytest.raises(StandbyError) as caught:
            Barman(LocalShell(), "pg").require_restored(Completed((), rc, out, ""))
        assert caught.value.code == "barman_failed"
        assert "lost" in caught.value.msg
