# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.consent import _LEVELS, Contents
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.decision import (
    COPYING,
    Decision,
    HostState,
    decide,
)

OURS = {"state": "standby", "same_cluster": True, "ours": True, "relation": "behind"}
THEIRS = {"state": "standby", "same_cluster": True, "relation": "behind"}
FORMER = {"state": "cluster", "same_cluster": True, "relation": "behind"}
OTHER = {"state": "cluster", "same_cluster": False}
# What is not known, each with a code of its own.
UNASKED = Refusal("server_starting", "It is starting.", "wait until it takes connections, then run again")
WHOLE = ("standby", "cluster", "pristine")
UNCERTAIN = Refusal("server_uncertain", "A server may run there.", "look for it")

# What is there, and what is done at never, pristine, same_cluster and always: an action, or the code of a refusal.
# A + says that a running server is stopped before.
TABLE = [
    ("absent", {"state": "absent"}, "clone", "clone", "clone", "clone"),
    ("empty", {"state": "empty"}, "clone", "clone", "clone", "clone"),
    ("an unfinished copy", {"state": "incomplete"}, "resume", "resume", "resume", "resume"),
    ("a half rewound cluster", {"state": "incomplete", "rewinding": True, "same_cluster": True},
        "delta", "delta", "delta", "delta"),
    ("another, half rewound", {"state": "incomplete", "rewinding": True, "same_cluster": False},
        "data_directory_cluster", "data_directory_cluster", "data_directory_cluster", "replace"),
    ("a half rewound cluster, running", {"state": "incomplete", "rewinding": True, "running": True},
        "server_running", "server_running", "server_running", "server_running"),
    ("a healthy standby", {**OURS, "running": True, "healthy": True}, "none", "none", "none", "none"),
    ("a healthy one of others", {**THEIRS, "running": True, "healthy": True}, "none", "none", "none", "none"),
    ("initdb's", {"state": "pristine"}, "data_directory_pristine", "replace", "replace", "replace"),
    (
        "initdb's, running",
        {"state": "pristine", "running": True, "primary": True, "unused": True},
        "data_directory_pristine", "replace+", "replace+", "replace+",
    ),
    (
        "initdb's, in use",
        {"state": "pristine", "running": True, "primary": True},
        "server_running", "server_running", "server_running", "server_running",
    ),
    (
        "not PostgreSQL's",
        {"state": "foreign", "postgresql": False},
        "data_directory_foreign", "data_directory_foreign", "data_directory_foreign", "data_directory_foreign",
    ),
    (
        "a damaged cluster",
        {"state": "foreign"},
        "data_directory_damaged", "data_directory_damaged", "data_directory_damaged", "replace",
    ),
    (
        "a damaged cluster, running",
        {"state": "foreign", "running": True},
        "server_running", "server_running", "server_running", "server_running",
    ),
    ("another cluster", OTHER, "data_directory_cluster", "data_directory_cluster", "data_directory_cluster", "replace"),
    (
        "another cluster's standby",
        {**OTHER, "state": "standby", "ours": True},
        "data_directory_cluster", "data_directory_cluster", "data_directory_cluster", "replace",
    ),
    (
        "another cluster, running",
        {**OTHER, "running": True, "primary": True},
        "server_running", "server_running", "server_running", "server_running",
    ),
    (
        "another cluster's standby, running",
        {**OTHER, "state": "standby", "running": True},
        "server_running", "server_running", "server_running", "server_running",
    ),
    (
        "a primary of this cluster, running",
        {**FORMER, "running": True, "primary": True},
        "primary_running", "primary_running", "primary_running", "primary_running",
    ),
    (
        "a promoted standby, running",
        {**OURS, "state": "cluster", "running": True, "primary": True, "relation": "diverged"},
        "primary_running", "primary_running", "primary_running", "primary_running",
    ),
    ("ours, stopped", OURS, "start", "start", "start", "start"),
    ("ours, running", {**OURS, "running": True}, "settings", "settings", "settings", "settings"),
    (
        "ours, WAL gone, the backup of a cluster that is not known",
        {**OURS, "wal_missing": True, "backup_known": False},
        "wal_missing", "wal_missing", "wal_missing", "replace",
    ),
    ("ours, WAL gone", {**OURS, "wal_missing": True}, "wal_missing", "wal_missing", "delta", "delta"),
    (
        "ours, running, WAL gone",
        {**OURS, "running": True, "wal_missing": True},
        "wal_missing", "wal_missing", "delta+", "delta+",
    ),
    (
        "ours, diverged",
        {**OURS, "relation": "diverged", "no_rewind": None},
        "cluster_diverged", "cluster_diverged", "rewind", "rewind",
    ),
    (
        "ours, diverged, running",
        {**OURS, "relation": "diverged", "running": True},
        "cluster_diverged", "cluster_diverged", "delta+", "delta+",
    ),
    (
        "ours, ahead",
        {**OURS, "relation": "ahead", "no_rewind": None},
        "cluster_diverged", "cluster_diverged", "delta", "delta",
    ),
    (
        "ours, killed",
        {**OURS, "relation": "unknown", "no_rewind": None},
        "cluster_diverged", "cluster_diverged", "delta", "delta",
    ),
    ("somebody's, stopped", THEIRS, "cluster_not_ours", "cluster_not_ours", "start", "start"),
    (
        "somebody's, running",
        {**THEIRS, "running": True},
        "cluster_not_ours", "cluster_not_ours", "settings", "settings",
    ),
    ("a former primary", FORMER, "cluster_not_ours", "cluster_not_ours", "start", "start"),
    ("a former primary, once ours", {**FORMER, "ours": True}, "cluster_not_ours", "cluster_not_ours", "start", "start"),
    (
        "a former primary, diverged",
        {**FORMER, "relation": "diverged", "no_rewind": None},
        "cluster_diverged", "cluster_diverged", "rewind", "rewind",
    ),
    (
        "a former primary, diverged, without hints",
        {**FORMER, "relation": "diverged", "no_rewind": "no wal_log_hints"},
        "cluster_diverged", "cluster_diverged", "delta", "delta",
    ),
    ("a former primary, WAL gone", {**FORMER, "wal_missing": True}, "wal_missing", "wal_missing", "delta", "delta"),
    (
        "a new cluster with the wanted identifier, running, perhaps the upstream itself",
        {**FORMER, "state": "pristine", "running": True, "primary": True, "unused": True},
        "primary_running", "primary_running", "primary_running", "primary_running",
    ),
    (
        "a new cluster with the wanted identifier",
        {**FORMER, "state": "pristine", "relation": "diverged", "no_rewind": "no checksums"},
        "cluster_diverged", "cluster_diverged", "delta", "delta",
    ),
    (
        "the same, the backup of a cluster that is not known",
        {**FORMER, "state": "pristine", "relation": "diverged", "no_rewind": "no checksums", "backup_known": False},
        "cluster_diverged", "cluster_diverged", "cluster_diverged", "replace",
    ),
    (
        "ours, running, not asked",
        {**OURS, "running": True, "relation": "unknown", "unasked": UNASKED},
        "server_starting", "server_starting", "server_starting", "server_starting",
    ),
    (
        "somebody's, running, not asked",
        {**THEIRS, "running": True, "relation": "unknown", "unasked": UNASKED},
        "server_starting", "server_starting", "server_starting", "server_starting",
    ),
    (
        "a primary, running, not asked",
        {**FORMER, "running": True, "primary": True, "relation": "unknown", "unasked": UNASKED},
        "primary_running", "primary_running", "primary_running", "primary_running",
    ),
    (
        "another cluster, running, not asked",
        {**OTHER, "running": True, "unasked": UNASKED},
        "server_running", "server_running", "server_running", "server_running",
    ),
    (
        "initdb's, running, not asked",
        {"state": "pristine", "running": True, "unasked": UNASKED},
        "server_running", "server_running", "server_running", "server_running",
    ),
    (
        "ours, perhaps running",
        {**OURS, "uncertain": UNCERTAIN},
        "server_uncertain", "server_uncertain", "server_uncertain", "server_uncertain",
    ),
    (
        "an unfinished copy, a server perhaps running",
        {"state": "incomplete", "uncertain": UNCERTAIN},
        "server_uncertain", "server_uncertain", "server_uncertain", "server_uncertain",
    ),
    (
        "another cluster, perhaps running",
        {**OTHER, "uncertain": UNCERTAIN},
        "server_uncertain", "server_uncertain", "server_uncertain", "server_uncertain",
    ),
    (
        "ours, the upstream not asked",
        {**OURS, "relation": "unasked"},
        "upstream_unreachable", "upstream_unreachable", "upstream_unreachable", "upstream_unreachable",
    ),
    (
        "ours, running, the upstream not asked",
        {**OURS, "running": True, "relation": "unasked"},
        "upstream_unreachable", "upstream_unreachable", "upstream_unreachable", "upstream_unreachable",
    ),
    (
        "ours, running, of which nothing is known",
        {**OURS, "running": True, "relation": "unknown"},
        "upstream_unreachable", "upstream_unreachable", "upstream_unreachable", "upstream_unreachable",
    ),
    (
        "a crashed primary",
        {**FORMER, "relation": "unknown"},
        "cluster_diverged", "cluster_diverged", "delta", "delta",
    ),
]  # fmt: skip
CASES = [
    pytest.param(given, level, outcome, id=f"{name}-{level}")
    for name, given, *outcomes in TABLE
    for level, outcome in zip(_LEVELS, outcomes, strict=True)
]


