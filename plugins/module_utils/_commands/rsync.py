# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of rsync. Private to the collection."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.quoting import rsync_rsh

__all__ = ["pull_argv", "write_names"]


def pull_argv(ssh: Sequence[str], source: str, target: str, extra: Sequence[str] = ()) -> list[str]:
    """A pull of NUL-separated names (``--files-from``), relative to ``source``, which is rsync's ``host:directory/``.

    ``ssh`` is the ssh command up to its destination. Directories exist already and keep their times; ``-s`` keeps
    names away from the remote shell.
    """
    return [
        "rsync",
        "--times",
        "--perms",
        "--omit-dir-times",
        "--no-implied-dirs",
        "--from0",
        "-s",  # its long name differs between releases
        f"--rsh={rsync_rsh(ssh)}",
        *extra,
        source,
        target.rstrip("/") + "/",
    ]


def write_names(path: str, names: Iterable[str]) -> None:
    """A list for ``--files-from``. Every name begins with ``./``: a leading ``#`` or ``;`` would make it a comment."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(handle, "wb") as stream:
        stream.writelines(b"./" + os.fsencode(name) + b"\0" for name in names)
