# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
import tarfile

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Archive, Entry, Files, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.tar import Stream
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.tar_extract import unpack
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.tars import NAME, plain, tar_of

FILES = {"PG_VERSION": "15\n", "base/1/1259": "r" * 20000, "base/1/empty": "", "base/1/\udcff ü": "odd"}
LEFT_OUT = {"tablespace_map": "x", "pg_wal/0": "x", "base/pgsql_tmp/t": "x", "global/pg_control": "control"}


def special(name, kind, **more):
    return name, b"", {"type": kind, **more}


ALL = [plain(*pair) for pair in {**FILES, **LEFT_OUT}.items()]


def in_portions(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data/base/1").mkdir(parents=True)
    archive = Archive(NAME, None, 1, 7)
    files = Files(Entry("f", len(text), 7, path) for path, text in FILES.items())
    return Root(None, "/barman", str(tmp_path / "data"), files, ("base", "base/1"), None, True, archive)


class Unpacked:
    def __init__(self, root, data, positions=None, size=1000):
        self.written = 0
        self.done = []
        shard = Shard(root, range(len(root.files)) if positions is None else positions)
        control = os.path.join(root.target, "../held")
        unpack(Stream(in_portions(data, size)), shard, control, self.count, self.done.append)

    def count(self, number):
        self.written += number


class TestUnpacking:
    @pytest.mark.parametrize("size", [1, 511, 512, 513, 1 << 20])
    def test_writes_the_planned_files_and_holds_pg_control(self, root, tmp_path, size):
        link = special("pg_tblspc/16388", tarfile.SYMTYPE, linkname="/elsewhere")
        unpacked = Unpacked(root, tar_of(special("base", tarfile.DIRTYPE), link, *ALL), size=size)
        assert read_tree(tmp_path) == {"held": "control", **{f"data/{name}": text for name, text in FILES.items()}}
        assert unpacked.written == sum(map(len, FILES.values())) == root.bytes
        assert sorted(unpacked.done) == list(range(len(FILES)))

    @pytest.mark.parametrize(("mode", "given"), [(0o644, 0o640), (0o600, 0o600), (0o4777, 0o750), (0o400, 0o600)])
    def test_gives_them_the_plans_time_and_no_more_than_the_rights_that_they_have(self, root, tmp_path, mode, given):
        others = [entry for entry in ALL if entry[0] != "PG_VERSION"]
        Unpacked(root, tar_of(("PG_VERSION", b"15\n", {"mode": mode}), *others))
        status = (tmp_path / "data/PG_VERSION").stat()
        assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (given, 7)

    def test_writes_only_what_is_wanted(self, root, tmp_path):
        wanted = root.files.paths.index("PG_VERSION")
        assert Unpacked(root, tar_of(*ALL), [wanted]).done == [wanted]
        assert list(read_tree(tmp_path / "data")) == ["PG_VERSION"]

    def test_never_writes_through_a_link(self, root, tmp_path):
        (tmp_path / "canary").write_text("alive")
        (tmp_path / "data/PG_VERSION").symlink_to(tmp_path / "canary")
        with pytest.raises(OSError, match="symbolic links"):
            Unpacked(root, tar_of(*ALL))
        assert (tmp_path / "canary").read_text() == "alive"

    @pytest.mark.parametrize(
        ("entry", "code"),
        [
            pytest.param(plain("../evil", "x"), "archive_unfit", id="leads out"),
            pytest.param(plain("base/../../evil", "x"), "archive_unfit", id="leads out later"),
            pytest.param(plain("/tmp/evil", "x"), "archive_unfit", id="absolute"),
            pytest.param(special("../evil", tarfile.DIRTYPE), "archive_unfit", id="directory that leads out"),
            pytest.param(special("base/l", tarfile.SYMTYPE, linkname="/tmp"), "archive_unfit", id="link"),
            pytest.param(special("base/l", tarfile.LNKTYPE, linkname="PG_VERSION"), "archive_unfit", id="hard link"),
            pytest.param(special("PG_VERSION", tarfile.SYMTYPE, linkname="/tmp"), "archive_unfit", id="planned link"),
            pytest.param(special("base/d", tarfile.CHRTYPE), "archive_unfit", id="device"),
            pytest.param(special("base/p", tarfile.FIFOTYPE), "archive_unfit", id="pipe"),
            pytest.param(special("base/s", tarfile.GNUTYPE_SPARSE), "archive_unfit", id="sparse"),
            pytest.param(special("base/x", tarfile.XHDTYPE), "archive_unfit", id="extended header"),
            pytest.param(plain("base/evil", "x"), "backup_inconsistent", id="not in the manifest"),
            pytest.param(plain("PG_VERSION", "15\n"), "backup_inconsistent", id="twice"),
        ],
    )
    def test_refuses_what_it_must_not_write(self, root, tmp_path, entry, code):
        with pytest.raises(StandbyError) as refused:
            Unpacked(root, tar_of(*ALL, entry))
        assert refused.value.code == code
        assert set(read_tree(tmp_path)) == {"held", *(f"data/{name}" for name in FILES)}

    def test_refuses_a_file_of_another_size(self, root):
        with pytest.raises(StandbyError, match="4 bytes, not 3"):
            Unpacked(root, tar_of(plain("PG_VERSION", "15.1")))

    def test_refuses_a_tar_that_lacks_a_file(self, root):
        with pytest.raises(StandbyError, match="lacks PG_VERSION"):
            Unpacked(root, tar_of(*ALL[1:]))