def host_state(state, same_cluster=None, postgresql=True, rewinding=False, backup_known=True, **known) -> HostState:
    """A host that holds this; the backup is one of the upstream's cluster."""
    contents = Contents(state, same_cluster and backup_known, postgresql, rewinding)
    return HostState(contents, same_cluster=same_cluster, **known)


# Every combination of what can be seen, also those that a host cannot show: what holds must hold for all.
EVERYTHING = [
    host_state(
        state,
        same_cluster=same,
        rewinding=rewinding,
        backup_known=known,
        running=running,
        primary=primary,
        ours=ours,
        unused=unused,
        relation=relation,
        wal_missing=missing,
        no_rewind=rewind,
        unasked=unasked,
        uncertain=uncertain,
    )
    for state, rewinding in (
        *((state, False) for state in ("absent", "empty", "incomplete", "pristine", "foreign", "standby", "cluster")),
        ("incomplete", True),
    )
    for running, primary, ours, unused, missing, known in itertools.product((False, True), repeat=6)
    for same in (None, False, True)
    for relation in ("behind", "diverged", "ahead", "unknown", "unasked")
    for rewind in (None, "no")
    for unasked, uncertain in ((None, None), (UNASKED, None), (None, UNCERTAIN))
    if not (running and state in ("absent", "empty")) and not (primary and not running)
    if not unused or (state == "pristine" and running and unasked is None)
    if not (unasked and not running) and not (uncertain and running)
]


