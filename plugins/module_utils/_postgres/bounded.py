# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit on how long a server is waited for. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["bounded"]

# How long a question that costs a server next to nothing may take. connect_timeout ends with the login.
_ANSWER_SECONDS = 30


@contextlib.contextmanager
def bounded(connection: Any, seconds: float | None = None) -> Iterator[threading.Event]:
    """Whatever waits for the server meanwhile, libpq included, fails after some seconds: the socket is shut under it.

    The connection is of no use afterwards. Gives an event that is set if the time was over.
    """
    overdue = threading.Event()
    with socket.socket(fileno=os.dup(connection.fileno())) as line:

        def shut() -> None:
            overdue.set()
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(_ANSWER_SECONDS if seconds is None else seconds, shut)
        timer.daemon = True
        timer.start()
        try:
            yield overdue
        finally:
            timer.cancel()
            timer.join()
