# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes into the spool, in which order, how much of it, and what does not."""

from __future__ import annotations

import bz2
import gzip
import lzma

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed import course as _course
from ansible_collections.pgfleet.standby.tests.copies.wal_feed.feeding import FIRST, MIB, content_of, name_of
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import PULLS
from ansible_collections.pgfleet.standby.tests.waiting import wait_until


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=lambda pack: pack.__module__)
def test_all_that_is_archived_comes_whole(feeding, pack):
    feeding.put(*range(FIRST - 2, FIRST + 6), pack=pack)
    feeding.start()
    feeding.wait_for(*range(FIRST, FIRST + 6))
    for number in range(FIRST, FIRST + 6):
        assert (feeding.ready / name_of(number)).read_bytes() == content_of(number)


def test_one_login_brings_all(feeding):
    feeding.put(*range(FIRST, FIRST + 40))
    feeding.start()
    feeding.wait_for(*range(FIRST, FIRST + 40))
    assert feeding.host.connects() == 1


def test_what_is_archived_later_comes_later(feeding):
    feeding.put(FIRST)
    feeding.start()
    feeding.wait_for(FIRST)
    feeding.put(FIRST + 1)
    feeding.wait_for(FIRST, FIRST + 1)


def test_what_is_whole_and_not_archived_yet_comes(feeding):
    feeding.put(FIRST)
    feeding.write(name_of(FIRST + 1), content_of(FIRST + 1), feeding.incoming)
    feeding.write(name_of(FIRST + 2), content_of(FIRST + 2), feeding.streaming)
    feeding.write(f"{name_of(FIRST + 3)}.partial", content_of(FIRST + 3), feeding.streaming)
    feeding.write(name_of(FIRST + 4), content_of(FIRST + 4)[: MIB // 2], feeding.incoming)
    feeding.start()
    feeding.wait_for(FIRST, FIRST + 1, FIRST + 2)
    feeding.write(name_of(FIRST + 4), content_of(FIRST + 4), feeding.incoming)
    feeding.wait_for(FIRST, FIRST + 1, FIRST + 2, FIRST + 4)
    assert feeding.told()["refused"] == {}


def test_a_directory_that_may_not_be_read_hides_no_other(feeding):
    feeding.incoming.rmdir()
    feeding.write(name_of(FIRST), content_of(FIRST), feeding.streaming)
    feeding.start()
    feeding.wait_for(FIRST)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "compressed"])
def test_it_turns_to_the_newest_timeline(feeding, pack):
    feeding.put(FIRST, FIRST + 1)
    feeding.start()
    feeding.wait_for(FIRST, FIRST + 1)
    feeding.put(FIRST + 2, FIRST + 3, timeline=2)
    feeding.write("00000002.history", pack(f"1\t0/{(FIRST + 2) * MIB + 8:X}\tno recovery target\n".encode()))
    wait_until(lambda: feeding.told().get("timeline") == 2)
    wait_until(lambda: name_of(FIRST + 3, 2) in feeding.held())
    assert feeding.held() == [name_of(FIRST), name_of(FIRST + 1), name_of(FIRST + 2, 2), name_of(FIRST + 3, 2)]


