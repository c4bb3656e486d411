# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that has been told to reload, heard until it has said what it did of that. Private to the collection.

A server goes on with what it had if it cannot read a file, and tells that to nobody but its log.
"""

from __future__ import annotations

import contextlib
import socket
import time

from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import LocalServer
from ansible_collections.pgfleet.standby.plugins.module_utils._server.log_files import ServerLog
from ansible_collections.pgfleet.standby.plugins.module_utils._server.reload_words import ReloadWords, reload_words

__all__ = ["after_reload"]

# How long its words are waited for: it has answered by then, and only its collector or the journal may be late.
_SECONDS, _PAUSE = 5.0, 0.1

# What every server answers with one byte before anybody has logged in (PostgreSQL manual, 55.7, SSLRequest).
_ASKS_FOR_TLS = bytes((0, 0, 0, 8, 4, 210, 22, 47))


def after_reload(log: ServerLog, place: LocalServer | None) -> ReloadWords:
    """What a server has said of a reload for which it has had the signal; as far as its log can be read.

    Nothing if its log speaks another language than English, or leaves out messages of the level LOG.
    """
    if place is not None:
        _await_answer(place)
    if not log.readable:
        return ReloadWords()
    deadline = time.monotonic() + _SECONDS
    said = log.messages()
    while time.monotonic() < deadline:
        time.sleep(_PAUSE)
        before, said = said, log.messages()
        if reload_words(said).begun and len(said) == len(before):
            break
    return reload_words(said)


def _await_answer(place: LocalServer) -> None:
    """Have it answer a client, which it does when it is done with a signal that has come before."""
    with contextlib.suppress(OSError):
        by_socket = place.host.startswith("/")
        kind = socket.AF_UNIX if by_socket else socket.AF_INET6 if ":" in place.host else socket.AF_INET
        with socket.socket(kind) as client:
            client.settimeout(_SECONDS)
            client.connect(f"{place.host}/.s.PGSQL.{place.port}" if by_socket else (place.host, place.port))
            client.sendall(_ASKS_FOR_TLS)
            client.recv(1)
