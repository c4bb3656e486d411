# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forced command of a restricted key: what it lets through as which argument list, and that all else is refused."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import io
import json
import re
import shutil
import zlib
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.listing import FIND_FORMAT
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.keep import ClaimRequest, pin
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.staging import Staging, stage, unstage
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import Completed, Shell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.quoting import remote_command
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Tablespace
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import backup

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "roles/standby_from_barman/files/pgfleet_barman_only.py"
SPEC = importlib.util.spec_from_file_location("pgfleet_barman_only", PROGRAM)
only = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(only)

UTILS = ROOT / "plugins/module_utils"
SEGMENT = "000000010000000000000003"
# What rsync 3.5 writes after the login, for a pull with a delta.
SECLUDED = [
    "rsync", "-B8192", "--timeout=300", "--compress-choice=lz4", "--bwlimit=40000", "--info=STATS2", "--inplace",
    "--files-from=-", "--from0", "--no-implied-dirs", "--ignore-missing-args", ".",
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
    options = {"server": ["pg"], "directory": [str(home / "pg")], "barman": "barman", "config": None}
    return Namespace(**options, keep=False, stage=False, staging_directory=[], program=str(UTILS))


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
            ["nice", "-n", "5", "cat", "HOME/pg/base/20261121T114827/data/base.tar"],
            ["zstd", "--version"],
            ["ionice", "-c", "2", "-n", "7", "nice", "-n", "5", "lz4", "-dc", "HOME/pg/base/x/data/16388.tar.lz4"],
            ["find", "HOME/pg/base/gone", "HOME/pg/base/gone/data/backup_manifest", "-maxdepth", "0"],
            ["date", "+%s.%N"],
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
            "cat HOME/pg/base/20261121T114827 /etc/passwd",
            "gzip -dc /etc/passwd.gz",
            "gzip HOME/pg/x",
            "lz4 -dc HOME/pg/x HOME/pg/y",
            "nice -n 5 zstd --version",
            "find HOME/pg HOME/pg -maxdepth 0 -delete",
            "find HOME/pg /etc/passwd -maxdepth 0",
            "date -s 1",
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


class Far(Shell):
    """A Barman host whose key answers nothing; ``argv`` is what it was asked for."""

    where = "barman@backup"

    def __init__(self, said="", code=0):
        self.answer = Completed((), code, "", said)

    def run(self, argv, **_bound):
        self.argv = list(argv)
        return self.answer


OWNER = "n1:/var/lib/it's $(id) ü"
ASKED = {
    "keep": ("keep", lambda barman, backup: pin(barman, backup, ClaimRequest(OWNER, 86400))),
    "look": ("keep", lambda barman, backup: pin(barman, backup, ClaimRequest(OWNER, 86400, only_look=True))),
    "release": ("keep", lambda barman, backup: pin(barman, backup, ClaimRequest(OWNER, None))),
    "stage": ("stage", lambda barman, backup: stage(barman, backup, Staging(OWNER, 86400))),
    "stage elsewhere": ("stage", lambda barman, backup: stage(barman, backup, Staging(OWNER, 86400, "/srv/staging"))),
    "unstage": ("stage", lambda barman, backup: unstage(barman, backup, Staging(OWNER, 0))),
}


class TestPrograms:
    """What the collection runs there as a program of its own, as it sends it."""

    @pytest.fixture
    def sent(self, home):
        """The command for one of those above."""

        def send(name):
            far = Far()
            there = replace(
                backup(),
                directory=f"{home}/pg/base/20261121T114827",
                tablespaces=(Tablespace("it's ü", 16388, "/srv/fast disk"),),
                encryption="gpg",
                size=1 << 40,
            )
            with contextlib.suppress(StandbyError):
                ASKED[name][1](Barman(far, "pg", config="/etc/b.conf"), there)
            return far.argv

        return send

    @pytest.fixture
    def own(self, own):
        own.config, own.barman = "/etc/b.conf", "/opt/b/bin/barman"
        own.keep = own.stage = True
        own.staging_directory = ["/srv/staging"]
        return own

    @pytest.mark.parametrize("name", ASKED)
    def test_the_installed_one_runs_as_it_was_sent_with_our_own_barman(self, own, sent, name):
        *program, request = sent(name)
        *allowed, asked = only.permitted(remote_command([*program, request]), own)
        assert allowed == program
        asked, request = json.loads(asked), json.loads(request)
        assert asked["barman"] == {**request["barman"], "executable": "/opt/b/bin/barman"}
        assert {name: asked[name] for name in ("owner", "seconds", "only_look", "directory")}.items() <= request.items()
        assert asked.get("backup", {}).items() <= request.get("backup", {}).items()

    @pytest.mark.parametrize("name", ASKED)
    def test_none_runs_without_the_option_for_it(self, own, sent, name):
        command = remote_command(sent(name))
        setattr(own, ASKED[name][0], False)
        with pytest.raises(only.RefusedError, match=r"^(keep_backup|stage_backup|unstage_backup): "):
            only.permitted(command, own)

    @pytest.mark.parametrize(
        ("name", "path", "value"),
        [
            ("keep", "barman.server", "pg2"),
            ("keep", "barman.executable", "/tmp/barman"),
            ("keep", "barman.config", "/tmp/own.conf"),
            ("keep", "barman.where", 5),
            ("keep", "directory", "HOME/pg2/base/20261121T114827"),
            ("keep", "directory", "HOME/pg/../pg2/20261121T114827"),
            ("keep", "directory", "HOME/pg/base/out/20261121T114827"),
            ("keep", "directory", "HOME/pg/base"),
            ("keep", "directory", ["HOME/pg/base/20261121T114827"]),
            ("keep", "owner", ""),
            ("keep", "owner", "n1\n"),
            ("keep", "owner", "x" * 1001),
            ("keep", "seconds", 32 * 86400),
            ("keep", "seconds", -1),
            ("keep", "seconds", "1"),
            ("keep", "seconds", 1.5),
            ("keep", "seconds", True),
            ("keep", "only_look", 1),
            ("keep", "", []),
            ("stage", "directory", "/srv"),
            ("stage", "directory", "/srv/staging/../x"),
            ("stage", "backup.backup_id", "../../x"),
            ("stage", "backup.backup_id", "20261121T114828"),
            ("stage", "backup.server", "pg2"),
            ("stage", "backup.directory", "/etc/20261121T114827"),
            ("stage", "backup.directory", None),
            ("stage", "backup.type", "-x"),
            ("stage", "backup.version", "15/../.."),
            ("stage", "backup.size", 1e300),
            ("stage", "backup.tablespaces", [{"name": "x", "oid": "../../etc", "location": "/srv"}]),
            ("stage", "backup.tablespaces", [{"name": "--get-wal", "oid": 1, "location": "/srv"}]),
            ("stage", "backup.tablespaces", ["x"]),
            ("stage", "backup.tablespaces", None),
            ("unstage", "directory", "HOME/pg"),
        ],
    )
    def test_no_other_request_is_let_through(self, home, own, sent, name, path, value):
        *program, request = sent(name)
        changed = json.loads(request)
        *way, last = path.split(".")
        place = changed[way[0]] if way else changed
        value = json.loads(json.dumps(value).replace("HOME", str(home)))
        if last:
            assert last in place
            place[last] = value
        with pytest.raises(only.RefusedError):
            only.permitted(remote_command([*program, json.dumps(changed if last else value)]), own)

    def test_what_a_request_has_besides_does_not_reach_the_program(self, own, sent):
        *program, request = sent("stage")
        changed = json.loads(request)
        changed["other"] = changed["backup"]["mode"] = changed["barman"]["inherited"] = "x"
        [*_words, asked] = only.permitted(remote_command([*program, json.dumps(changed)]), own)
        assert '"x"' not in asked

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            pytest.param(lambda name, texts: (name, [*texts[:-1], [texts[-1][0], "id"]]), "Stale", id="another text"),
            pytest.param(lambda name, texts: (name, [["_mine", "id"], *texts]), "Stale", id="a file more"),
            pytest.param(lambda name, texts: (name, [["../x", "id"], *texts]), "Refused", id="a file elsewhere"),
            pytest.param(lambda name, texts: (name, texts[:-1]), "Refused", id="a file less"),
            pytest.param(lambda name, texts: (name, []), "Refused", id="no file"),
            pytest.param(lambda name, texts: ("sweep_staged", texts), "Refused", id="another function"),
            pytest.param(lambda name, texts: (["keep_backup"], texts), "Refused", id="no name"),
            pytest.param(lambda name, texts: (name, [["_barman_host.keep_backup", 5], *texts]), "Stale", id="no text"),
            pytest.param(lambda name, texts: (name, [*texts, ["x" * (2 << 20)]]), "Refused", id="too much"),
        ],
    )
    def test_no_other_program_is_let_through(self, own, sent, change, error):
        *python, packed, request = sent("keep")
        package, name, texts = json.loads(zlib.decompress(base64.b64decode(packed)))
        changed = base64.b64encode(zlib.compress(json.dumps([package, *change(name, texts)]).encode())).decode()
        with pytest.raises(only.RefusedError) as refused:
            only.permitted(remote_command([*python, changed, request]), own)
        assert type(refused.value).__name__ == f"{error}Error"

    @pytest.mark.parametrize(
        "words",
        [
            ["python3", "-I", "-c", "id"],
            ["python3", "-c", "LOADER", "PROGRAM", "REQUEST"],
            ["python3", "-I", "-c", "id", "PROGRAM", "REQUEST"],
            ["python3", "-I", "-c", "LOADER", "PROGRAM", "REQUEST", "more"],
            ["python3", "-I", "-c", "LOADER", "$(id)", "REQUEST"],
            ["python3", "-I", "-c", "LOADER", "UFJPR1JBTQ==", "REQUEST"],
            ["python3", "-I", "-c", "LOADER", "PROGRAM", "[" * 100000],
        ],
        ids=lambda words: " ".join(words)[:60],
    )
    def test_no_other_words_are_let_through(self, own, sent, words):
        known = dict(zip(("LOADER", "PROGRAM", "REQUEST"), sent("keep")[3:], strict=True))
        with pytest.raises(only.RefusedError):
            only.permitted(remote_command([known.get(word, word) for word in words]), own)

    @pytest.mark.parametrize("name", ["_barman_host/keep_backup.py", "_commands/remote_call.py", "_errors.py"])
    def test_a_program_of_another_version_is_told_apart(self, tmp_path, own, sent, name):
        own.program = str(tmp_path / "installed")
        shutil.copytree(UTILS, own.program)
        assert only.permitted(remote_command(sent("keep")), own)
        file = Path(own.program, name)
        for harm in (lambda: file.write_text(file.read_text().replace("pgfleet", "pgfleeT")), file.unlink):
            harm()
            with pytest.raises(only.StaleError) as refused:
                only.permitted(remote_command(sent("keep")), own)
            assert f"installed/{name} is not that of the standby's" in refused.value.said

    def test_the_module_says_what_helps(self):
        far = Far("pgfleet_barman_only.py: this key may not run 'keep_backup: {}'\n", only.REFUSED)
        with pytest.raises(
            StandbyError, match=r"may not run 'keep_backup.*Next: .*--keep.*plugins/module_utils"
        ) as refused:
            stage(Barman(far, "pg"), backup(), Staging(OWNER, 1))
        assert refused.value.code == "barman_host_refused"
        assert "may not run" in pin(Barman(far, "pg"), backup(), ClaimRequest(OWNER, 1)).why


def test_every_line_of_its_table_is_documented():
    documented = (ROOT / "docs" / "restricted_key.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \|", documented.partition("## What is allowed")[2], re.MULTILINE)
    assert rows == only.ALLOWED.strip().splitlines()
