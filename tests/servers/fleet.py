"""The servers that tests share: each is made once, and a test leaves it running and as it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import standby_keywords
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text
from ansible_collections.pgfleet.standby.tests.servers.servers import Server, as_user


class Fleet:
    """A primary and a standby of each major version, made when they are asked for."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self._places = 0
        self.primaries: dict[int, Server] = {}
        self.standbys: dict[int, Server] = {}

    def place(self, name: str) -> Path:
        """A new directory for one server. Files of tests share the fleet, so a name may come more than once."""
        self._places += 1
        place = self.top / f"{name}.{self._places}"
        place.mkdir(mode=0o755)
        as_user(place)
        return place

    def primary(self, major: int) -> Server:
        """With data checksums or without, in small segments where that can be chosen."""
        if major not in self.primaries:
            options = [*(["-k"] if major % 2 else []), *(["--wal-segsize=1"] if major >= 11 else [])]
            server = Server.create(major, self.place(f"p{major}"), *options)
            self.primaries[major] = server
            server.start()
        return self.primaries[major]

    def standby(self, major: int) -> Server:
        """It follows the primary through its socket."""
        if major not in self.standbys:
            primary = self.primary(major)
            server = primary.copy(self.place(f"s{major}") / "data")
            keywords = standby_keywords(primary.conninfo, None, "standby")
            server.make_standby({"primary_conninfo": conninfo_text(keywords), "recovery_target_timeline": "latest"})
            server.edit("postgresql.auto.conf", {"wal_retrieve_retry_interval": "10ms"})
            self.standbys[major] = server
            server.start()
        return self.standbys[major]

    def stop(self) -> None:
        """All of them at once, whatever became of the others: nobody needs their data any more."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(Server.kill, [*self.standbys.values(), *self.primaries.values()]))