def said(decision: Decision) -> str:
    stop = "+" if decision.stop else ""
    return str(decision.error_code) if decision.action == "refuse" else decision.action + stop


@pytest.mark.parametrize(("given", "level", "outcome"), CASES)
def test_states_and_wishes(given, level, outcome):
    assert said(decide(host_state(**given), level)) == outcome


@pytest.mark.parametrize("level", _LEVELS)
def test_what_holds_for_everything(level):
    for now in EVERYTHING:
        decision = decide(now, level)
        if decision.action == "refuse":
            assert decision.error_code, now
            assert "Next: " in decision.reason, now
            assert not decision.stop, now
        else:
            assert decision.error_code is None, now
        if now.running and now.primary and not now.unused:
            assert decision.action == "refuse", now
        if decision.action in ("rewind", "delta", "replace") and not now.contents.rewinding:
            assert level != "never", now
        if decision.action == "delta":
            assert now.contents.same_cluster, now
        if now.running and decision.action in (*COPYING, "rewind"):
            assert decision.stop, now


@pytest.mark.parametrize("level", _LEVELS)
def test_not_to_know_is_no_reason_to_destroy(level):
    for now in EVERYTHING:
        decision = decide(now, level)
        if now.uncertain is not None:
            assert decision.refusal == now.uncertain, now
        elif now.running and now.unasked is not None:
            assert decision.action == "refuse", now
            if now.same_cluster and now.contents.state in WHOLE and not now.primary:
                assert decision.refusal == now.unasked, now
        elif now.running and now.relation in ("unknown", "unasked") and now.same_cluster:
            assert decision.action == "refuse", now
        if now.relation == "unasked" and now.same_cluster and now.contents.state in WHOLE:
            assert decision.action == "refuse", now


def test_who_does_not_know_advises_nobody_to_overwrite():
    for now in EVERYTHING:
        not_asked = now.relation == "unasked" or (now.running and (now.unasked or now.relation == "unknown"))
        unknown = now.uncertain or not_asked
        if unknown and (now.same_cluster or now.uncertain) and now.contents.state in ("standby", "cluster"):
            assert "overwrite=" not in decide(now, "never").reason, now


@pytest.mark.parametrize("level", _LEVELS)
def test_a_cluster_with_the_wanted_identifier_is_never_new(level):
    """A running one may be the upstream; a stopped one is not replaced by what is enough for what initdb makes."""
    for now in EVERYTHING:
        if now.contents.state == "pristine" and now.same_cluster:
            decision = decide(now, level)
            assert not (now.running and decision.action in COPYING and now.primary), now
            assert level in ("same_cluster", "always") or decision.action not in COPYING, now


def test_what_a_server_says_of_itself_heals_every_doubt():
    """Healthy is seen from inside of the server, with the upstream or without."""
    for level in _LEVELS:
        now = host_state(**{**OURS, "running": True, "healthy": True, "relation": "unasked"})
        assert decide(now, level).action == "none"


def test_more_consent_never_forbids():
    for now in EVERYTHING:
        outcomes = [decide(now, level).action for level in _LEVELS]
        allowed = [action for action in outcomes if action != "refuse"]
        assert outcomes == ["refuse"] * (len(_LEVELS) - len(allowed)) + allowed, now
        assert len(set(allowed)) <= 1, now


def test_a_refusal_names_the_level_that_would_do():
    for now in EVERYTHING:
        refused = [level for level in _LEVELS if decide(now, level).action == "refuse"]
        if refused and refused[-1] != _LEVELS[-1]:
            enough = _LEVELS[_LEVELS.index(refused[-1]) + 1]
            assert f"overwrite={enough}" in decide(now, "never").reason, now
        elif refused:
            assert "Next: allow" not in decide(now, "never").reason, now


def test_why_there_is_no_rewind():
    diverged = host_state(**{**FORMER, "relation": "diverged", "no_rewind": "neither checksums nor wal_log_hints"})
    assert decide(diverged, "same_cluster").reason.endswith("; no pg_rewind: neither checksums nor wal_log_hints")
    gone = host_state(**{**FORMER, "wal_missing": True})
    assert "pg_rewind" not in decide(gone, "same_cluster").reason
