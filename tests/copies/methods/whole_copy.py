# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a copy as a whole, with the real rsync, on a small backup."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import inspect_target
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.describe import is_ours
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    DATA,
    NOT_COPIED,
    TABLESPACE,
    read_tree,
)

CONTROL = "global/pg_control"
COPIED = {name: text for name, text in DATA.items() if name not in NOT_COPIED}
SIZE = sum(len(text.encode()) for name, text in COPIED.items() if name != CONTROL)
SIZE_FAST = sum(len(text) for text in TABLESPACE.values())
TABLE = "base/1/2619"
PAGE = 8192
FAST_FILE = "PG_15_202209061/5/16390"
SETTINGS = "work_mem = '8MB'\n"


def refused(host, **changed):
    with pytest.raises(StandbyError) as error:
        host.copy(**changed)
    return error.value


def everything_below(top):
    """Names, texts and times."""
    texts = read_tree(top)
    return texts, {name: (top / name).lstat().st_mtime_ns for name in texts}


def flip(path: Path, position: int = 0) -> None:
    """Another byte in a file that keeps its size and its time."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def assert_copied(host):
    """All of the backup is here, nothing else, and it is a standby's."""
    here = read_tree(host.pgdata)
    here.pop("backup_manifest", None)
    assert here.pop("standby.signal")
    assert here.pop("pg_tblspc/16388") == f"-> {host.fast}"
    assert here == {**COPIED, "postgresql.auto.conf": SETTINGS}
    assert read_tree(host.fast) == TABLESPACE
    assert is_ours(inspect_target(host.job().target))


def assert_cannot_be_started(host):
    assert not (host.pgdata / CONTROL).exists()
    assert inspect_target(host.job().target).state == "incomplete"
