# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import os
import stat
import subprocess
from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL, Entry, Files, digest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.listing import (
    FIND_FORMAT,
    parse_listing,
    plan_roots,
    read_listing,
    target_of,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Tablespace
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import backup, directory, file

NEEDED = [file("data/PG_VERSION", 3), file(f"data/{CONTROL}", 8192), file("data/backup_label", 200)]
PLAIN = [directory("data"), directory("data/global"), *NEEDED, directory("16388"), file("16388/PG_15/1/2", 8192)]
TARGETS = {16388: "/srv/fast"}


def roots_of(*entries, **changed):
    return planned([*PLAIN, *entries], **changed)


def planned(entries, **changed):
    of = backup(**changed)
    return plan_roots(of, read_listing(of, entries, TARGETS), "/pgdata", TARGETS)


def paths_of(root):
    return set(root.files.paths)


def shown(roots):
    """Everything of some trees, for comparison."""
    return [{**vars(root), "files": list(root.files)} for root in roots]


@pytest.fixture
def tree(tmp_path):
    """Entries whose names try to break out of a listing."""
    for name in [
        b"plain",
        b"two words",
        b" lead",
        b"trail ",
        b"-rf",
        b"line\nfeed",
        b"f 1 2.0 x",
        b"\xff\xfe",
        "ä".encode(),
    ]:
        path = os.path.join(os.fsencode(tmp_path), name)
        with open(path, "wb") as stream:
            stream.write(name)
        os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("plain")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


def listing_of(path):
    return subprocess.run(
        ["find", path, "-mindepth", "1", "-printf", FIND_FORMAT], capture_output=True, check=True
    ).stdout


class TestListing:
    def test_is_what_find_saw_whatever_the_names(self, tree):
        def entry(name):
            status = os.lstat(tree / name)
            kind = {"directory": "d", "link": "l", "fifo": "p"}.get(name, "f")
            return Entry(kind, status.st_size, status.st_mtime_ns, name, stat.S_IMODE(status.st_mode))

        os.chmod(tree / "plain", 0o4640)
        assert sorted(parse_listing([listing_of(tree)])) == sorted(entry(name) for name in os.listdir(tree))

    @pytest.mark.parametrize("size", [1, 2, 7, 64])
    def test_is_the_same_in_whatever_portions_it_comes(self, tree, size):
        listing = listing_of(tree)
        portions = [listing[start : start + size] for start in range(0, len(listing), size)]
        assert list(parse_listing(portions)) == list(parse_listing([listing]))

    def test_comes_record_by_record(self):
        def endless():
            while True:
                yield b"f 640 1 1.0 a\0f 6"
                yield b"40 2 1.0 b\0"

        assert [entry.path for entry in itertools.islice(parse_listing(endless()), 4)] == ["a", "b", "a", "b"]

    @pytest.mark.parametrize("portions", [[], [b""]], ids=["no portion", "an empty portion"])
    def test_of_nothing_is_empty(self, portions):
        assert list(parse_listing(portions)) == []

    @pytest.mark.parametrize(
        ("mtime", "mtime_ns"),
        [("1", 10**9), ("1.5", 1_500_000_000), ("1.0000000010", 10**9 + 1), ("1.1234567899", 1_123_456_789)],
    )
    def test_takes_nanoseconds_from_any_number_of_digits(self, mtime, mtime_ns):
        [entry] = parse_listing([f"f 600 1 {mtime} a\0".encode()])
        assert entry.mtime_ns == mtime_ns

    @pytest.mark.parametrize(
        ("listing", "code"),
        [
            pytest.param(b"Welcome to this host!\nf 600 1 1.0 a\0", "ssh_stdout_polluted", id="banner"),
            pytest.param(b"Welcome\nf 600 1 1.0 a\0", "ssh_stdout_polluted", id="banner of one word"),
            pytest.param(b"\xff\xfe\nf 600 1 1.0 a\0", "ssh_stdout_polluted", id="banner that is no UTF-8"),
            pytest.param(b"f 600 1 1.0\0", "ssh_stdout_polluted", id="no path"),
            pytest.param(b"f 600 x 1.0 a\0", "ssh_stdout_polluted", id="no size"),
            pytest.param(b"f rw- 1 1.0 a\0", "ssh_stdout_polluted", id="no mode"),
            pytest.param(b"f 680 1 1.0 a\0", "ssh_stdout_polluted", id="mode not octal"),
            pytest.param(b"f 600 1 now a\0", "ssh_stdout_polluted", id="no time"),
            pytest.param(b"\xff 600 1 1.0 a\0", "ssh_stdout_polluted", id="kind that is no UTF-8"),
            pytest.param(b"f 600 1 1.0 a\0f 600 1 1.0 b", "listing_incomplete", id="breaks off in a record"),
            pytest.param(b"f 600 1", "listing_incomplete", id="breaks off in the first"),
        ],
    )
    def test_refuses_anything_else(self, listing, code):
        with pytest.raises(StandbyError) as refused:
            list(parse_listing([listing]))
        assert refused.value.code == code


class TestTargets:
    @pytest.mark.parametrize(
        ("mapping", "target"),
        [({}, "/srv/tablespaces/fast"), ({"/srv/tablespaces/fast": "/ssd"}, "/ssd")],
        ids=["where they were", "mapped"],
    )
    def test_by_oid(self, mapping, target):
        assert target_of(backup(), mapping) == {16388: target}

    def test_refuse_a_location_that_the_primary_does_not_have(self):
        with pytest.raises(StandbyError, match=r"/srv/typo, but backup .* /srv/tablespaces/fast") as refused:
            target_of(backup(), {"/srv/typo": "/ssd"})
        assert refused.value.code == "tablespace_unknown"

    @pytest.mark.parametrize("mapping", [{}, {"pg_tblspc/16389": "/ssd"}], ids=["as it is", "mapped"])
    def test_refuse_tablespaces_in_place(self, mapping):
        given = (*backup().tablespaces, Tablespace("inside", 16389, "pg_tblspc/16389"))
        with pytest.raises(StandbyError, match=r"inside \(oid 16389\)\. No method") as refused:
            target_of(backup(tablespaces=given), mapping)
        assert refused.value.code == "tablespace_in_place"


class TestPlan:
    def test_puts_the_data_directory_first_and_each_tablespace_in_its_place(self):
        data, fast = roots_of()
        assert (data.oid, data.target, data.source) == (None, "/pgdata", f"{backup().directory}/data")
        assert (fast.oid, fast.target, fast.source) == (16388, "/srv/fast", f"{backup().directory}/16388")
        assert fast.name == "fast"
        assert paths_of(fast) == {"PG_15/1/2"}
        assert fast.bytes == 8192

    def test_leaves_pg_control_for_the_commit(self):
        assert paths_of(roots_of()[0]) == {"PG_VERSION", "backup_label"}

    def test_keeps_a_file_of_that_name_in_a_tablespace(self):
        assert CONTROL in paths_of(roots_of(file(f"16388/{CONTROL}"))[1])

    @pytest.mark.parametrize(
        "path",
        [
            ".barman-recover.info",
            "backup_label.old",
            "base/1/pg_internal.init",
            "base/1/pg_internal.init.123",
            "base/pgsql_tmp/pgsql_tmp1.0",
            "current_logfiles",
            "log/postgresql.log",
            "pg_dynshmem/mmap.1",
            "pg_log/postgresql.log",
            "pg_notify/0000",
            "pg_replslot/n1/state",
            "pg_stat_tmp/global.stat",
            "pg_wal/000000010000000000000003",
            "pg_wal/archive_status/000000010000000000000003.done",
            "postmaster.opts",
            "postmaster.pid",
            "recovery.conf",
            "recovery.done",
            "recovery.signal",
            "standby.signal",
            "tablespace_map",
        ],
    )
    def test_leaves_out_what_belongs_to_the_running_source(self, path):
        assert path not in paths_of(roots_of(file(f"data/{path}"))[0])

    @pytest.mark.parametrize(
        "path",
        [
            "base/1/1259",
            "base/1/standby.signal",
            "conf.d/log/a.conf",
            "global/1262",
            "logs",
            "pg_commit_ts/0000",
            "pg_logical/mappings/map-1",
            "pg_multixact/members/0000",
            "pg_stat/pgss_query_texts.stat",
            "pg_twophase/00000001",
            "pg_xact/0000",
            "postgresql.auto.conf",
            "server.key",
        ],
    )
    def test_takes_the_rest(self, path):
        assert path in paths_of(roots_of(file(f"data/{path}"))[0])

    def test_leaves_out_temporary_files_of_a_tablespace_too(self):
        assert paths_of(roots_of(file("16388/PG_15/pgsql_tmp/pgsql_tmp1.0"))[1]) == {"PG_15/1/2"}

    def test_makes_directories_that_a_server_needs_though_the_backup_lost_them(self):
        data, fast = roots_of(directory("data/base"), directory("data/base/1"), directory("16388/PG_15"))
        assert {"base", "base/1", "global", "pg_wal", "pg_wal/archive_status", "pg_tblspc"} <= set(data.directories)
        assert {"pg_notify", "pg_replslot", "pg_stat_tmp", "pg_subtrans", "pg_twophase"} <= set(data.directories)
        assert fast.directories == ("PG_15",)

    def test_makes_no_directory_of_a_left_out_tree(self):
        assert not {"pg_replslot/n1", "log/old"} & set(roots_of(directory("data/pg_replslot/n1"))[0].directories)

    def test_passes_over_what_lies_beside_the_trees(self):
        assert shown(roots_of(file("backup.info"), file("99999/PG_15/1/2"), file("database/x"))) == shown(roots_of())

    @pytest.mark.parametrize(
        ("entries", "code", "said"),
        [
            *(
                pytest.param(
                    [e for e in PLAIN if e is not left_out], "backup_files_missing", left_out.path[5:], id=left_out.path
                )
                for left_out in NEEDED
            ),
            pytest.param([], "backup_files_missing", "PG_VERSION, global/pg_control, backup_label", id="nothing"),
            pytest.param(PLAIN[:-2], "backup_files_missing", "tablespace fast", id="no tablespace"),
            pytest.param(PLAIN[:-1], "backup_files_missing", "tablespace fast", id="empty tablespace"),
            pytest.param([*PLAIN, Entry("l", 1, 0, "data/base/1/2")], "backup_special_files", "base/1/2", id="link"),
            pytest.param(
                [*PLAIN, Entry("p", 0, 0, "16388/pipe")], "backup_special_files", "pipe", id="fifo in tablespace"
            ),
        ],
    )
    def test_refuses_what_is_no_plain_copy_of_a_cluster(self, entries, code, said):
        with pytest.raises(StandbyError, match=said) as refused:
            planned(entries)
        assert refused.value.code == code

    def test_has_tars_instead_only_where_there_is_no_cluster_beside_them(self):
        tars = [file("data/base.tar.gz"), file("data/16388.tar"), file("data/1.tar.gz.old"), file("data/base.tarry")]
        assert read_listing(backup(), [*PLAIN, *tars], TARGETS).archives == ()
        archives = read_listing(backup(), [directory("data"), *tars], TARGETS).archives
        assert [entry.path for entry in archives] == ["data/base.tar.gz", "data/16388.tar", "data/1.tar.gz.old"]

    def test_passes_over_the_links_of_pg_tblspc(self):
        assert shown(roots_of(Entry("l", 1, 0, "data/pg_tblspc/16388"))) == shown(roots_of())

    @pytest.mark.parametrize(
        ("mode", "directories", "files"),
        [
            pytest.param(0o600, 0o700, 0o600, id="as initdb makes it"),
            pytest.param(0o640, 0o750, 0o640, id="with group access"),
            pytest.param(0o644, 0o750, 0o640, id="never for everybody"),
            pytest.param(0o604, 0o700, 0o600, id="nor for everybody but the group"),
        ],
    )
    def test_has_the_modes_of_the_source_cluster_everywhere(self, mode, directories, files):
        others = [entry._replace(mode=0o777) for entry in PLAIN if entry.path != "data/PG_VERSION"]
        roots = planned([*others, Entry("f", 3, 0, "data/PG_VERSION", mode)])
        assert [(root.directory_mode, root.file_mode(0o644)) for root in roots] == [(directories, files)] * 2

    def test_takes_the_modes_from_the_data_directorys_own_version_file_alone(self):
        strangers = [Entry("f", 3, 0, path, 0o640) for path in ("data/base/1/PG_VERSION", "16388/PG_VERSION")]
        assert {root.file_mode(0o644) for root in roots_of(*strangers)} == {0o600}

    def test_keeps_names_sizes_and_times_of_all_files_whatever_the_names(self):
        names = ["a b", "it's", "$(id)", "line\nfeed", "-rf", "umlaut-ä", "\udcff"]
        files = [file(f"base/5/{name}", size, size * 10) for size, name in enumerate(names)]
        [data, _fast] = roots_of(*(entry._replace(path=f"data/{entry.path}") for entry in files))
        assert [entry for entry in data.files if entry.path.startswith("base/5/")] == sorted(
            files, key=lambda entry: entry.path
        )


def with_files(change):
    """A change of a tree's files."""
    return lambda root: replace(root, files=Files(change(list(root.files))))


class TestDigest:
    def test_is_the_same_for_the_same_plan(self):
        assert digest(roots_of()) == digest(roots_of())

    def test_knows_no_order_of_the_listing(self):
        assert digest(planned(PLAIN[::-1])) == digest(roots_of())

    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param(with_files(lambda files: files[1:]), id="a file less"),
            pytest.param(with_files(lambda files: [*files, file("new", 0)]), id="a file more"),
            *(
                pytest.param(
                    with_files(lambda files, new=new: [files[0]._replace(**new), *files[1:]]),
                    id=f"another {next(iter(new))}",
                )
                for new in ({"path": "PG_VERSION2"}, {"size": 4}, {"mtime_ns": 1})
            ),
            pytest.param(lambda root: replace(root, directories=root.directories[1:]), id="a directory less"),
            pytest.param(lambda root: replace(root, target="/other"), id="another target"),
            pytest.param(lambda root: replace(root, source="/other"), id="another source"),
        ],
    )
    @pytest.mark.parametrize("which", [0, 1], ids=["data", "tablespace"])
    def test_changes_with_everything(self, which, changed):
        roots = roots_of(directory("16388/PG_15"))
        other = [changed(root) if number == which else root for number, root in enumerate(roots)]
        assert digest(other) != digest(roots)

    def test_of_names_that_are_no_utf_8(self):
        assert digest(roots_of(file("data/\udcff"))) != digest(roots_of(file("data/\udcfe")))
