# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files compared with promises: by hashlib for real, by pg_verifybackup as far as its messages go.

The real pg_verifybackup is in tests/lab/methods/test_verification.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.checksums import Verifier
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.backup_manifest import (
    ManifestEntry,
    parse_manifest,
)

HOSTILE = ["-rf", 'quo"te', "new\nline", "ü/é", "a b", b"\xe9".decode("utf-8", "surrogateescape"), "7", "pg_wal/0"]
BAD = 'quo"te\nand line'
CONTENT = b"0123456789" * 1000

# Says what a test wants of the files that it is shown, and keeps a record of them. It knows them by what they
# hold: {0} stands for the name of the one that holds "bad".
FAKE = """\
#!{python}
import json, os, stat, sys
*options, manifest, files = sys.argv[1:]
manifest = open(manifest.partition("=")[2]).read()
shown = dict((name, open(os.path.join(files, name)).read()) for name in os.listdir(files))
mode = stat.S_IMODE(os.stat(os.path.dirname(files)).st_mode)
with open({record!r}, "w") as record:
    json.dump(dict(options=options, manifest=manifest, shown=shown, mode=mode, locale=os.environ["LC_ALL"]), record)
sys.stderr.write({says!r}.format(*[name for name in shown if shown[name] == "bad"]))
sys.exit({code})
"""
MISMATCH = 'pg_verifybackup: error: checksum mismatch for file "{0}"\n'


def manifest_entry(path, content=CONTENT, algorithm="SHA256"):
    return ManifestEntry(path, len(content), algorithm, hashlib.new(algorithm, content).digest())


@pytest.fixture
def scratch(tmp_path):
    (tmp_path / "scratch").mkdir(mode=0o700)
    yield tmp_path / "scratch"
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.fixture
def top(tmp_path):
    """A tree with nasty names, each file of the same content."""
    for name in HOSTILE:
        path = tmp_path / "top" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
    return tmp_path / "top"


class TestHashlib:
    @pytest.fixture
    def verifier(self, scratch):
        return Verifier("/nonexistent", str(scratch))

    def test_what_it_can_do(self, verifier):
        wanted = {
            "SHA224": True,
            "SHA256": True,
            "SHA384": True,
            "SHA512": True,
            "": True,
            "CRC32C": False,
            "MD5": False,
        }
        assert {algorithm: verifier.supports(algorithm) for algorithm in wanted} == wanted

    @pytest.mark.parametrize("algorithm", ["SHA224", "SHA256", "SHA384", "SHA512"])
    def test_what_fits(self, verifier, top, algorithm):
        assert verifier.differing(str(top), [manifest_entry(name, algorithm=algorithm) for name in HOSTILE]) == []

    def test_nothing_promised(self, verifier, top):
        assert verifier.differing(str(top), []) == []

    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param(lambda path: path.write_bytes(b"1" + CONTENT[1:]), id="other bytes"),
            pytest.param(lambda path: path.write_bytes(CONTENT[:-1]), id="shorter"),
            pytest.param(lambda path: path.write_bytes(CONTENT + b"\0"), id="longer"),
            pytest.param(lambda path: path.unlink(), id="missing"),
            pytest.param(lambda path: (path.unlink(), path.mkdir()), id="a directory"),
            pytest.param(lambda path: (path.unlink(), os.mkfifo(path)), id="a pipe"),
            pytest.param(lambda path: (path.unlink(), path.symlink_to("nowhere")), id="a link to nowhere"),
        ],
    )
    @pytest.mark.parametrize("name", HOSTILE)
    def test_what_differs(self, verifier, top, name, spoil):
        spoil(top / name)
        assert verifier.differing(str(top), [manifest_entry(path) for path in HOSTILE]) == [name]

    def test_the_order_is_that_of_the_promises(self, verifier, top):
        manifest_entries = [manifest_entry("b"), manifest_entry("-rf"), manifest_entry("a")]
        assert verifier.differing(str(top), manifest_entries) == ["b", "a"]

    def test_other_files_do_not_matter(self, verifier, top):
        assert verifier.differing(str(top), [manifest_entry("a b")]) == []

    def test_without_a_checksum_the_size_counts(self, verifier, top):
        manifest_entries = [ManifestEntry("a b", len(CONTENT), "", b""), ManifestEntry("-rf", 1, "", b"")]
        assert verifier.differing(str(top), manifest_entries) == ["-rf"]

    def test_a_file_is_larger_than_what_is_read_at_once(self, verifier, top):
        large = os.urandom(3 << 20) + b"rest"
        (top / "large").write_bytes(large)
        assert verifier.differing(str(top), [manifest_entry("large", large)]) == []
        assert verifier.differing(str(top), [manifest_entry("large", large[:-1] + b"T")]) == ["large"]

    def test_a_checksum_that_it_cannot_compute_is_no_difference(self, verifier, top):
        with pytest.raises(StandbyError, match=r"Cannot check CRC32C.*install pg_verifybackup") as refused:
            verifier.differing(str(top), [ManifestEntry("a b", len(CONTENT), "CRC32C", b"1234")])
        assert refused.value.code == "verification_failed"


