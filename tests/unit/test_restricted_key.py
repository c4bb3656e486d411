# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forced command of a restricted key: what it lets through as which argument list, and that all else is refused."""

from __future__ import annotations

import importlib.util
import io
import re
from argparse import Namespace
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._inventory import FIND_FORMAT
from ansible_collections.pgfleet.standby.plugins.module_utils._quote import remote_command

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "roles/standby_from_barman/files/pgfleet_barman_only.py"
SPEC = importlib.util.spec_from_file_location("pgfleet_barman_only", PROGRAM)
only = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(only)

SEGMENT = "000000010000000000000003"
# What rsync 3.5 writes after the login, for a pull with a delta.
SECLUDED = [
    "rsync", "-B8192", "--timeout=300", "--compress-choice=lz4", "--bwlimit=40000", "--info=STATS2", "--inplace",
    "--files-from=-", "--from0", "--no-implied-dirs", ".",
]  # fmt: skip
PROTOCOL = b" \0\0\0"


@pytest.fixture
def home(tmp_path):
    """Two servers' directories, one of which the key is for, and a way out of it."""
    for name in ("pg/base/20261121T114827/data", "pg/meta", "pg2"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "pg" / "base" / "out").symlink_to("/etc")
    return tmp_path


@pytest.fixture
def own(home):
    return Namespace(server=["pg"], directory=[str(home / "pg")], barman="barman", config=None)


def stream(*words):
    """What comes on standard input, byte by byte."""
    waiting = io.BytesIO(b"".join(word.encode() + b"\0" for word in words) + b"\0" + PROTOCOL)
    return waiting, lambda _descriptor, count: waiting.read(count)


class TestAllows:
    @pytest.mark.parametrize(
        "argv",
        [
            ["barman", "-v"],
            ["barman", "-f", "json", "show-servers", "pg"],
            ["barman", "-f", "json", "show-server", "pg"],
            ["barman", "-f", "json", "check", "pg"],
            ["barman", "-f", "json", "list-backups", "pg"],
            ["barman", "-f", "json", "list-backup", "pg"],
            ["barman", "-f", "json", "show-backup", "pg", "20261121T114827"],
            ["barman", "get-wal", "--peek", "65536", "pg", SEGMENT],
            ["barman", "get-wal", "pg", "00000002.history"],
            ["cat"],
            ["cat", "HOME/pg/meta/20261121T114827-backup.info"],
            ["cat", "HOME/pg/base/20261121T114827/backup.info"],
            ["find", "HOME/pg/base/20261121T114827", "-mindepth", "1", "-printf", FIND_FORMAT],
            ["head", "-c", "16777216", "HOME/pg/base/20261121T114827/data/it's $(id) ü\n-"],
            ["rsync", "--version"],
            ["ionice", "-c", "2", "-n", "7", "nice", "-n", "5", "rsync", "--version"],
        ],
        ids=" ".join,
    )
    def test_our_own_commands_word_by_word(self, home, own, argv):
        words = [word.replace("HOME", str(home)) for word in argv]
        assert only.permitted(remote_command(words), own) == words

    @pytest.mark.parametrize(
        "command",
        [
            f"barman get-wal 'pg' '{SEGMENT}'",
            f"barman get-wal --peek '4' --keep-compression 'pg' '{SEGMENT}'",
            "barman get-wal --test --gzip 'pg' 'dummy_wal_name'",
        ],
    )
    def test_those_of_barman_wal_restore(self, own, command):
        assert only.permitted(command, own) == command.replace("'", "").split()

    @pytest.mark.parametrize("prefix", ["", "nice -n 5 "])
    def test_rsync_below_the_directory_and_leaves_it_the_protocol(self, home, own, prefix):
        place = f"{home}/pg/base/20261121T114827/it's $(id) *x/"
        waiting, read = stream(*SECLUDED, place)
        argv = only.permitted(f"{prefix}rsync --server --sender -sWtpIRe.LsfxCIvu", own, read)
        assert argv == [*prefix.split(), "rsync", "--server", "--sender", "-WtpIRe.LsfxCIvu", *SECLUDED[1:], place]
        assert waiting.read() == PROTOCOL

    def test_a_barman_elsewhere_under_either_name(self, own):
        own.barman, own.config = "/opt/b/bin/barman", "/etc/b.conf"
        for name in ("barman", own.barman):
            for config in ([], ["--config", own.config]):
                assert only.permitted(remote_command([name, *config, "-v"]), own) == [own.barman, *config, "-v"]


