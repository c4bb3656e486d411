# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import subprocess

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.restore_command import restore_command

SPOOL = "/srv/.pg.standby/spool"
AUTO = {"restore_command": "auto", "barman_host": "backup", "barman_server": "pg"}
# It prints its arguments, and knows what it says that it knows.
SCRIPT = """\
#!/bin/sh
case $1 in --help) echo "usage: --gzip --bzip2 --port --parallel"; exit ;; esac
printf '%s\\0' "$@"
"""
SSH = "#!/bin/sh\nprintf '%s\\0' \"$@\"\n"
WORDS = ("plain", "a b", "50%", "%f", "%p%%", "it's", 'say "x"', "$HOME", "`id`", "a;b", "a\\b", "#", "*")


def as_postgresql_runs_it(command):
    """PostgreSQL's replacement of %f, %p and %%, and the shell that it starts."""
    values = {"%f": "000000010000000000000003", "%p": "pg_wal/RECOVERYXLOG", "%%": "%"}
    return subprocess.run(
        ["sh", "-c", re.sub("%.", lambda match: values.get(match[0], match[0]), command)],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def arguments(command):
    return as_postgresql_runs_it(command).stdout.split("\0")[:-1]


@pytest.fixture
def script(host):
    host.program("barman-wal-restore", SCRIPT)
    return f"{host.root}/bin/barman-wal-restore"


@pytest.mark.parametrize("option", [None, "", "none"])
def test_it_may_be_none(option):
    assert restore_command({"restore_command": option}, SPOOL).text is None


def test_a_trial_of_any_other_command_is_the_command():
    for given in ({"restore_command": "none"}, {"restore_command": "cp %f %p"}):
        command = restore_command(given, SPOOL)
        assert command.trial == command.text


def test_it_may_be_anything():
    assert restore_command({"restore_command": "cp '/a b/%f' %p"}, SPOOL).text == "cp '/a b/%f' %p"


@pytest.mark.parametrize("option", ["barman_host", "barman_server"])
@pytest.mark.parametrize("value", [None, ""])
def test_auto_has_to_know_where_barman_is(option, value):
    with pytest.raises(StandbyError, match="barman_host and barman_server") as refused:
        restore_command({**AUTO, option: value}, SPOOL)
    assert refused.value.code == "restore_command_incomplete"


class TestScript:
    def test_a_trial_has_a_spool_of_its_own(self, script):
        command = restore_command({**AUTO, "restore_jobs": 4}, SPOOL)
        words, tried = arguments(command.text), arguments(command.trial)
        assert tried == ["spool" if word == SPOOL else word for word in words]
        assert SPOOL in words

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({}, ["--spool-dir", SPOOL, "backup", "pg"]),
            ({"barman_host": "me@backup"}, ["-U", "me", "--spool-dir", SPOOL, "backup", "pg"]),
            ({"barman_config": "/b.conf"}, ["--spool-dir", SPOOL, "--config", "/b.conf", "backup", "pg"]),
            ({"ssh_options": ["-p", "2222"]}, ["--port", "2222", "--spool-dir", SPOOL, "backup", "pg"]),
            ({"restore_jobs": 4}, ["--parallel", "4", "--spool-dir", SPOOL, "backup", "pg"]),
            ({"restore_compression": "gzip"}, ["--gzip", "--spool-dir", SPOOL, "backup", "pg"]),
            ({"restore_compression": "none"}, ["--spool-dir", SPOOL, "backup", "pg"]),
        ],
    )
    def test_is_called_with_what_was_asked_for(self, script, options, words):
        command = restore_command({**AUTO, **options}, SPOOL)
        assert command.text.startswith(f"{script} ")
        assert command.note is None
        assert arguments(command.text) == [*words, "000000010000000000000003", "pg_wal/RECOVERYXLOG"]

    @pytest.mark.parametrize("option", ["barman_host", "barman_server", "barman_config", "spool"])
    def test_gets_every_word_as_it_is(self, script, option):
        place = {"spool": 1, "barman_config": 3, "barman_host": 4, "barman_server": 5}[option]
        for word in WORDS:
            params = {**AUTO, "barman_config": "/c", option: word}
            expected = ["--spool-dir", SPOOL, "--config", "/c", "backup", "pg"]
            expected[place] = word
            command = restore_command(params, word if option == "spool" else SPOOL)
            assert arguments(command.text) == [*expected, "000000010000000000000003", "pg_wal/RECOVERYXLOG"]

    def test_logs_in_as_ssh_would(self, host, script):
        host.program("ssh", "#!/bin/sh\n[ $1 = -G ] && printf 'host %s\\nuser keeper\\n' $3\n")
        assert arguments(restore_command(AUTO, SPOOL).text)[:3] == ["-U", "keeper", "--spool-dir"]
        assert arguments(restore_command({**AUTO, "barman_host": "me@backup"}, SPOOL).text)[:2] == ["-U", "me"]

    def test_tests_itself(self, host, script):
        assert restore_command(AUTO, SPOOL).test() is None
        host.program("barman-wal-restore", "#!/bin/sh\necho 'ERROR: unknown server' >&2\nexit 2\n")
        assert restore_command(AUTO, SPOOL).test() == "ERROR: unknown server"


