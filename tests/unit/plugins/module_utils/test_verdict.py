from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import (
    Verdict,
    all_in_one,
    errors,
    problem,
    refusals,
    shown,
    warning,
)

NO_ROOM = Refusal("space_missing", "There is no room.", "make room")
NO_KEY = Refusal("ssh_auth", "It refused our key.", "authorise the key")


def test_a_problem_says_what_was_found_and_what_helps():
    assert shown(problem("space", NO_ROOM)) == {
        "check": "space",
        "severity": "error",
        "msg": "There is no room. Next: make room.",
        "error_code": "space_missing",
    }


def test_only_problems_stop_a_clone():
    verdicts = [Verdict("paths", "ok", "all is well"), warning("clock", NO_KEY), problem("space", NO_ROOM)]
    assert errors(verdicts) == [problem("space", NO_ROOM)]
    assert refusals(verdicts) == [NO_ROOM]


def test_one_problem_keeps_its_code():
    assert all_in_one("preflight_failed", "n1 cannot.", [NO_ROOM]) == Refusal(
        "space_missing", "n1 cannot. There is no room.", "make room"
    )


def test_many_problems_are_numbered_under_the_code_of_all():
    refusal = all_in_one("preflight_failed", "n1 cannot.", [NO_ROOM, NO_KEY])
    assert refusal.code == "preflight_failed"
    assert refusal.msg == (
        "n1 cannot. 2 problems: (1) There is no room. Next: make room. (2) It refused our key. Next: authorise the key."
        " Next: take these steps, then run again."
    )
