# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof as a table of who has what."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import wal_proof as _wal_proof
from ansible_collections.pgfleet.standby.plugins.module_utils._checks.wal_proof import prove, prove_archived
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.wal_segments import segment_name
from ansible_collections.pgfleet.standby.plugins.module_utils._model import as_dict
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.walsender import HeldWal
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import upstream

SIZE = 1 << 20
ALL = range(1000)
BEGIN = (1, 3 * SIZE + 40)


def at(segment, offset=0):
    return segment * SIZE + offset


def name(segment, timeline=1):
    return segment_name(timeline, at(segment), SIZE)


class Archive:
    """Barman, as far as a proof asks it: it has these segments."""

    server = "pg"
    shell = LocalShell()

    def __init__(self, *names: str, fails_after: int | None = None, histories: dict[int, str] | None = None) -> None:
        self.names = set(names)
        self.histories = histories or {}
        self.fails_after = fails_after
        self.asked: list[tuple[str, int]] = []

    def history(self, timeline: int) -> str | None:
        if self.fails_after is not None:
            raise StandbyError(Refusal("ssh_refused", "Cannot reach the Barman host.", "start sshd there"))
        return self.histories.get(timeline)

    def peek_wal(self, first: str, count: int) -> tuple[str, ...]:
        if self.fails_after is not None and len(self.asked) >= self.fails_after:
            raise StandbyError(Refusal("ssh_refused", "Cannot reach the Barman host.", "start sshd there"))
        self.asked.append((first, count))
        timeline, number = int(first[:8], 16), int(first[8:16], 16) * 4096 + int(first[16:], 16)
        names = [name(number + index, timeline) for index in range(count)]
        there = [wanted in self.names for wanted in names]
        return tuple(names[: there.index(False) if False in there else count])