class TestRefuses:
    @pytest.mark.parametrize(
        "command",
        [
            "",
            "sh",
            "/usr/lib/openssh/sftp-server",
            "rm -rf HOME/pg",
            "barman delete pg 20261121T114827",
            "barman -f json show-servers pg; id",
            "barman -f json show-servers pg\nid",
            "barman -f json show-servers $(id)",
            "barman -f json show-servers `id`",
            "barman -f json show-servers pg2",
            "barman -f json show-servers pg 'unfinished",
            "barman --config /tmp/own.conf -v",
            "barman -f json show-backup pg --help",
            f"barman get-wal --output-directory /tmp pg {SEGMENT}",
            f"barman get-wal pg ../{SEGMENT}",
            "cat /etc/passwd",
            "cat HOME/pg2/backup.info",
            "cat HOME/pg/../pg2/backup.info",
            "cat HOME/pg/base/out/backup.info",
            "cat HOME/pg/base/20261121T114827/data/PG_VERSION",
            "cat pg/backup.info",
            "head -c 10 /etc/passwd",
            "head -c -1 HOME/pg/x",
            "find HOME/pg -mindepth 1 -delete",
            "find HOME -mindepth 1 -printf '%y %m %s %T@ %P\\0'",
            "nice -n 5 id",
            "rsync --server -sWtpIRe.LsfxCIvu",
            "rsync --server --sender -WtpIRe.LsfxCIvu . HOME/pg/",
            "rsync --server --sender --remove-source-files -sWtpIRe.LsfxCIvu",
            "rsync --server --sender -sLWtpIRe.LsfxCIvu",
            "rsync --server --daemon .",
        ],
    )
    def test_a_command(self, home, own, command):
        with pytest.raises(only.RefusedError):
            only.permitted(command.replace("HOME", str(home)), own, stream(*SECLUDED, f"{home}/pg/")[1])

    @pytest.mark.parametrize(
        "words",
        [
            [*SECLUDED, "/etc/"],
            [*SECLUDED, "HOME/pg/../pg2/"],
            [*SECLUDED, "HOME/pg/base/out/"],
            [*SECLUDED, "base/"],
            [*SECLUDED, "HOME/pg/", "HOME/pg/"],
            [*SECLUDED[:-1], "--remove-source-files", ".", "HOME/pg/"],
            [*SECLUDED[:-1], "--log-file=HOME/pg/log", ".", "HOME/pg/"],
            [*SECLUDED[:-1], "--rsync-path=id", ".", "HOME/pg/"],
            [*SECLUDED[:-1], "--files-from=/etc/passwd", ".", "HOME/pg/"],
            [*SECLUDED[:-1], "--copy-links", ".", "HOME/pg/"],
            ["sh", *SECLUDED[1:], "HOME/pg/"],
            [],
            ["rsync", "x" * 70000],
        ],
        ids=lambda words: " ".join(words)[-40:],
    )
    def test_what_rsync_sends_later(self, home, own, words):
        read = stream(*(word.replace("HOME", str(home)) for word in words))[1]
        with pytest.raises(only.RefusedError):
            only.permitted("rsync --server --sender -sWtpIRe.LsfxCIvu", own, read)

    def test_an_end_too_early(self, own):
        with pytest.raises(only.RefusedError, match="do not end"):
            only.permitted("rsync --server --sender -se.LsfxCIvu", own, lambda *_: b"")


def test_every_line_of_its_table_is_documented():
    documented = (ROOT / "docs" / "restricted_key.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \|", documented.partition("## What is allowed")[2], re.MULTILINE)
    assert rows == only.ALLOWED.strip().splitlines()
