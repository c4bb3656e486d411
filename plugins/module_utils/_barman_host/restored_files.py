# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Barman changes in the files that it restores, undone. Private to the collection."""

from __future__ import annotations

import contextlib
import os

from ansible_collections.pgfleet.standby.plugins.module_utils._model import MANIFEST

__all__ = ["ORIGINS", "undo_restore_changes"]

# What was there before Barman changed it: archive_command is `false` in what has taken the place (Barman manual,
# restore).
ORIGINS = {f"{name}.origin": name for name in ("postgresql.conf", "postgresql.auto.conf")}


def undo_restore_changes(top: str, backup_id: str) -> None:
    """Give back their contents and names to the files in a data directory that Barman changes and renames."""
    for changed, name in {**ORIGINS, f"{MANIFEST}.{backup_id}": MANIFEST}.items():
        with contextlib.suppress(FileNotFoundError):
            os.replace(os.path.join(top, changed), os.path.join(top, name))
