# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.consent import (
    _LEVELS,
    Contents,
    admit,
    admit_as_it_is,
    admit_rewind,
    contents_of,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    RECORD,
    REWINDING,
    SYSTEM_IDENTIFIER,
    backup,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import data_directory as found

# What is there, the lowest level that is sufficient, what a copy does then, and the code of a refusal.
TABLE = (
    pytest.param(found("absent"), "never", "clone", "", id="absent"),
    pytest.param(found("empty"), "never", "clone", "", id="empty"),
    pytest.param(found("incomplete", record={"backup_id": "x"}), "never", "resume", "", id="an unfinished copy"),
    pytest.param(found("standby", record=RECORD), "never", "none", "", id="this copy"),
    pytest.param(
        found("standby", record={**RECORD, "backup_id": "x"}),
        "same_cluster", "delta", "data_directory_cluster", id="an older copy",
    ),
    pytest.param(
        found("standby", record={**RECORD, "server": "x"}),
        "same_cluster", "delta", "data_directory_cluster", id="a copy of another server's backup of that name",
    ),
    pytest.param(found("foreign", entries=("notes.txt",)), None, "replace", "data_directory_foreign", id="files"),
    pytest.param(found("pristine", "1"), "pristine", "replace", "data_directory_pristine", id="initdb's"),
    pytest.param(
        found("pristine"), "same_cluster", "delta", "data_directory_cluster",
        id="initdb's with the identifier of the backup",
    ),
    pytest.param(found("cluster"), "same_cluster", "delta", "data_directory_cluster", id="the same cluster"),
    pytest.param(found("standby"), "same_cluster", "delta", "data_directory_cluster", id="a standby of it"),
    pytest.param(found("cluster", "1"), "always", "replace", "data_directory_cluster", id="another cluster"),
    pytest.param(found("standby", "1"), "always", "replace", "data_directory_cluster", id="a standby of another"),
    pytest.param(
        found("standby", "1", RECORD), "always", "replace", "data_directory_cluster", id="another by our record"
    ),
    pytest.param(found("foreign", version="15"), "always", "replace", "data_directory_damaged", id="damaged"),
    pytest.param(found("incomplete", record=REWINDING), "never", "delta", "", id="half rewound"),
    pytest.param(
        found("incomplete", record={**REWINDING, "system_identifier": "1"}, version="15"),
        "always", "replace", "data_directory_cluster", id="another, half rewound",
    ),
)  # fmt: skip


def contents(directory, of=None):
    of = of or backup()
    return contents_of(directory, of.system_identifier, of)


@pytest.mark.parametrize("overwrite", _LEVELS)
@pytest.mark.parametrize(("directory", "level", "action", "code"), TABLE)
def test_what_a_level_allows(directory, level, action, code, overwrite):
    admission = admit(contents(directory), overwrite)
    assert (admission.action, admission.level) == (action, level)
    if level is not None and _LEVELS.index(overwrite) >= _LEVELS.index(level):
        assert admission.refusal is None
        return
    assert admission.refusal.code == code
    assert [word for word in _LEVELS if f"overwrite={word}" in admission.refusal.msg] == ([level] if level else [])
    assert ("no overwrite allows" in admission.refusal.msg) is (level is None)


@pytest.mark.parametrize(
    ("overwrite", "refused"), [("never", True), ("pristine", True), ("same_cluster", False), ("always", False)]
)
def test_this_copy_once_more_takes_the_consent_of_any_delta(overwrite, refused):
    admission = admit(contents(found("standby", record=RECORD)), overwrite, again=True)
    assert (admission.action, admission.refusal is not None) == ("delta", refused)


@pytest.mark.parametrize(
    "directory", [found("cluster"), found("incomplete", record={**REWINDING, "system_identifier": None})]
)
def test_nothing_is_the_same_cluster_when_the_backups_is_not_known(directory):
    admission = admit(contents(directory, backup(system_identifier=None)), "same_cluster")
    assert (admission.level, admission.refusal.code) == ("always", "data_directory_cluster")


@pytest.mark.parametrize(
    ("admission", "levels"),
    [
        (lambda level: admit_as_it_is(level, ours=True), _LEVELS),
        (lambda level: admit_as_it_is(level, ours=False), ("same_cluster", "always")),
        (admit_rewind, ("same_cluster", "always")),
    ],
    ids=["our standby goes on", "another's goes on", "it is rewound"],
)
def test_a_cluster_of_the_upstreams_that_is_not_copied_over(admission, levels):
    assert tuple(level for level in _LEVELS if admission(level).refusal is None) == levels


EVERYTHING = [
    (Contents(state, same, postgresql, rewinding, finished), again)
    for state in ("absent", "empty", "incomplete", "pristine", "foreign", "standby", "cluster")
    for same, postgresql in itertools.product((None, False, True), (False, True))
    for rewinding, finished, again in itertools.product((False, True), repeat=3)
]


def test_what_holds_for_everything():
    for given, again in EVERYTHING:
        admissions = [admit(given, level, again) for level in _LEVELS]
        assert len({(it.action, it.level, it.reason) for it in admissions}) == 1, given
        allowed = [level for level, it in zip(_LEVELS, admissions, strict=True) if it.refusal is None]
        level = admissions[0].level
        assert allowed == ([] if level is None else list(_LEVELS[_LEVELS.index(level) :])), given
        assert {it.refusal.msg for it in admissions if it.refusal} <= {
            admissions[0].refusal and admissions[0].refusal.msg
        }
        if admissions[0].action == "delta" and not given.rewinding:
            assert given.same_cluster, given
        if admissions[0].action == "replace":
            assert level != "never", given


@pytest.mark.parametrize(
    ("directory", "same"),
    [(found("cluster"), True), (found("cluster", "1"), False), (found("foreign"), None), (found("absent"), None)],
)
def test_a_cluster_is_known_by_its_system_identifier(directory, same):
    assert contents_of(directory, SYSTEM_IDENTIFIER).same_cluster is same
