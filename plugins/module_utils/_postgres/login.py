# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How this host logs in to its upstream: now, for a question, and later, as the WAL receiver.

Private to the collection.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import (
    locked_directory,
    read_small,
    write_atomically,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import standby_keywords
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.guc import truth
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.passfile import Key, edit, keys_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import keywords_of

__all__ = ["Login", "Passfile", "login_of"]


@dataclass(frozen=True)
class Passfile:
    """A password file that should let some logins find their password; ``text`` is None if it does so already.

    ``text`` is the file with these lines as it was when it was looked at.
    """

    path: str
    text: str | None = field(repr=False)
    keys: tuple[Key, ...] = ()
    password: str = field(default="", repr=False)

    def write(self) -> None:
        """Bring the lines into the file, readable by its owner only. Raises StandbyError.

        It is read once more: two standbys of one host have one file, and a play gives both their lines at once.
        """
        if self.text is not None:
            with locked_directory(os.path.dirname(self.path)):
                write_atomically(self.path, edit(read_small(self.path) or "", self.keys, self.password))


@dataclass(frozen=True)
class Login:
    """``keywords`` are those of a login from here and now, ``conninfo`` those that primary_conninfo is made of.

    ``passfile`` is the file to keep the password in, if that is wanted.
    """

    keywords: dict[str, str]
    conninfo: dict[str, str]
    passfile: Passfile | None = None


def login_of(params: Mapping[str, Any], application_name: str) -> Login:
    """The login that a module's options describe. Raises StandbyError for wrong ones."""
    dbname = truth(str((params.get("settings") or {}).get("sync_replication_slots", "off"))) is True
    keywords = standby_keywords(
        keywords_of(params["upstream_conninfo"]), params.get("replication_user"), application_name, dbname
    )
    password, path = params.get("upstream_password"), params.get("passfile")
    if path and not os.path.isabs(path):
        raise StandbyError(Refusal("path_dangerous", f"passfile={path!r} is not absolute.", "give its whole path"))
    if not password:
        named = {**keywords, "passfile": path} if path else keywords
        return Login(named, named)
    if params.get("use_primary_conninfo_password"):
        known = {**keywords, "password": password}
        return Login(known, known)
    path = path or os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, ".pgpass")
    before = read_small(path)
    keys = keys_of(keywords)
    after = edit(before or "", keys, password)
    strict = before is not None and not os.stat(path).st_mode & 0o077
    wanted = None if after == before and strict else after
    return Login(
        {**keywords, "password": password}, {**keywords, "passfile": path}, Passfile(path, wanted, keys, password)
    )
