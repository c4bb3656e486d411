# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import hashlib
import threading

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.manifest_index import ManifestIndex
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.checksums import Verifier
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.verification import (
    Verification,
    _verifier_for,
    read_promises,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.backup_manifest import (
    ManifestEntry,
    render_manifest,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import root_of, write_tree
from ansible_collections.pgfleet.standby.tests.waiting import BOUND, wait_until

CONTROL = "global/pg_control"
NAMES = ("base/1/1", "base/1/2", "unpromised", "without a checksum")


def promise(path, content="right", algorithm="SHA256"):
    checksum = hashlib.new(algorithm, content.encode()).digest() if algorithm else b""
    return ManifestEntry(path, len(content), algorithm, checksum)


PROMISED = [
    promise("base/1/1"),
    promise("base/1/2"),
    promise("without a checksum", algorithm=""),
    promise("pg_tblspc/7/a"),
    promise(CONTROL),
]


@pytest.fixture
def roots(tmp_path):
    """The data directory and a tablespace, all copied and all right."""
    write_tree(tmp_path / "data", dict.fromkeys(NAMES, "right"))
    write_tree(tmp_path / "fast", {"a": "right"})
    return (
        root_of(tmp_path / "data", tmp_path / "data"),
        root_of(tmp_path / "fast", tmp_path / "fast", oid=7),
    )


@pytest.fixture
def make(roots, tmp_path):
    def contents(promised=None, workers=2, verifier=None):
        verifier = verifier or Verifier("/nowhere", str(tmp_path))
        promises = ManifestIndex("b", roots, PROMISED if promised is None else promised)
        return made.enter_context(Verification(verifier, promises, workers))

    with contextlib.ExitStack() as made:
        yield contents


def everything(roots):
    return [Shard(root, range(len(root.files))) for root in roots]


def names(found):
    return [(root.oid, root.files.paths[position]) for root, position in found]


class TestCheck:
    def test_finds_nothing_where_all_is_right(self, make, roots):
        contents = make()
        for shard in everything(roots):
            contents.check(shard)
        assert contents.differing() == []

    @pytest.mark.parametrize("text", ["wrong", "short of", ""], ids=["contents", "longer", "shorter"])
    def test_finds_what_is_not_as_promised_in_any_tree(self, make, roots, tmp_path, text):
        contents = make()
        for name in ("data/base/1/2", "fast/a", "data/unpromised"):
            (tmp_path / name).write_text(text, encoding="utf-8")
        for shard in everything(roots):
            contents.check(shard)
        assert {name for _oid, name in names(contents.differing())} == {"a", "base/1/2"}

    def test_tells_of_a_file_once(self, make, roots, tmp_path):
        contents = make()
        (tmp_path / "fast/a").write_text("wrong", encoding="utf-8")
        contents.check(Shard(roots[1], [0]))
        assert names(contents.differing()) == [(7, "a")]
        assert contents.differing() == []
        contents.check(Shard(roots[1], [0]))
        assert names(contents.differing()) == [(7, "a")]

    def test_happens_while_others_are_copied(self, make, roots):
        """Whoever asks for it does not wait."""
        go_on = threading.Event()

        class Slow:
            def differing(self, _top, promises):
                assert go_on.wait(BOUND)
                return [promises[0].path]

        contents = make(verifier=Slow())
        contents.check(Shard(roots[0], [0]))
        go_on.set()
        assert names(contents.differing()) == [(None, "base/1/1")]

    def test_that_cannot_be_made_is_told(self, make, roots):
        class Broken:
            def differing(self, _top, _promises):
                raise StandbyError(Refusal("verification_failed", "no memory", "run again"))

        contents = make(verifier=Broken())
        contents.check(Shard(roots[0], [0]))
        with pytest.raises(StandbyError, match="no memory"):
            contents.differing()

    def test_is_called_off_when_the_copy_ends(self, make, roots):
        asked = []

        def is_the_second_called_off():
            return contents._checks[-1].cancelled()  # the second may not be there yet

        class Slow:
            def differing(self, _top, promises):
                asked.append(promises[0].path)
                wait_until(is_the_second_called_off)
                return []

        with make(workers=1, verifier=Slow()) as contents:
            contents.check(Shard(roots[0], [0]))
            contents.check(Shard(roots[0], [1]))
        assert asked == ["base/1/1"]


class TestMatching:
    def test_is_what_is_promised_and_right(self, make, roots, tmp_path):
        (tmp_path / "data/base/1/2").write_text("wrong", encoding="utf-8")
        matching = make().matching(everything(roots))
        assert {(oid, {None: roots[0], 7: roots[1]}[oid].files.paths[position]) for oid, position in matching} == {
            (None, "base/1/1"),
            (7, "a"),
        }

    def test_is_nothing_of_no_files(self, make):
        assert make().matching([]) == set()


class TestControl:
    @pytest.mark.parametrize(
        ("promised", "text", "is_refused"),
        [
            pytest.param(promise(CONTROL), "right", False, id="right"),
            pytest.param(promise(CONTROL), "wrong", True, id="wrong"),
            pytest.param(promise(CONTROL), None, True, id="missing"),
            pytest.param(promise(CONTROL, algorithm=""), "wrong", False, id="without a checksum"),
            pytest.param(None, "wrong", False, id="not promised"),
        ],
    )
    def test_has_to_be_as_promised(self, make, tmp_path, promised, text, is_refused):
        if text is not None:
            write_tree(tmp_path / "staging", {CONTROL: text})
        contents = make([*PROMISED[:-1], *([promised] if promised else [])])
        if not is_refused:
            contents.require_control(str(tmp_path / "staging"))
            return
        with pytest.raises(StandbyError) as error:
            contents.require_control(str(tmp_path / "staging"))
        assert error.value.code == "manifest_mismatch"


class TestManifest:
    def test_is_read_from_a_file(self, roots, tmp_path):
        write_tree(tmp_path, {"manifest": render_manifest(PROMISED)})
        promises = read_promises("b", roots, str(tmp_path / "manifest"))
        assert promises.control == promise(CONTROL)
        assert [found.path for found in promises.of(Shard(roots[0], range(4)))] == ["base/1/1", "base/1/2"]

    def test_of_files_that_the_backup_does_not_have_is_refused(self, roots, tmp_path):
        write_tree(tmp_path, {"manifest": render_manifest([promise("base/1/3")])})
        with pytest.raises(StandbyError, match="base/1/3 is missing") as error:
            read_promises("b", roots, str(tmp_path / "manifest"))
        assert error.value.code == "backup_inconsistent"

    @pytest.mark.parametrize(
        ("algorithms", "has_program", "can"),
        [
            ([], False, True),
            (["SHA256", "SHA512"], False, True),
            (["CRC32C"], False, False),
            (["SHA256", "CRC32C"], False, False),
            (["CRC32C"], True, True),
        ],
    )
    def test_is_of_use_when_something_here_can_compute_its_checksums(
        self, host, roots, tmp_path, algorithms, has_program, can
    ):
        if has_program:
            host.program("pg_verifybackup", "#!/bin/sh\n")
        promises = ManifestIndex("b", roots, [])
        promises.algorithms = set(algorithms)
        assert (_verifier_for(str(host.programs), promises, str(tmp_path)) is not None) is can
