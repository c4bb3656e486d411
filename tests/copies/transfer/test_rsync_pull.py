# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files pulled by several rsyncs: what arrives, how it travels, and what differs."""

from __future__ import annotations

import stat

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import rsync_pull as _rsync_pull
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.rsync_pull import Wire
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    PULLS,
    read_tree,
    root_of,
    write_tree,
)

PAGE = 8192
PAGES = "".join(f"{row:8}" for row in range(10 * PAGE // 8))

# Of a file in the backup; of its copy in a cluster that is its owner's alone, and in one that the group may read.
MODES = [
    (0o600, 0o600, 0o600),
    (0o644, 0o600, 0o640),
    (0o755, 0o700, 0o750),
    (0o440, 0o600, 0o640),
    (0o4664, 0o600, 0o640),
]


class TestCopy:
    @pytest.mark.parametrize("workers", [1, 2, 9])
    def test_brings_everything_by_one_connection_for_each_worker(self, host, transfer, shards, source, target, workers):
        copying = transfer(workers)
        copying.run(shards)
        assert read_tree(target) == read_tree(source)
        assert (copying.literal, copying.progress.retries) == (5000, 0)
        assert 1 <= host.connects() <= min(workers, 5)
        assert len(host.calls()) == host.connects() + 5

    def test_of_nothing_asks_nobody(self, host, transfer):
        transfer().run([])
        assert host.calls() == []

    def test_tells_of_every_shard_that_has_arrived(self, transfer, shards, target):
        arrived = []

        def finished(shard):
            assert all((target / path).exists() for path in shard.paths)
            arrived.append(shard)

        transfer(finished=finished).run(shards)
        assert sorted(shard.positions[0] for shard in arrived) == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("group_access", [False, True])
    @pytest.mark.parametrize(("there", "alone", "with_group"), MODES)
    def test_keeps_the_modes_of_files_without_the_rights_of_strangers(
        self, transfer, source, target, group_access, there, alone, with_group
    ):
        for path in source.iterdir():
            path.chmod(there)
        root = root_of(source, target, group_access=group_access)
        transfer().run([Shard(root, range(5))])
        found = {stat.S_IMODE(path.stat().st_mode) for path in target.iterdir()}
        assert found == {with_group if group_access else alone} == {root.file_mode(there)}

    @pytest.mark.parametrize(
        ("there", "basis", "sent"),
        [
            pytest.param(None, False, len(PAGES), id="no file"),
            pytest.param(PAGES[:PAGE] + "x" * PAGE + PAGES[2 * PAGE :], True, PAGE, id="another page"),
            pytest.param(PAGES, True, 0, id="the same file"),
            pytest.param(PAGES[: 4 * PAGE], True, 6 * PAGE, id="half a file"),
            pytest.param("x" * len(PAGES), False, len(PAGES), id="a wrong file that is to be sent whole"),
        ],
    )
    def test_sends_of_a_file_what_differs_whatever_its_size_and_time(self, host, transfer, target, there, basis, sent):
        write_tree(host.root / "source", {"table": PAGES})
        if there is not None:
            write_tree(target, {"table": there})
        root = root_of(host.root / "source", target)
        copying = transfer()
        copying.run([Shard(root, [0], basis)])
        assert (target / "table").read_text(encoding="utf-8") == PAGES
        assert (target / "table").stat().st_mtime_ns == root.files.times[0]
        assert copying.literal == sent

    def test_goes_on_writing_into_a_file_that_is_there(self, host, transfer, target):
        """A second copy of a large file would need the room twice."""
        write_tree(host.root / "source", {"table": PAGES})
        write_tree(target, {"table": "x"})
        there = (target / "table").stat().st_ino
        transfer().run([Shard(root_of(host.root / "source", target), [0], basis=True)])
        assert (target / "table").stat().st_ino == there

    @pytest.mark.parametrize(
        ("wire", "workers", "told"),
        [
            ({"bwlimit": 1000}, 4, "--bwlimit=250"),
            ({"bwlimit": 3}, 4, "--bwlimit=1"),
            ({"io_timeout": 7}, 2, "--timeout=7"),
            ({"compress": "zstd"}, 2, "--compress-choice=zstd"),
            ({"remote_rsync": "nice rsync"}, 2, "--rsync-path=nice rsync"),
        ],
        ids=str,
    )
    def test_tells_every_rsync_how_the_bytes_are_to_travel(self, transfer, shards, rsync, wire, workers, told):
        lines = rsync(before="exit 0")
        transfer(workers, wire=Wire(**wire)).run(shards)
        assert lines().count(told) == len(shards)

    def test_does_not_limit_or_compress_of_its_own_accord(self, transfer, shards, rsync):
        lines = rsync()
        transfer().run(shards)
        assert [line for line in lines() if line.startswith(("--bwlimit", "--compress", "--rsync-path"))] == []

    def test_follows_the_progress(self, transfer, shards):
        copying = transfer(1)
        copying.progress.enter("copying", 5000)
        at = []
        copying.progress.at = lambda worker, count: at.append((worker, count))
        copying.run(shards)
        assert {worker for worker, _count in at} == {0}
        assert max(count for _worker, count in at) == 1000
        assert copying.progress.snapshot()["bytes_done"] == 5000


class TestSamples:
    @pytest.fixture
    def chosen(self, monkeypatch):
        """What was measured; zstd is said to be the best."""
        measured = {}
        monkeypatch.setattr(
            _rsync_pull, "chosen_by", lambda choices, samples: measured.update(samples, choices=choices) or "zstd"
        )
        return measured

    def test_are_copied_each_by_its_compression_and_the_rest_by_the_best(self, transfer, shards, rsync, target, chosen):
        lines = rsync()
        copying = transfer(1)
        copying.run_with_samples(("lz4", "none", "zstd"), shards[:3], shards[3:])
        assert [line for line in lines() if "compress-choice" in line or line.startswith("./")] == [
            "--compress-choice=lz4",
            "./file 0|",
            "./file 1|",
            *(line for number in (2, 3, 4) for line in ("--compress-choice=zstd", f"./file {number}|")),
        ]
        assert copying.wire.compress == "zstd"
        assert len(read_tree(target)) == 5

    def test_are_measured_in_bytes_on_the_wire_and_seconds(self, transfer, shards, chosen):
        copying = transfer()
        copying.run_with_samples(("lz4", "none", "zstd"), shards[:3], shards[3:])
        assert chosen.pop("choices") == ("lz4", "none", "zstd")
        assert {name: sample.bytes for name, sample in chosen.items()} == {"lz4": 1000, "none": 1000, "zstd": 1000}
        assert chosen["lz4"].received < 1000 < chosen["none"].received
        assert all(sample.seconds > 0 for sample in chosen.values())

    def test_that_cannot_be_had_fail_the_copy(self, host, transfer, shards, chosen):
        host.hook(f"case $command in {PULLS} echo 'Host key verification failed.' >&2; exit 255 ;; esac")
        with pytest.raises(StandbyError) as error:
            transfer().run_with_samples(("lz4", "none"), shards[:2], shards[2:])
        assert (error.value.code, chosen) == ("ssh_host_key", {})


class TestDifferences:
    NAMES = ("plain", "two words", "-rf", "#hash", "line\nfeed", "back\\slash", "\\#012", "umlaut-ä")

    def test_are_found_by_contents_alone_and_nothing_is_changed(self, host, transfer, target):
        source = host.root / "source"
        write_tree(source, {**dict.fromkeys(self.NAMES, "right"), "same": "right"})
        write_tree(target, {**dict.fromkeys(self.NAMES, "wrong"), "same": "right"})
        root = root_of(source, target)
        before = read_tree(target)
        copying = transfer()
        copying.connections[0].open()
        assert sorted(copying.differing(0, Shard(root, range(len(root.files))))) == sorted(self.NAMES)
        assert read_tree(target) == before

    def test_are_none_where_there_are_none(self, transfer, root):
        copying = transfer()
        copying.run([Shard(root, range(5))])
        assert copying.differing(0, Shard(root, range(5))) == []
