# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be provoked on a Barman host: runs that are killed half way, two at a time, a host without Python."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.cli import Barman
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host import claim_records as _claim_records
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host import keep_backup as _keep_backup
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.keep import ClaimRequest, pin
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell, SshShell
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError

# Its keep is the file that Barman has for it (barman/annotations.py, 3.13.2), which every `barman keep` writes anew,
# even with the same target. `refuse` and `worm` are what it is told to be.
KEEPS = """\
#!/bin/sh
cd '{root}' || exit 1
for backup; do keep='{base}'/$backup/annotations/keep; done
target=$(cat "$keep" 2>/dev/null || echo nokeep)
case "$*" in
-v) cat version 2>/dev/null || echo 2.14 Barman by EnterpriseDB ;;
*"keep --status"*) printf '{{"pg": {{"keep_status": {{"message": "%s"}}}}}}' "$target" ;;
*"keep --target"*) [ ! -e refuse ] || {{ echo '{{"_ERROR": ["Cannot add keep"]}}'; exit 1; }}
    mkdir -p "${{keep%/*}}"; echo full >"$keep"; echo '{{}}' ;;
*"keep --release"*) rm "$keep"; echo '{{}}' ;;
*"show-server "*) printf '{{"pg": {{"worm_mode": %s}}}}' "$(test -e worm && echo true || echo false)" ;;
*) exit 99 ;;
esac
"""
CLAIM, RELEASE = ClaimRequest("n1:/data", 3600), ClaimRequest("n1:/data", None)


@pytest.fixture
def barman(host, monkeypatch):
    host.program("barman", KEEPS.format(root=host.root, base=host.backup_directory.parent))
    monkeypatch.setattr(_claim_records, "_place", lambda: str(host.root / "home" / "claims"))
    monkeypatch.setattr(_keep_backup, "_LOCK_SECONDS", 0)
    (host.root / "home").mkdir()
    return Barman(LocalShell(), "pg")


def annotation(host):
    return host.backup_directory / "annotations" / "keep"


def kept(host):
    path = annotation(host)
    return path.read_text(encoding="utf-8").strip() if path.exists() else None


def a_person_keeps(host, target):
    path = annotation(host)
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.parent.mkdir(exist_ok=True)
    path.write_text(target, encoding="utf-8")
    # At another moment, however coarse the clock of the file system is.
    os.utime(path, ns=(before + 10**9, before + 10**9))


def record(host):
    [path] = (host.root / "home" / "claims").glob("*.json")
    return path


def test_a_run_that_was_killed_between_its_record_and_its_keep(host, barman):
    pin(barman, host.backup(), CLAIM)
    annotation(host).unlink()
    again = pin(barman, host.backup(), CLAIM)
    assert (again.pinned, again.changed, kept(host)) == (True, True, "full")


def test_a_run_that_was_killed_between_its_release_and_the_end_of_its_record(host, barman):
    pin(barman, host.backup(), CLAIM)
    annotation(host).unlink()
    assert pin(barman, host.backup(), RELEASE).pinned is False
    assert list((host.root / "home" / "claims").iterdir()) == []


@pytest.mark.parametrize("target", ["full", "standalone"])
class TestAKeepOfAPerson:
    def test_before_ours(self, host, barman, target):
        a_person_keeps(host, target)
        found = pin(barman, host.backup(), CLAIM)
        assert (found.pinned, found.foreign, found.target, found.taken_over) == (True, True, target, [])
        left = pin(barman, host.backup(), RELEASE)
        assert (left.foreign, left.taken_over, kept(host)) == (True, [], target)

    def test_after_ours(self, host, barman, target):
        claimed = pin(barman, host.backup(), CLAIM)
        assert (claimed.foreign, claimed.taken_over) == (False, [])
        a_person_keeps(host, target)
        looked = pin(barman, host.backup(), replace(RELEASE, only_look=True))
        left = pin(barman, host.backup(), RELEASE)
        for found in (looked, left):
            assert (found.foreign, found.target, found.taken_over) == (True, target, [found.root])
        assert (kept(host), list((host.root / "home" / "claims").iterdir())) == (target, [])

    def test_while_two_hosts_copy_it_is_told_once(self, host, barman, target):
        pin(barman, host.backup(), CLAIM)
        a_person_keeps(host, target)
        other = replace(CLAIM, owner="n2:/data")
        told = [pin(barman, host.backup(), asked).taken_over for asked in (other, CLAIM, RELEASE)]
        assert told == [[host.backup().backup_id], [], []]
        pin(barman, host.backup(), replace(RELEASE, owner="n2:/data"))
        assert kept(host) == target

    def test_after_ours_was_released_by_hand(self, host, barman, target):
        pin(barman, host.backup(), CLAIM)
        annotation(host).unlink()
        a_person_keeps(host, target)
        pin(barman, host.backup(), RELEASE)
        assert kept(host) == target

    def test_after_ours_whose_claim_has_expired_and_another_backup_is_claimed(self, host, barman, target):
        pin(barman, host.backup(), replace(CLAIM, seconds=-1))
        a_person_keeps(host, target)
        other = "20261101T000000"
        found = pin(barman, host.backup(backup_id=other), CLAIM)
        assert (found.root, found.taken_over, kept(host)) == (other, [host.backup().backup_id], target)


