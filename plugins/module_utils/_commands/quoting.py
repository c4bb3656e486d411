# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ways in which text crosses a program that splits it again. Pure. Private to the collection."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

__all__ = ["remote_command", "rsync_rsh"]


def remote_command(argv: Sequence[str]) -> str:
    """One command line for the login shell at the far end of ssh, which joins and splits its arguments."""
    return " ".join(shlex.quote(argument) for argument in argv)


def rsync_rsh(argv: Sequence[str]) -> str:
    """The value of rsync's ``-e``.

    rsync splits it at spaces and honours quotes but no backslashes; a quote inside a quoted
    argument is written twice (rsync(1), option ``--rsh``).
    """
    return " ".join("'" + argument.replace("'", "''") + "'" for argument in argv)
