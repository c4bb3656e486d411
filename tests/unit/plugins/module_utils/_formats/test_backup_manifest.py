# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's backup_manifest, read and written."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.backup_manifest import (
    CHECKSUM_BYTES,
    ManifestEntry,
    parse_manifest,
    render_manifest,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import FIXTURES
from hypothesis import given
from hypothesis import strategies as st

# pg_basebackup's, of a cluster from which most relations were removed to keep it short, and Barman's
# `generate-manifest`, of a few files. Each has a name that is not UTF-8 and one with a newline.
POSTGRESQL = FIXTURES / "postgresql" / "backup_manifest-15-crc32c.json"
UNCHECKED = FIXTURES / "postgresql" / "backup_manifest-15-none.json"
BARMAN = FIXTURES / "barman" / "3.19.1" / "backup_manifest.json"
recorded = pytest.mark.parametrize("record", [POSTGRESQL, UNCHECKED, BARMAN], ids=lambda path: path.stem)

LATIN = b"caf\xe9".decode("utf-8", "surrogateescape")
FILE = b'{ "Path": "base/1/1259", "Size": 8192, "Checksum-Algorithm": "CRC32C", "Checksum": "d90dfa99" }'
PROMISE = ManifestEntry("base/1/1259", 8192, "CRC32C", bytes.fromhex("d90dfa99"))
HEAD = b'{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [\n'


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


def parse(text):
    return list(parse_manifest(text.splitlines(keepends=True)))


def sealed(body):
    """A manifest with a right checksum, whatever is in it."""
    return body + b'"Manifest-Checksum": "%s"}\n' % hashlib.sha256(body).hexdigest().encode()


def manifest_of(*entries, head=HEAD):
    return sealed(head + b",\n".join(entries) + b"\n],\n")