@pytest.fixture
def look(monkeypatch):
    """Make a proof of a replay from segment 3 to 9, with what the upstream still has."""

    def run(archive, on_upstream=(), begin=BEGIN, **of_upstream):
        asked = []

        def holds(keywords, timeline, lsn):
            assert keywords == {"host": "primary"}
            asked.append(segment_name(timeline, lsn, SIZE))
            if on_upstream is None:
                return HeldWal(None, "the login failed: too many connections")
            held = name(lsn // SIZE, timeline) in on_upstream
            return HeldWal(held, "" if held else "already removed")

        monkeypatch.setattr(_wal_proof, "holds_wal", holds)
        monkeypatch.setattr(_wal_proof, "_AGAIN_SECONDS", 0)
        server = upstream(**{"lsn": at(9, 100), **of_upstream})
        return prove(begin, server, {"host": "primary"}, SIZE, archive), asked

    return run


def names(segments, timeline=1):
    return [name(segment, timeline) for segment in segments]


def codes(proof):
    for verdict in proof.verdicts:
        assert (verdict.error_code is None) == (verdict.severity == "ok")
        assert verdict.severity == "ok" or verdict.msg.count("Next: ") == 1
    return [(verdict.severity, verdict.error_code) for verdict in proof.verdicts if verdict.severity != "ok"]


GAP = [("error", "wal_missing")]
UNPROVEN = [("error", "wal_unproven")]
FORK = {"timeline": 2, "history": ((1, at(6, 80)),)}


@pytest.mark.parametrize(
    ("archive", "on_upstream", "of_upstream", "expected", "from_upstream", "asked"),
    [
        pytest.param(Archive(), names(ALL), {}, [], name(3), names([3, 4, 5, 7]), id="the upstream has all"),
        pytest.param(None, names(ALL), {}, [], name(3), names([3, 4, 5, 7]), id="the upstream has all, no Barman"),
        pytest.param(
            Archive(*names(range(3, 9))), names([9]), {}, [], name(9), [name(3)], id="all but what is written now"
        ),
        pytest.param(Archive(*names(range(3, 10))), [], {}, [], None, [name(3)], id="all in Barman"),
        pytest.param(
            Archive(*names(range(3, 7))), names([7, 8, 9]), {}, [], name(7), names([3, 7, 8]), id="it goes over"
        ),
        pytest.param(
            Archive(*names([3, 4, 5, 7, 8])), names([7, 8, 9]), {}, GAP, None, [name(3), name(6)], id="a gap between"
        ),
        pytest.param(Archive(*names(range(4, 9))), names([9]), {}, GAP, None, [name(3)], id="the first is missing"),
        pytest.param(None, names([9]), {}, GAP, None, [name(3)], id="removed, and no Barman"),
        pytest.param(
            Archive(*names(range(3, 8))), [], {"lsn": at(9)}, GAP, None, [name(3), name(8)], id="the last is missing"
        ),
        pytest.param(Archive(*names(range(3, 9))), [], {"lsn": at(9)}, [], None, [name(3)], id="nothing after it yet"),
        pytest.param(
            Archive(*names(range(3, 6)), *names(range(6, 9), 2)), [], FORK, [], name(9, 2), [name(3)], id="a fork"
        ),
        pytest.param(
            Archive(*names(range(3, 7)), *names(range(7, 9), 2)),
            [],
            FORK,
            GAP,
            None,
            [name(3), name(6, 2)],
            id="the fork's segment only by its old name",
        ),
        pytest.param(
            Archive(*names(range(3, 5))),
            [*names([5]), *names(ALL, 2)],
            FORK,
            [],
            name(5),
            [*names([3, 5]), *names([6, 7], 2)],
            id="the old timeline's last one is on the upstream only",
        ),
        pytest.param(Archive(*names(range(3, 9))), None, {}, [], name(9), [name(3)], id="no answer, Barman has all"),
        pytest.param(
            Archive(*names(range(3, 7))), None, {}, UNPROVEN, None, [name(3), name(7)], id="no answer at the end"
        ),
        pytest.param(Archive(), None, {}, UNPROVEN, None, [name(3)], id="no answer, Barman has none"),
        pytest.param(Archive(fails_after=0), None, {}, UNPROVEN, None, [name(3)], id="neither answers"),
        pytest.param(Archive(fails_after=0), [], {}, UNPROVEN, None, [name(3)], id="removed, Barman does not answer"),
        pytest.param(
            Archive(fails_after=0),
            names(ALL),
            {},
            [("warning", "wal_archive_unreachable")],
            name(3),
            names([3, 4, 5, 7]),
            id="the upstream has all, Barman does not answer",
        ),
        pytest.param(
            Archive(*names(range(3, 6)), fails_after=1),
            names(range(6, 10), 2),
            FORK,
            [("warning", "wal_archive_unreachable")],
            name(6, 2),
            [name(3), *names([6, 7, 8], 2)],
            id="Barman falls silent where the upstream can go on",
        ),
        pytest.param(
            Archive(*names(range(5, 9))),
            names([3, 8, 9]),
            {},
            GAP,
            name(3),
            names([3, 4, 4]),
            id="one is left over at the upstream, and a gap after it",
        ),
        pytest.param(
            Archive(*names(range(4, 8))),
            names([3, 8, 9]),
            {},
            [],
            name(3),
            names([3, 4, 8]),
            id="one is left over at the upstream, Barman goes on",
        ),
        pytest.param(
            Archive(*names([3, 5, 6, 7])), names([4, 8]), {}, [], name(4), names([3, 4, 5, 8]), id="they take turns"
        ),
        pytest.param(
            Archive(*names([7, 8])), names([3, 4, 9]), {}, GAP, name(3), names([3, 4, 5, 5]), id="two are left over"
        ),
    ],
)
def test_who_has_what(look, archive, on_upstream, of_upstream, expected, from_upstream, asked):
    proof, questions = look(archive, on_upstream, **of_upstream)
    assert codes(proof) == expected
    assert proof.from_upstream == from_upstream
    assert questions == asked
    assert proof.first == name(3)
    assert proof.bytes == upstream(**{"lsn": at(9, 100), **of_upstream}).lsn - BEGIN[1]


def test_what_barman_was_moving_is_there_when_it_is_asked_again(look):
    class Moving(Archive):
        def peek_wal(self, first, count):
            there = super().peek_wal(first, count)
            self.names.add(name(5))
            return there

    archive = Moving(*names([3, 4, 6, 7, 8]))
    proof, _questions = look(archive, names([9]))
    assert codes(proof) == []
    assert archive.asked == [(name(3), 7), (name(5), 5)]


def test_a_gap_is_told_by_name_with_all_that_was_found(look):
    proof, _asked = look(Archive(*names([3, 4, 5, 7, 8])), names([9]))
    assert proof.verdicts[0].msg == (
        "WAL segment 000000010000000000000006 is missing. Replay begins with 000000010000000000000003, and all is there"
        " up to 000000010000000000000005; the upstream primary does not have it (already removed), and Barman on this"
        " host does not have it for server pg, neither in its archive nor in its incoming and streaming directories."
        " Next: choose a newer backup (a standby that was only stopped: clone it again), or bring the segment back into"
        " Barman's archive."
    )


@pytest.mark.parametrize(
    ("archive", "on_upstream", "in_archive"),
    [
        (Archive(*names([3])), names(ALL), name(3)),
        (Archive(*names([4])), names(ALL), None),
        (Archive(*names(range(3, 9))), [], name(3)),
        (Archive(*names([4])), [], None),
        (None, names(ALL), None),
    ],
)
def test_one_to_try_restore_command_on(look, archive, on_upstream, in_archive):
    assert look(archive, on_upstream)[0].in_archive == in_archive


def test_barman_is_asked_for_one_where_the_upstream_has_all(look):
    archive = Archive(*names(ALL))
    look(archive, names(ALL))
    assert archive.asked == [(name(3), 1)]


def test_a_long_way_is_asked_in_portions(look, monkeypatch):
    monkeypatch.setattr(_wal_proof, "_PEEK", 100)
    archive = Archive(*names(range(3, 230)))
    proof, _asked = look(archive, names([230]), lsn=at(230, 8))
    assert codes(proof) == []
    assert archive.asked == [(name(3), 100), (name(103), 100), (name(203), 28)]


def test_what_barman_lists_after_a_gap_is_not_taken_for_a_row(look):
    archive = Archive()
    archive.peek_wal = lambda first, count: (name(3), name(4096), name(4097))
    proof, _asked = look(archive, [])
    assert codes(proof) == GAP
    assert name(4) in proof.verdicts[0].msg


def test_nothing_to_replay(look):
    proof, asked = look(Archive(), [], begin=(1, at(9)), lsn=at(9))
    assert (codes(proof), proof.bytes, asked) == ([], 0, [])


def test_another_history_is_unknown(look):
    proof, asked = look(Archive(*names(ALL)), names(ALL), begin=(2, at(3, 40)))
    assert codes(proof) == [("warning", "wal_unproven")]
    assert (proof.first, proof.bytes, asked) == (name(3, 2), 0, [])


def test_a_proof_can_be_a_result(look):
    assert as_dict(look(Archive(), names(ALL))[0])["verdicts"][0]["check"] == "wal"


class TestAPassiveBarmanAfterAFailover:
    """It has no history file, no .partial, and not the WAL from before its oldest backup.

    The standby gets the history from the upstream: a WAL receiver fetches what is missing up to the upstream's timeline
    before it asks for WAL (walreceiver.c, WalRcvFetchTimeLineHistoryFiles), and recovery then looks for the new
    timeline's segments in the archive as well (xlogrecovery.c, rescanLatestTimeLine).
    """

    @pytest.mark.parametrize(
        ("in_archive", "on_upstream", "missing"),
        [
            pytest.param(names(range(3, 6)), names(range(6, 10), 2), None, id="the new timeline is at the upstream"),
            pytest.param(
                [*names(range(3, 6)), *names([6, 7], 2)],
                names([8, 9], 2),
                None,
                id="the new timeline's begin is in the archive only",
            ),
            pytest.param(names([4, 5]), names(range(6, 10), 2), name(3), id="the old WAL is gone"),
            pytest.param(names(range(3, 6)), names([8, 9], 2), name(6, 2), id="the fork's segment is nowhere"),
            pytest.param(
                [*names(range(3, 6)), f"{name(6)}.partial"],
                names([8, 9], 2),
                name(6, 2),
                id="the fork's segment as .partial",
            ),
            pytest.param([], names(range(6, 10), 2), name(3), id="nothing but backups"),
        ],
    )
    def test_what_is_missing_is_told(self, look, in_archive, on_upstream, missing):
        proof, _asked = look(Archive(*in_archive), on_upstream, **FORK)
        assert codes(proof) == (GAP if missing else [])
        if missing:
            assert f"WAL segment {missing} is missing" in proof.verdicts[0].msg

    def test_a_backup_of_the_new_timeline_needs_nothing_of_the_old_one(self, look):
        proof, _asked = look(Archive(*names([7, 8], 2)), names([9], 2), begin=(2, at(7, 40)), **FORK)
        assert (codes(proof), proof.first) == ([], name(7, 2))

    def test_without_the_upstream_the_archive_needs_the_backups_own_segments_alone(self):
        archive = Archive(*names([3, 4]))
        assert codes(prove_archived(1, at(3, 40), at(4, 80), SIZE, archive)) == []
        assert codes(prove_archived(1, at(3, 40), at(5, 80), SIZE, archive)) == GAP


class TestTimelinesOfTheArchive:
    """A standby follows the last history that its archive has in a row, whoever left it there."""

    @pytest.mark.parametrize(
        ("histories", "of_upstream", "ahead"),
        [
            pytest.param({}, {}, None, id="none"),
            pytest.param({2: "1\t0/600050\tx\n"}, FORK, None, id="the upstream's own"),
            pytest.param({2: "1\t0/600050\tx\n"}, {}, "left timeline 1 at 0/600050", id="of a promoted copy"),
            pytest.param({3: "1\t0/600050\tx\n2\t0/8\tx\n"}, FORK, "left timeline 2 at 0/8", id="after a failover"),
            pytest.param({3: "1\t0/600050\tx\n"}, {}, None, id="never reached, for one is missing before it"),
            pytest.param({2: ""}, {}, "00000002.history for server pg: somebody", id="empty"),
        ],
    )
    def test_one_that_the_upstream_does_not_have_is_refused(self, look, histories, of_upstream, ahead):
        proof, _asked = look(Archive(histories=histories), names(ALL) + names(ALL, 2), **of_upstream)
        assert codes(proof) == ([("error", "archive_timeline_ahead")] if ahead else [])
        assert ahead is None or ahead in proof.verdicts[-1].msg

    def test_an_archive_that_does_not_say_proves_nothing(self, look):
        class Silent(Archive):
            def history(self, timeline):
                raise StandbyError(Refusal("ssh_refused", "Cannot reach the Barman host.", "start sshd there"))

        proof, _asked = look(Silent(), names(ALL))
        assert codes(proof) == UNPROVEN

    def test_without_an_archive_nothing_leads_away(self, look):
        proof, _asked = look(None, names(ALL))
        assert codes(proof) == []
