"""The server of a directory as the collection starts, reloads and stops it: by pg_ctl, as the servers' user."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.os_user import acting_as, os_user, user_name
from ansible_collections.pgfleet.standby.plugins.module_utils._server.control import Server as Controlled
from ansible_collections.pgfleet.standby.plugins.module_utils._server.control import ServerRequest
from ansible_collections.pgfleet.standby.tests.servers.servers import Server


@contextmanager
def as_servers_user() -> Iterator[None]:
    """What is done inside is done by that user."""
    with acting_as(os_user("nobody" if os.geteuid() == 0 else user_name(os.geteuid()))):
        yield


def may_run_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user that servers run as may not come to the interpreter of the tests."""
    monkeypatch.setattr(sys, "executable", shutil.which("python3", path="/usr/bin:/usr/local/bin"))


class Control:
    """What is done to a server, one after the other; each looks at it anew. The state directory is beside the data."""

    def __init__(self, server: Server, **options: Any) -> None:
        self._server = server
        self._options = options
        state = server.top / "state"
        state.mkdir(mode=0o700, exist_ok=True)
        shutil.chown(state, server.data.owner())
        self._state = str(state)

    def to(self, state: str) -> Controlled:
        """Bring it into a state of the module's option. Raises StandbyError."""
        with as_servers_user():
            request = ServerRequest(
                str(self._server.data),
                self._state,
                bindir=os.path.dirname(self._server.program("postgres")),
                **self._options,
            )
            controlled = Controlled(request)
            action = controlled.action(state)
            if action != "none":
                controlled.carry_out(action)
            return controlled