class TestRecords:
    def test_of_postgresql(self):
        manifest_entries = {manifest_entry.path: manifest_entry for manifest_entry in parse_manifest(lines(POSTGRESQL))}
        assert len(manifest_entries) == 86
        assert manifest_entries["global/pg_control"][1:] == (8192, "CRC32C", bytes.fromhex("43872087"))
        assert manifest_entries["pg_tblspc/16384/PG_15_202209061/5/16385"].size == 8192
        assert {'quo"te, and\nnewline', "ü", LATIN, "PG_VERSION"} <= manifest_entries.keys()

    def test_of_postgresql_without_checksums(self):
        manifest_entries = list(parse_manifest(lines(UNCHECKED)))
        assert len(manifest_entries) == 86
        assert {manifest_entry[2:] for manifest_entry in manifest_entries} == {("", b"")}

    def test_of_barman(self):
        manifest_entries = {manifest_entry.path: manifest_entry for manifest_entry in parse_manifest(lines(BARMAN))}
        assert len(manifest_entries) == 9
        assert manifest_entries["empty"] == ManifestEntry("empty", 0, "SHA256", hashlib.sha256(b"").digest())
        assert manifest_entries[LATIN].checksum == hashlib.sha256(b"x").digest()
        assert {"line\nbreak", 'ü "quoted"', "base/1/1259"} <= manifest_entries.keys()

    @recorded
    def test_what_was_read_is_written_and_read_again(self, record):
        manifest_entries = list(parse_manifest(lines(record)))
        assert parse(render_manifest(manifest_entries).encode()) == manifest_entries

    @recorded
    def test_no_bit_can_be_lost(self, record):
        """Any line of the recorded ones left out, doubled or cut."""
        whole = lines(record)
        for number, line in enumerate(whole):
            before, after = whole[:number], whole[number + 1 :]
            for changed in ([*before, *after], [*before, line, line, *after], [*before, line[: len(line) // 2]]):
                with pytest.raises(StandbyError) as refused:
                    list(parse_manifest(changed))
                assert refused.value.code == "manifest_invalid"


class TestParsing:
    @pytest.mark.parametrize("head", [HEAD, HEAD.replace(b": 1,", b': 2,\n"System-Identifier": 7710593896377129854,')])
    def test_the_versions(self, head):
        assert parse(manifest_of(FILE, head=head)) == [PROMISE]

    @pytest.mark.parametrize("algorithm", [name for name in CHECKSUM_BYTES if name])
    def test_the_algorithms(self, algorithm):
        manifest_entry = ManifestEntry("a", 1, algorithm, bytes(range(CHECKSUM_BYTES[algorithm])))
        assert parse(render_manifest([manifest_entry]).encode()) == [manifest_entry]

    def test_no_files(self):
        assert parse(manifest_of()) == []

    def test_no_file_waits_for_the_next(self):
        """A manifest is a million lines long: each is read when it is needed, and is gone then."""
        endless = itertools.chain(HEAD.splitlines(keepends=True), itertools.repeat(FILE + b",\n"))
        assert list(itertools.islice(parse_manifest(endless), 3)) == [PROMISE] * 3

    def test_what_is_no_manifest_is_not_read_to_its_end(self):
        endless = itertools.repeat(b"x\n")
        with pytest.raises(StandbyError, match=r'"Files": \[ begins no line'):
            next(parse_manifest(endless))

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            pytest.param(b"", "ends early", id="empty"),
            pytest.param(manifest_of(FILE).replace(b"\n", b" "), "not written line by line", id="in one line"),
            pytest.param(sealed(HEAD[:-1] + FILE + b"\n],\n"), "not written line by line", id="a file in the head"),
            pytest.param(sealed(b'{"Files": [\n' + FILE + b"],\n"), "not written line by line", id="no version"),
            pytest.param(manifest_of(FILE, head=HEAD.replace(b"1", b"3")), "is of version 3", id="a later version"),
            pytest.param(manifest_of(FILE, FILE).replace(b"},\n", b"}, "), "damaged", id="two files in a line"),
            pytest.param(manifest_of(b"{\n", FILE[1:]), "damaged", id="a file in two lines"),
            pytest.param(HEAD + FILE + b",\n", "ends early", id="cut within the files"),
            pytest.param(HEAD + FILE + b"\n],\n", "ends early", id="cut after the files"),
            pytest.param(manifest_of(FILE)[:-3], "damaged", id="cut within the checksum"),
            pytest.param(manifest_of(FILE) + b"\n", "does not have the checksum", id="more follows"),
            pytest.param(manifest_of(FILE).replace(b"8192", b"8193"), "does not have the checksum", id="changed"),
            pytest.param(
                sealed(HEAD + FILE + b'\n],\n"Files": [' + FILE + b"],\n"), "unknown end: Files", id="more files"
            ),
            pytest.param(manifest_of(b"[" * 100_000), "damaged", id="deeper than any file"),
            pytest.param(manifest_of(b"7"), "damaged", id="a number"),
            pytest.param(manifest_of(b'{"Path": "\xe9"}'), "damaged", id="not UTF-8"),
        ],
    )
    def test_what_is_refused(self, text, says):
        with pytest.raises(StandbyError, match=says) as refused:
            parse(text)
        assert refused.value.code == "manifest_invalid"
        assert refused.value.msg.isascii()
        assert "Next: choose another backup_id" in refused.value.msg

    @pytest.mark.parametrize(
        "entry",
        [
            pytest.param(b'{"Size": 1}', id="no name"),
            pytest.param(b'{"Path": 1, "Size": 1}', id="a name that is none"),
            pytest.param(b'{"Encoded-Path": "6", "Size": 1}', id="a name that is not hexadecimal"),
            pytest.param(b'{"Path": "a"}', id="no size"),
            pytest.param(b'{"Path": "a", "Size": "1"}', id="a size that is none"),
            pytest.param(b'{"Path": "a", "Size": 1, "Checksum": "00"}', id="no algorithm"),
            pytest.param(b'{"Path": "a", "Size": 1, "Checksum-Algorithm": "CRC32C"}', id="no checksum"),
            pytest.param(b'{"Path": "a", "Size": 1, "Checksum-Algorithm": "MD5", "Checksum": "00"}', id="MD5"),
            pytest.param(b'{"Path": "a", "Size": 1, "Checksum-Algorithm": "CRC32C", "Checksum": "00"}', id="short"),
            pytest.param(b'{"Path": "a", "Size": 1, "Checksum-Algorithm": "CRC32C", "Checksum": "x"}', id="no digits"),
            pytest.param(b'{"Path": "/etc/passwd", "Size": 1}', id="absolute"),
            pytest.param(b'{"Path": "a/../../b", "Size": 1}', id="above"),
            pytest.param(b'{"Encoded-Path": "2e2e2f62", "Size": 1}', id="above, encoded"),
            pytest.param(b'{"Path": "a//b", "Size": 1}', id="nothing between slashes"),
            pytest.param(b'{"Path": "", "Size": 1}', id="nothing"),
            pytest.param(b'{"Path": "a\\u0000b", "Size": 1}', id="a null byte"),
            pytest.param(b'{"Path": "\\ud800", "Size": 1}', id="half a character"),
        ],
    )
    def test_what_is_no_file(self, entry):
        with pytest.raises(StandbyError, match="describes no file in") as refused:
            parse(manifest_of(FILE, entry))
        assert refused.value.code == "manifest_invalid"


class TestRendering:
    @pytest.mark.parametrize(
        ("path", "entry"),
        [
            pytest.param("base/1/1259", '"Path": "base/1/1259"', id="plain"),
            pytest.param('ü "q" \\', '"Path": "ü \\"q\\" \\\\"', id="as JSON has it"),
            pytest.param("a\nb", '"Encoded-Path": "610a62"', id="a control character"),
            pytest.param(LATIN, '"Encoded-Path": "636166e9"', id="not UTF-8"),
        ],
    )
    def test_names(self, path, entry):
        assert f"{{ {entry}, " in render_manifest([PROMISE._replace(path=path)])

    def test_a_file_without_a_checksum(self):
        assert '\n{ "Path": "a", "Size": 1 }\n' in render_manifest([ManifestEntry("a", 1, "", b"")])

    @given(st.lists(st.binary(min_size=1).filter(lambda raw: not {b"", b".", b".."} & set(raw.split(b"/")))))
    def test_any_name_survives(self, names):
        paths = [name.replace(b"\0", b"0").decode("utf-8", "surrogateescape") for name in names]
        manifest_entries = [PROMISE._replace(path=path) for path in paths]
        assert parse(render_manifest(manifest_entries).encode()) == manifest_entries
