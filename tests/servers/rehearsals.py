"""A host on which a standby's start is rehearsed: the files that the backup would bring, and the host's own."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.os_user import acting_as, os_user, user_name
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.cluster import Standby
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.rehearse import Rehearsed, rehearse
from ansible_collections.pgfleet.standby.tests.servers.releases import programs_of
from ansible_collections.pgfleet.standby.tests.servers.servers import as_user


@dataclass
class Host:
    """``base`` is where scratch clusters are made, ``backup`` what a backup would bring into ``data``."""

    top: Path

    def __post_init__(self) -> None:
        for place in (self.base, self.backup, self.data.parent, self.sockets, self.closed):
            place.mkdir(parents=True)
        self.top.chmod(0o755)

    @property
    def base(self) -> Path:
        return self.top / "tmp"

    @property
    def backup(self) -> Path:
        return self.top / "backup"

    @property
    def data(self) -> Path:
        return self.top / "srv" / "main"

    @property
    def sockets(self) -> Path:
        return self.top / "sockets"

    @property
    def closed(self) -> Path:
        """A directory in which the servers' user may not write."""
        return self.top / "closed"

    def give(self) -> None:
        """All of it to the user that servers run as."""
        as_user(self.top)
        if os.geteuid() == 0:
            os.chown(self.closed, 0, 0)
        self.closed.chmod(0o555)

    def bring(self, target: str) -> None:
        """What the backup would bring, as a copy of it does."""
        shutil.copytree(self.backup, target, dirs_exist_ok=True)
        os.chmod(target, 0o700)

    def standby(self, major: int, **changed: Any) -> Standby:
        given: dict[str, Any] = {"bring": self.bring, **changed}
        state = str(self.data.parent / ".main.standby")
        return Standby(str(self.data), state, str(programs_of(major)), major, **given)

    def rehearse(self, standby: Standby, how: Callable[[Standby], Rehearsed] = rehearse) -> Rehearsed:
        """As the servers' user does it."""
        name = "nobody" if os.geteuid() == 0 else user_name(os.geteuid())
        assert pwd.getpwnam(name).pw_uid != 0
        with acting_as(os_user(name)):
            return how(standby)

    def everything(self) -> dict[str, tuple[Any, ...]]:
        """Each file and directory with all that would tell of a change. Scratch clusters come and go in the base."""
        seen = {}
        for place in sorted([self.top, *self.top.rglob("*")]):
            status = place.lstat()
            content = place.read_bytes() if place.is_file() else b""
            own = place in (self.base, self.sockets)
            times = () if own else (status.st_mtime_ns, status.st_ctime_ns)
            seen[str(place)] = (status.st_mode, status.st_uid, status.st_gid, status.st_ino, *times, content)
        return seen
