# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.names import BACKUP_API, CLONE, OTHERS, RENAMED


def test_every_name_is_in_one_table():
    tables = (CLONE, BACKUP_API, OTHERS, frozenset(RENAMED))
    assert len(frozenset().union(*tables)) == sum(map(len, tables))
