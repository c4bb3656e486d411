# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/from_repmgr.md names every setting of the clone path, inputs that exist, and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.names import BACKUP_API, CLONE, RENAMED

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "from_repmgr.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in GUIDE.splitlines() if line.startswith("| `")]

# What `repmgr standby clone` takes, in the words of its own help and manual.
OPTIONS = {
    *("-D", "--pgdata", "--dry-run", "-F", "--force", "-h", "-p", "-U", "-d", "--upstream-conninfo"),
    *("--upstream-node-id", "--no-upstream-connection", "--replication-user", "--recovery-min-apply-delay"),
    *("--replication-conf-only", "--recovery-conf-only", "--copy-external-config-files", "--verify-backup"),
    *("--without-barman", "-c", "--fast-checkpoint", "-R", "--remote-user", "-S", "--superuser", "-f"),
    *("--config-file", "-b", "--pg_bindir", "-L", "--log-to-file", "-q", "-t", "-v"),
}


def test_every_row_has_its_four_cells():
    assert len(ROWS) > 30
    assert [row for row in ROWS if len(row) != 4] == []


def test_every_option_and_setting_has_its_row():
    named = [word for row in ROWS for word in re.findall(r"`([^`]+)`", row[0])]
    assert sorted(named) == sorted(OPTIONS | CLONE | BACKUP_API | RENAMED.keys())


# They have no counterpart here, and so no test.
def test_every_row_names_a_test():
    assert {row[0] for row in ROWS if not re.fullmatch(r"`tests/[^`]+::[^`]+`", row[3])} == set()


@pytest.mark.parametrize("test", sorted({row[3].strip("`") for row in ROWS if row[3]}))
def test_a_test_that_is_named_exists(test):
    path, _colons, name = test.partition("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    kind = r"- name: {}$" if path.endswith(".yml") else r"\s*def {}\("
    assert re.search("^" + kind.format(re.escape(name)), text, re.MULTILINE)


def test_every_input_that_is_named_exists():
    specs = yaml.safe_load((ROOT / "roles/standby_from_barman/meta/argument_specs.yml").read_text(encoding="utf-8"))
    assert set(re.findall(r"standby_from_barman_\w+", GUIDE)) <= specs["argument_specs"]["main"]["options"].keys()