class TestBound:
    def test_it_waits_for_the_server_and_goes_on(self, feeding):
        feeding.put(*range(FIRST, FIRST + 12))
        feeding.start(bytes=4 * MIB)
        feeding.wait_for(FIRST, FIRST + 1, FIRST + 2)
        wait_until(lambda: feeding.told()["waits_for"] == "server")
        for number in range(FIRST, FIRST + 12):
            feeding.wait_for_one(number)
            assert len(feeding.held()) <= 4
            assert feeding.ask(number)
        assert feeding.told()["bound"] == 4 * MIB

    def test_a_pull_asks_for_no_more_than_there_is_room_for(self, feeding):
        seen = feeding.host.root / "seen"
        feeding.host.hook(f"case $command in {PULLS} ls '{feeding.ready}' | wc -l >>'{seen}' ;; esac")
        feeding.put(*range(FIRST, FIRST + 30))
        feeding.start(bytes=5 * MIB)
        for number in range(FIRST, FIRST + 30):
            feeding.wait_for_one(number)
            assert feeding.ask(number)
        assert max(map(int, seen.read_text(encoding="utf-8").split())) <= 5

    def test_a_server_that_is_ahead_is_overtaken(self, feeding):
        feeding.put(*range(FIRST, FIRST + 20))
        feeding.start(bytes=4 * MIB)
        feeding.wait_for(FIRST, FIRST + 1, FIRST + 2)
        assert not feeding.ask(FIRST + 10)
        feeding.wait_for(FIRST + 10, FIRST + 11, FIRST + 12)

    def test_a_server_that_goes_back_is_followed(self, feeding):
        feeding.put(*range(FIRST, FIRST + 20))
        feeding.start(bytes=4 * MIB)
        feeding.wait_for(FIRST, FIRST + 1, FIRST + 2)
        feeding.ask(FIRST + 10)
        feeding.wait_for(FIRST + 10, FIRST + 11, FIRST + 12)
        feeding.ask(FIRST + 1)
        feeding.wait_for(FIRST + 2, FIRST + 3, FIRST + 4)


DAMAGES = {
    "it has 4096 bytes": lambda content: content[:4096],
    "it does not begin as": lambda content: bytes(MIB),
    "it begins at": lambda content: content_of(FIRST + 5),
    "system identifier 8": lambda content: content_of(FIRST + 1, identifier=8),
    "gzip is damaged": lambda content: gzip.compress(content)[:-100],
}


class TestRefused:
    @pytest.mark.parametrize("why", DAMAGES)
    def test_a_damaged_segment_is_named_and_never_there(self, feeding, why):
        feeding.put(FIRST, FIRST + 1, FIRST + 2)
        feeding.write(name_of(FIRST + 1), DAMAGES[why](content_of(FIRST + 1)))
        feeding.start()
        feeding.wait_for(FIRST, FIRST + 2)
        wait_until(lambda: feeding.told()["waits_for"] == "archive")
        assert list(feeding.told()["refused"]) == [name_of(FIRST + 1)]
        assert why in feeding.told()["refused"][name_of(FIRST + 1)]
        assert feeding.held() == [name_of(FIRST), name_of(FIRST + 2)]

    def test_an_archive_of_which_nothing_can_be_used_ends_it(self, feeding):
        for number in range(FIRST, FIRST + 20):
            feeding.write(name_of(number), b"-----BEGIN PGP MESSAGE-----\n")
        feeding.start()
        assert feeding.wait_for_end()["error"]["refusal"]["code"] == "wal_unusable"
        assert feeding.held() == []

    def test_a_program_that_is_missing_ends_it(self, feeding, monkeypatch):
        feeding.write(name_of(FIRST), b"\x28\xb5\x2f\xfd" + bytes(100))
        needed = ("rsync", "nice", "ionice", "cat", "sh", "cut", "ls", "wc")
        for program in needed:
            if not (feeding.host.programs / program).exists():
                (feeding.host.programs / program).symlink_to(f"/usr/bin/{program}")
        monkeypatch.setenv("PATH", str(feeding.host.programs))
        feeding.start()
        assert feeding.wait_for_end()["error"]["refusal"]["code"] == "wal_decompressor_missing"


def test_a_connection_that_breaks_is_opened_again(feeding, monkeypatch):
    broken = feeding.host.root / "broken"
    feeding.host.hook(f"case $command in {PULLS} [ -e '{broken}' ] || {{ : >'{broken}'; exit 255; }} ;; esac")
    feeding.put(FIRST, FIRST + 1)
    feeding.start()
    feeding.wait_for(FIRST, FIRST + 1)
    assert broken.exists()


def test_a_barman_host_that_does_not_come_back_ends_it(feeding):
    feeding.put(FIRST)
    feeding.host.hook("case $command in *--server*) echo 'rsync: no' >&2; exit 12 ;; esac")
    feeding.start()
    assert "error" in feeding.wait_for_end()


def test_small_batches_bring_the_same(feeding, monkeypatch):
    monkeypatch.setattr(_course, "_BATCH_SEGMENTS", 2)
    feeding.put(*range(FIRST, FIRST + 7))
    feeding.start()
    feeding.wait_for(*range(FIRST, FIRST + 7))
