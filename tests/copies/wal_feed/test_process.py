# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The feed as a process: started, called again, killed, ended. Processes are real here."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.lock import Lock
from ansible_collections.pgfleet.standby.plugins.module_utils._wal_feed import feed as _feed
from ansible_collections.pgfleet.standby.tests.copies.wal_feed.feeding import FIRST, MIB, content_of, name_of
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import PULLS, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL_TEXT
from ansible_collections.pgfleet.standby.tests.waiting import is_gone, wait_until

ALL = tuple(range(FIRST, FIRST + 24))


def kill(feeding):
    pid = feeding.pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_gone(pid) and Lock.holder(str(feeding.top / "runner")) is None)


def require_whole(feeding):
    for name in feeding.held():
        assert (feeding.ready / name).read_bytes() == content_of(int(name[16:], 16)), name


def test_a_second_call_changes_nothing(feeding):
    feeding.put(FIRST)
    assert feeding.start() == "started"
    pid = feeding.pid()
    assert feeding.start() == "none"
    assert feeding.pid() == pid


def test_check_mode_changes_nothing_and_tells_the_truth(feeding):
    assert (feeding.start(check_mode=True), feeding.state.exists()) == ("started", False)
    feeding.start()
    pid = feeding.pid()
    assert (feeding.start(check_mode=True), feeding.end(check_mode=True), feeding.pid()) == ("none", "ended", pid)


NEXT = {"begin_wal": name_of(FIRST + 1), "begin_lsn": f"0/{(FIRST + 1) * MIB:X}"}


def test_one_that_begins_elsewhere_makes_way_for_what_is_asked_for_now(feeding):
    feeding.put(*ALL)
    feeding.start()
    feeding.wait_for(*ALL)
    pid = feeding.pid()
    assert feeding.start(check_mode=True, backup=NEXT) == "started"
    assert feeding.pid() == pid
    assert feeding.start(backup=NEXT) == "started"
    assert is_gone(pid)
    feeding.wait_for(*ALL[1:])


def test_what_was_begun_for_a_backup_serves_the_server_that_was_copied_from_it(feeding):
    feeding.put(*ALL)
    feeding.start()
    pid = feeding.pid()
    write_tree(feeding.host.pgdata, {"PG_VERSION": "15\n", "global/pg_control": CONTROL_TEXT, "standby.signal": ""})
    assert feeding.start(backup=None) == "none"
    assert feeding.pid() == pid


def test_without_a_backup_the_directory_has_to_tell_where_replay_begins(feeding):
    with pytest.raises(StandbyError) as error:
        feeding.start(backup=None)
    assert error.value.code == "data_directory_not_standby"
    assert not feeding.state.exists()


def require_goes_on(feeding):
    """It still looks for what comes when it has brought all that there was."""
    feeding.put(FIRST)
    feeding.start()
    feeding.wait_for(FIRST)
    feeding.put(FIRST + 1)
    feeding.wait_for(FIRST, FIRST + 1)


class TestUnused:
    """What was begun for a standby that does not come to be ends by itself, long after the play."""

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch):
        monkeypatch.setattr(_feed, "_UNUSED_SECONDS", 0.0)

    def test_it_ends_when_neither_a_copy_nor_a_server_is_there(self, feeding):
        feeding.start()
        feeding.wait_for_end()
        assert feeding.told()["ended"] == "unused"

    def test_a_copy_that_runs_needs_it(self, feeding):
        feeding.state.mkdir()
        holds = ["flock", str(feeding.state / "runner"), "sh", "-c", "echo holds; read -r end"]
        copy = subprocess.Popen(holds, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert copy.stdout.readline() == b"holds\n"
        require_goes_on(feeding)
        copy.communicate()
        feeding.wait_for_end()

    def test_a_server_that_runs_needs_it(self, feeding):
        write_tree(feeding.host.pgdata, {"PG_VERSION": "15\n", "global/pg_control": CONTROL_TEXT, "standby.signal": ""})
        server = feeding.host.start("postgres", feeding.host.pgdata)
        require_goes_on(feeding)
        server.communicate()
        feeding.wait_for_end()


@pytest.mark.parametrize("there", range(1, 24, 4))
def test_killed_at_any_number_of_segments_it_goes_on(feeding, there):
    feeding.put(*ALL)
    feeding.start()
    wait_until(lambda: len(feeding.held()) >= there)
    kill(feeding)
    require_whole(feeding)
    assert feeding.start() == "started"
    feeding.wait_for(*ALL)
    require_whole(feeding)


# The feed is the parent of rsync, which is the parent of its ssh (proc(5), stat, 4).
KILLS_THE_FEED = "kill -9 $(cut -d ' ' -f 4 /proc/$PPID/stat)"


@pytest.mark.parametrize("pull", [1, 2, 3])
def test_killed_in_a_pull_it_goes_on(feeding, pull):
    feeding.put(*ALL)
    count = feeding.host.root / "count"
    feeding.host.hook(f"""case $command in {PULLS}
        echo >>'{count}'
        [ "$(wc -l <'{count}')" -ne {pull} ] || {{ {KILLS_THE_FEED}; }} ;;
    esac""")
    feeding.start(bytes=6 * MIB)
    if pull > 2:  # the first pulls are the histories' and that of what there is room for
        feeding.wait_for(*ALL[:5])
        for number in ALL[:5]:
            feeding.ask(number)
    wait_until(lambda: count.exists() and len(count.read_text(encoding="utf-8")) >= pull)
    wait_until(lambda: feeding.pid() is None)
    require_whole(feeding)
    feeding.host.healthy()
    assert feeding.start() == "started"
    for number in ALL[5 if pull > 2 else 0 :]:
        feeding.wait_for_one(number)
        assert feeding.ask(number)


class TestEnd:
    def test_nothing_of_it_is_left(self, feeding):
        feeding.put(*ALL)
        feeding.start()
        pid = feeding.pid()
        feeding.wait_for(*ALL)
        assert feeding.end() == "ended"
        assert (is_gone(pid), feeding.state.exists()) == (True, False)
        assert feeding.end() == "none"

    def test_the_record_of_the_copy_stays(self, feeding):
        feeding.state.mkdir()
        (feeding.state / "state.json").write_text("{}", encoding="utf-8")
        feeding.start()
        feeding.end()
        assert [path.name for path in feeding.state.iterdir()] == ["state.json"]

    def test_it_is_ended_in_the_middle_of_a_pull(self, feeding):
        arrived = feeding.host.root / "arrived"
        feeding.put(*ALL)
        feeding.host.hook(f"case $command in {PULLS} : >'{arrived}'; while :; do sleep 0.01; done ;; esac")
        feeding.start()
        wait_until(arrived.exists)
        pid = feeding.pid()
        assert feeding.end() == "ended"
        assert is_gone(pid)

    def test_what_a_killed_one_has_left_goes(self, feeding):
        feeding.put(*ALL)
        feeding.start()
        wait_until(feeding.held)
        kill(feeding)
        assert feeding.end() == "ended"
        assert not feeding.state.exists()

    def test_a_link_in_its_place_is_not_followed(self, feeding, tmp_path):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "kept").touch()
        feeding.state.mkdir()
        feeding.top.symlink_to(tmp_path / "other")
        for act in (feeding.end, feeding.start):
            with pytest.raises(StandbyError) as error:
                act()
            assert error.value.code == "link_untrusted"
        assert [path.name for path in (tmp_path / "other").iterdir()] == ["kept"]
        feeding.top.unlink()
