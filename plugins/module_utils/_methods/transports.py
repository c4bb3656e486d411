# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the files of a backup come here: by rsync where they are files, unpacked on the way where they are in tars.

Private to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Union

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.listing import Root, digest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import Job
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.connection import Connection
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.capabilities import Far
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.rsync_pull import Transfer, Wire
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.tar_pull import Throttle, Unpacking

__all__ = ["Transport", "forget_controls", "transport_of"]

Transport = Union[Transfer, Unpacking]

# pg_control that has come out of a tar and waits for its time. The rest of the name tells of which copy it is.
_HELD = "pg_control."


def transport_of(
    job: Job, roots: Sequence[Root], far: Far, connections: Sequence[Connection], lock_fd: int, progress: Progress
) -> Transport:
    """What brings these trees."""
    if roots[0].archive is None:
        wire = Wire(far.compressions[0], job.bwlimit, job.io_timeout, far.rsync, far.compressions)
        return Transfer(connections, lock_fd, progress, wire=wire)
    return Unpacking(
        connections,
        lock_fd,
        progress,
        base=roots[0],
        control=os.path.join(job.state_directory, _HELD + digest(roots)),
        gently=far.gently,
        io_timeout=job.io_timeout,
        throttle=Throttle(job.bwlimit * 1024 if job.bwlimit else None),
    )


def forget_controls(state_directory: str, but: str = "") -> None:
    """Remove what copies have kept of pg_control, except that of the copy with this digest."""
    for name in os.listdir(state_directory):
        if name.startswith(_HELD) and name != _HELD + but:
            os.unlink(os.path.join(state_directory, name))