class TestOverSsh:
    @pytest.fixture(autouse=True)
    def ssh(self, host):
        host.program("ssh", SSH)

    def test_where_the_script_is_not_installed(self):
        command = restore_command({**AUTO, "barman_config": "/b.conf"}, SPOOL)
        assert "not installed" in command.note
        assert command.test() is None
        assert 'get-wal pg \'%f > "%p" || exit 1' in command.text

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"ssh_options": ["-i", "/k"]}, "takes no ssh options but a port"),
            ({"restore_compression": "keep"}, "does not know --keep-compression"),
            ({"barman_executable": "/opt/b/barman"}, "calls nothing but `barman`"),
        ],
        ids=["ssh options", "compression", "a Barman elsewhere"],
    )
    def test_where_the_script_cannot_do_it(self, script, options, why):
        assert why in restore_command({**AUTO, **options}, SPOOL).note

    def test_it_passes_every_word(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "pg_wal").mkdir()
        for word in WORDS:
            params = {
                **AUTO,
                "barman_server": word,
                "ssh_options": ["-i", word],
                "barman_executable": "/opt/b m/barman",
            }
            as_postgresql_runs_it(restore_command(params, SPOOL).text)
            argv = (tmp_path / "pg_wal/RECOVERYXLOG").read_text().split("\0")[:-1]
            assert argv[argv.index("-i") + 1] == word
            assert argv[-2] == "backup"
            far = subprocess.run(["sh", "-c", f"printf '%s\\0' {argv[-1]}"], capture_output=True, text=True, check=True)
            assert far.stdout.split("\0")[:-1] == ["/opt/b m/barman", "get-wal", word, "000000010000000000000003"]

    def test_a_lost_connection_does_not_end_the_recovery(self, host, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "pg_wal").mkdir()
        host.program("ssh", "#!/bin/sh\nexit 255\n")
        assert as_postgresql_runs_it(restore_command(AUTO, SPOOL).text).returncode == 1


@pytest.mark.parametrize(
    ("options", "port"),
    [
        ([], []),
        (["-p", "2222"], ["--port", "2222"]),
        (["-p2222"], ["--port", "2222"]),
        (["-o", "Port=2222"], ["--port", "2222"]),
        (["-oport=2222"], ["--port", "2222"]),
    ],
)
def test_a_port_among_ssh_options_is_passed_on(script, options, port):
    command = restore_command({**AUTO, "ssh_options": options}, SPOOL)
    assert command.note is None
    assert list(command.script)[1:] == [*port, "--spool-dir", SPOOL, "backup", "pg"]


@pytest.mark.parametrize("options", [["-p", "2222", "-i", "/key"], ["-i", "/key"]])
def test_other_ssh_options_are_not_for_the_script(script, options):
    command = restore_command({**AUTO, "ssh_options": options}, SPOOL)
    assert command.script == ()
    assert "no ssh options but a port" in command.note
