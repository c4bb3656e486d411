# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Barman has changed is put right."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.restored_files import undo_restore_changes
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree

FILES = {"postgresql.conf": "port = 5432\n", "postgresql.auto.conf": "jit = on\n", "backup_manifest": "{}"}
CHANGED = {
    "postgresql.conf": "#BARMAN#archive_command\n",
    "postgresql.conf.origin": FILES["postgresql.conf"],
    "postgresql.auto.conf": "restore_command = 'x'\n",
    "postgresql.auto.conf.origin": FILES["postgresql.auto.conf"],
    "backup_manifest.20261121T1": FILES["backup_manifest"],
}


@pytest.mark.parametrize("restored", [CHANGED, FILES], ids=["changed", "as it was"])
def test_files_have_their_contents_and_names_back(tmp_path, restored):
    write_tree(tmp_path, restored)
    undo_restore_changes(str(tmp_path), "20261121T1")
    assert read_tree(tmp_path) == FILES
