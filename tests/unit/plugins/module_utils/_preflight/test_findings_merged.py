# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.findings import Findings, ask, merged
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem

ONE, TWO = Verdict("one", "ok", "it is well"), Verdict("two", "ok", "it is well")
GONE = Refusal("backup_missing", "It is gone.", "choose another")


def test_an_answer_brings_no_verdict():
    assert ask("backup", lambda: 7) == (7, Findings())


def test_a_question_that_is_refused_is_an_error_of_its_check():
    def refuse():
        raise StandbyError(GONE)

    assert ask("backup", refuse) == (None, Findings((problem("backup", GONE),)))


def test_findings_keep_their_order_and_the_later_plan_wins():
    found = merged(Findings([ONE], {"bytes": 1, "files": 2}), Findings(), Findings([TWO], {"bytes": 3}))
    assert (found.verdicts, found.plan) == ((ONE, TWO), {"bytes": 3, "files": 2})
