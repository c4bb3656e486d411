# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the look at a healthy standby makes of its parts; on real servers in tests/servers/test_settings.py."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.noted_slots import NotedSlot, note
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.reboot import AfterReboot
from ansible_collections.pgfleet.standby.plugins.modules import standby_drift_info as module

UNCHANGED = {
    "changed": False,
    "changed_settings": [],
    "outdated_settings": [],
    "moved_aside": [],
    "passfile": None,
    "files": [],
    "warnings_to_show": ["of the settings"],
}
READY = {"ready": True, "pgdata": {"ours": True}, "warnings_to_show": ["of the proof"]}
BEHIND = {**READY, "ready": False, "error_code": "standby_catching_up", "msg": "It is behind. Next: wait."}
REFUSED = StandbyError(Refusal("configuration_invalid", "A line is wrong.", "mend it"))


@pytest.fixture
def look(monkeypatch, tmp_path):
    """The module's work, with what its parts find."""

    def of(standby=None, settings=None, boot=True, service="u", enabled=True):
        def reconciled(_request, only_look):
            assert only_look
            if isinstance(settings, StandbyError):
                raise settings
            return dict(settings or UNCHANGED)

        monkeypatch.setattr(module, "prove", lambda params: dict(standby or READY, asked=params["wait"]))
        monkeypatch.setattr(module, "request_of", lambda params: params)
        monkeypatch.setattr(module, "reconcile", reconciled)
        monkeypatch.setattr(module, "is_as_wanted", lambda _service, wanted: None if boot is None else boot == wanted)
        monkeypatch.setattr(module, "reboot_of", lambda service: AfterReboot(boot, f"of {service}"))
        asked = {"primary_slot_name": "n1", "upstream_conninfo": {"host": "primary"}}
        asked.update(service=service, enabled=enabled)
        return module.work({**asked, "data_directory": f"{tmp_path}/main", "state_directory": None}, check_mode=False)

    return of


def test_a_standby_that_is_as_it_is_wanted(look):
    found = look()
    assert (found["settled"], found["drift"], found["changed"]) == (True, [], False)
    assert found["warnings_to_show"] == ["of the proof", "of the settings"]
    assert found["standby"]["asked"] == "replay"
    assert found["after_reboot"] == {"starts": True, "why": "of u", "step": ""}
    assert "warnings_to_show" not in found["standby"]


@pytest.mark.parametrize(
    ("changed", "drift"),
    [
        ({"settings": {**UNCHANGED, "changed": True, "changed_settings": ["b", "a"]}}, "settings would change in a, b"),
        ({"settings": {**UNCHANGED, "changed": True, "outdated_settings": ["a"]}}, "settings would change in a"),
        ({"settings": {**UNCHANGED, "changed": True, "passfile": "/p"}}, "settings would change in /p"),
        ({"settings": {**UNCHANGED, "changed": True, "files": ["standby.signal"]}}, "in standby.signal"),
        ({"settings": {**UNCHANGED, "changed": True}}, "in what the server has loaded"),
        ({"settings": REFUSED}, "A line is wrong"),
        ({"boot": False}, "The unit u would be enabled"),
        ({"boot": True, "enabled": False}, "The unit u would be disabled"),
        ({"boot": None}, "It is not known whether the unit u starts at boot"),
    ],
)
def test_what_differs_is_told_and_warned_of_by_who_mends_it(look, changed, drift):
    found = look(**changed)
    assert not found["settled"]
    assert len(found["drift"]) == 1
    assert drift in found["drift"][0]
    assert found["warnings_to_show"] == ["of the proof"]


def test_slots_that_it_does_not_use_any_more_are_told(look, tmp_path):
    for name, host in (("n1", "primary"), ("n1", "old-primary"), ("other", "primary")):
        note(str(tmp_path / ".main.standby"), NotedSlot(name, host, 5432), only_look=False)
    found = look()
    told = [(slot["name"], slot["login_host"]) for slot in found["former_slots"]]
    assert (found["settled"], told) == (True, [("n1", "old-primary"), ("other", "primary")])


def test_a_record_of_slots_that_cannot_be_read_is_a_warning(look, tmp_path):
    (tmp_path / ".main.standby").mkdir()
    (tmp_path / ".main.standby" / "slots.json").write_text("{", encoding="utf-8")
    found = look()
    assert (found["settled"], found["former_slots"]) == (True, [])
    assert "slots.json" in found["warnings_to_show"][-1]


def test_what_a_wal_feed_has_left_is_told(look, tmp_path):
    left = tmp_path / ".main.standby" / "wal_feed"
    assert look()["wal_feed"] is None
    left.mkdir(parents=True)
    found = look()
    assert (found["settled"], found["wal_feed"]) == (False, str(left))
    assert found["drift"] == [f"What a WAL feed has left in {left} would be removed."]
    assert look(standby=BEHIND)["wal_feed"] is None


@pytest.mark.parametrize("changed", [{"service": None}, {"enabled": None}, {"service": ""}])
def test_what_nobody_wants_at_boot_is_not_asked(look, changed):
    found = look(boot=False, **changed)
    assert found["settled"]
    assert (found["after_reboot"] is None) == (not changed.get("service", "u"))


def test_one_that_is_not_ready_is_told_and_no_more_is_asked(look):
    found = look(standby=BEHIND, settings=REFUSED)
    assert (found["settled"], found["drift"], found["error_code"]) == (False, [], "standby_catching_up")
    assert (found["msg"], found["after_reboot"]) == (BEHIND["msg"], None)


def test_one_of_somebody_else_is_left_as_it_is(look):
    found = look(standby={**READY, "pgdata": {"ours": False}}, settings=REFUSED)
    assert (found["settled"], found["drift"]) == (True, [])