class TestPgVerifybackup:
    @pytest.fixture
    def program(self, tmp_path):
        """Installs one that says this and ends so."""

        def install(says="", code=1):
            (tmp_path / "bin").mkdir(exist_ok=True)
            text = FAKE.format(python=sys.executable, says=says, code=code, record=str(tmp_path / "record"))
            (tmp_path / "bin" / "pg_verifybackup").write_text(text)
            (tmp_path / "bin" / "pg_verifybackup").chmod(0o700)

        return install

    @pytest.fixture
    def record(self, tmp_path):
        return lambda: json.loads((tmp_path / "record").read_text())

    @pytest.fixture
    def verify(self, tmp_path, scratch):
        """Three files of one size, the second of which is the bad one."""
        for name, content in (("good", "one"), (BAD, "bad"), ("pg_wal", "two")):
            (tmp_path / name).write_text(content)
        manifest_entries = [ManifestEntry(name, 3, "CRC32C", b"\1\2\3\4") for name in ("good", BAD, "pg_wal")]
        return lambda: Verifier(str(tmp_path / "bin"), str(scratch)).differing(str(tmp_path), manifest_entries)

    def test_what_it_can_do(self, program, tmp_path, scratch):
        program()
        verifier = Verifier(str(tmp_path / "bin"), str(scratch))
        wanted = {"SHA224": True, "SHA512": True, "CRC32C": True, "": True, "MD5": False}
        assert {algorithm: verifier.supports(algorithm) for algorithm in wanted} == wanted

    def test_a_file_that_cannot_be_run_is_no_program(self, program, tmp_path, scratch):
        program()
        (tmp_path / "bin" / "pg_verifybackup").chmod(stat.S_IRUSR)
        assert not Verifier(str(tmp_path / "bin"), str(scratch)).supports("CRC32C")

    @pytest.mark.parametrize(
        "verdict",
        [
            'checksum mismatch for file "{0}"',
            '"{0}" has size 3 on disk but size 4 in the manifest',
            '"{0}" is present in the manifest but not on disk',
            '"{0}" is not a file or directory',
            'could not stat file or directory "{0}": No such file or directory',
            'could not open file "{0}": Permission denied',
            'could not read file "{0}": Input/output error',
            'could not close file "{0}": Input/output error',
            'could not update checksum of file "{0}"',
            'file "{0}" should contain 3 bytes, but read 2 bytes',
            'file "{0}" has checksum of length 4, but expected 32',
        ],
    )
    def test_its_verdicts(self, program, verify, verdict):
        program(f"pg_verifybackup: error: {verdict}\n")
        assert verify() == [BAD]

    def test_it_is_shown_numbers_for_names(self, program, verify, record):
        program(MISMATCH)
        verify()
        shown = record()
        assert shown["shown"] == {"0": "one", "1": "bad", "2": "two", "PG_VERSION": ""}
        entries = shown["manifest"].encode().splitlines(keepends=True)
        assert list(parse_manifest(entries)) == [ManifestEntry(name, 3, "CRC32C", b"\1\2\3\4") for name in "012"]

    def test_how_it_is_called(self, program, verify, record):
        program(MISMATCH)
        verify()
        called = record()
        assert called["options"] == ["--no-parse-wal", "--quiet", "--ignore=PG_VERSION"]
        assert (called["mode"], called["locale"]) == (0o700, "C")

    def test_what_differs_at_first_sight_is_not_shown(self, program, verify, record, tmp_path):
        program(code=0)
        (tmp_path / "good").write_text("other size")
        (tmp_path / "pg_wal").unlink()
        assert verify() == ["good", "pg_wal"]
        assert record()["shown"] == {"0": "bad", "PG_VERSION": ""}

    def test_success_is_its_exit_code(self, program, verify):
        program("a library's warning\n", code=0)
        assert verify() == []

    @pytest.mark.parametrize(
        ("says", "code"),
        [
            pytest.param("", 1, id="nothing"),
            pytest.param("", 127, id="it does not start"),
            pytest.param("out of memory\n", 1, id="no verdict"),
            pytest.param(f"{MISMATCH}out of memory\n", 1, id="it gave up"),
            pytest.param(MISMATCH, 137, id="it was killed"),
            pytest.param('pg_verifybackup: fatal: could not open file "{0}": x\n', 1, id="fatal before 15"),
            pytest.param('pg_verifybackup: error: invalid checksum for file "{0}": "x"\n', 1, id="fatal"),
            pytest.param('pg_verifybackup: error: duplicate path name in backup manifest: "{0}"\n', 1, id="fatal, too"),
            pytest.param('pg_verifybackup: error: could not open directory "{0}": x\n', 1, id="a directory"),
            pytest.param(
                'pg_verifybackup: error: "x{0}" is present on disk but not in the manifest\n', 1, id="surplus"
            ),
        ],
    )
    def test_any_other_end_is_a_failure(self, program, verify, says, code):
        program(says, code)
        with pytest.raises(StandbyError, match=f"could not compare.*exit code {code};") as refused:
            verify()
        assert refused.value.code == "verification_failed"

    def test_several_threads_share_it(self, program, tmp_path, scratch, verify):
        program(MISMATCH)
        with ThreadPoolExecutor(4) as pool:
            found = [future.result() for future in [pool.submit(verify) for _each in range(8)]]
        assert found == [[BAD]] * 8