def test_a_keep_of_ours_that_nobody_touched_is_released(host, barman):
    pin(barman, host.backup(), CLAIM)
    pin(barman, host.backup(), replace(CLAIM, owner="n2:/data"))
    assert pin(barman, host.backup(), RELEASE).pinned is True
    last = pin(barman, host.backup(), replace(RELEASE, owner="n2:/data"))
    assert (last.pinned, last.taken_over, kept(host)) == (False, [], None)


def test_a_run_that_was_killed_between_its_keep_and_the_note_of_it_leaves_what_may_be_a_persons(host, barman):
    pin(barman, host.backup(), CLAIM)
    path = record(host)
    noted = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**noted, "mark": None}), encoding="utf-8")
    left = pin(barman, host.backup(), RELEASE)
    assert (left.taken_over, kept(host)) == ([left.root], "full")


def test_a_barman_whose_keep_is_nowhere_to_be_seen_goes_by_its_target(host, barman):
    host.program("barman", KEEPS.format(root=host.root, base=host.root / "elsewhere"))
    pin(barman, host.backup(), CLAIM)
    assert pin(barman, host.backup(), RELEASE).pinned is False


@pytest.mark.parametrize("mark", ["refuse", "worm"])
def test_where_barman_does_not_keep_there_is_no_record_and_a_reason(host, barman, mark):
    (host.root / mark).touch()
    found = pin(barman, host.backup(), CLAIM)
    assert (found.pinned, found.changed, kept(host)) == (False, False, None)
    assert {"refuse": "Cannot add keep", "worm": "worm mode"}[mark] in found.why
    assert list((host.root / "home" / "claims").iterdir()) == []


def test_a_barman_without_keep(host, barman):
    (host.root / "version").write_text("2.12 Barman by 2ndQuadrant\n", encoding="utf-8")
    found = pin(barman, host.backup(), CLAIM)
    assert (found.pinned, found.why) == (False, "Barman on this host has no `keep`, which came with version 2.14.")
    assert pin(barman, host.backup(), RELEASE).changed is False


def test_a_backup_that_is_not_done_is_not_asked_for(host, barman):
    assert "WAITING" in pin(barman, host.backup(status="WAITING_FOR_WALS"), CLAIM).why


def test_of_an_incremental_backup_its_root_is_kept(host, barman):
    root = "20261101T000000"
    assert pin(barman, replace(host.backup(), type="incremental", root_backup_id=root), CLAIM).root == root
    assert json.loads(record(host).read_text(encoding="utf-8"))["directory"].endswith(f"/{root}")


def test_two_at_a_time(host, barman):
    pin(barman, host.backup(), CLAIM)
    with _claim_records.Record(str(record(host))).locked(0):
        with pytest.raises(StandbyError) as refused:
            pin(barman, host.backup(), replace(CLAIM, owner="n2:/data"))
        assert refused.value.code == "claims_busy"


def test_a_lock_that_went_with_its_record_is_nobodys(tmp_path):
    first, second = (_claim_records.Record(str(tmp_path / "a" / "b" / "x.json")) for _again in range(2))
    with first.locked(0):
        pass
    with second.locked(0) as lock:
        assert os.path.samestat(os.fstat(lock), os.stat(tmp_path / "a" / "b" / "x.json.lock"))


def test_a_damaged_record_is_told(host, barman):
    pin(barman, host.backup(), CLAIM)
    record(host).write_text("{", encoding="utf-8")
    with pytest.raises(StandbyError) as refused:
        pin(barman, host.backup(), CLAIM)
    assert refused.value.code == "claims_invalid"


class TestOverSsh:
    @pytest.fixture
    def far(self, barman):
        return Barman(SshShell("barman@backup"), "pg")

    def test_the_same_is_done_there(self, host, far):
        looked = pin(far, host.backup(), replace(CLAIM, only_look=True))
        assert (looked.pinned, looked.changed, looked.why, kept(host)) == (True, True, None, None)

    def test_what_fails_there_is_told_as_if_it_were_here(self, host, far):
        host.program("barman", "#!/bin/sh\n[ $1 != -v ] || echo 3.19.1\necho '{}'\n")
        with pytest.raises(StandbyError) as failed:
            pin(far, host.backup(), CLAIM)
        assert failed.value.code == "barman_server_inactive"

    @pytest.mark.parametrize("text", ["exit 127", "echo 'SyntaxError: invalid syntax' >&2; exit 1"])
    def test_no_python_there(self, host, far, text):
        host.program("python3", f"#!/bin/sh\n{text}\n")
        assert "Python 3.8 or later could not be run on barman@backup" in pin(far, host.backup(), CLAIM).why
        with pytest.raises(StandbyError):
            pin(far, host.backup(), RELEASE)
