# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one table of what differs between Barman's versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.versions import Feature, dotted, has, require
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError

UTILS = Path(__file__).parents[5] / "plugins" / "module_utils"
DOCUMENT = (Path(__file__).parents[5] / "docs" / "versions.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("version", "feature", "can"),
    [
        ((2, 12), Feature.SUPPORTED, True),
        ((2, 12), Feature.KEEP, False),
        ((2, 14), Feature.KEEP, True),
        ((3, 11, 1), Feature.RESTORE, False),
        ((3, 12, 0), Feature.RESTORE, True),
        ((3, 15, 9), Feature.COMPRESSION_IN_JSON, False),
        ((10, 0), Feature.COMPRESSION_IN_JSON, True),
    ],
)
def test_what_a_version_can_do(version, feature, can):
    assert has(version, feature) == can


def test_what_it_cannot_do_is_refused_with_the_version_that_can():
    require((2, 14), Feature.KEEP, "backup")
    with pytest.raises(StandbyError, match=r"on backup is version 2\.12; barman keep needs 2\.14 or later") as refused:
        require((2, 12), Feature.KEEP, "backup")
    assert refused.value.code == "barman_too_old"


def test_the_table_is_the_documented_one():
    documented = re.findall(r"^\| (\d+\.\d+) \| ([^|]+) \|$", DOCUMENT, re.MULTILINE)
    assert documented == [(dotted(feature.since), feature.what) for feature in Feature]


@pytest.mark.parametrize("feature", Feature, ids=lambda feature: feature.name)
def test_every_row_is_asked_somewhere(feature):
    others = [path for path in UTILS.rglob("*.py") if path.name != "versions.py"]
    assert any(f"Feature.{feature.name}" in path.read_text(encoding="utf-8") for path in others)
