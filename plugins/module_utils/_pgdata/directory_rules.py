# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may make a directory of a standby that is missing, and what root must not do for it. Pure.

Private to the collection.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["Sight", "not_a_directory", "who_makes"]

_NOTHING_MADE = "Nothing was made."


@dataclass(frozen=True)
class Sight:
    """What was seen of a directory that is wanted.

    ``real`` is the real path of the directory, or of the deepest one above it that exists; ``missing`` are the names
    below that. Of ``real``: ``owner`` is the name of its owner, ``owned`` whether that is the database's OS user,
    ``writable`` whether that user may make something in it, ``roots_own`` whether root alone may. ``link`` is the first
    link on the way to it that another user than root may have made.
    """

    real: str
    missing: tuple[str, ...] = ()
    owner: str = "root"
    owned: bool = False
    writable: bool = False
    roots_own: bool = False
    link: str | None = None


def who_makes(role: str, path: str, sight: Sight, user: str, is_root: bool) -> str | None:
    """``user`` or ``root``; None if the directory is there, and of use to the database's OS user.

    ``role`` names the directory as the options do. ``is_root``: whether root's rights are ours. Raises StandbyError.
    """
    if not sight.missing:
        _require_usable(role, path, sight, user)
        return None
    if sight.writable:
        return "user"
    where = posixpath.join(sight.real, *sight.missing)
    if sight.link is not None:
        raise _untrusted(role, path, sight.link, where, user)
    if not is_root:
        raise StandbyError(
            Refusal(
                "directory_not_writable",
                f"{role} {path} is missing, and {user} cannot make it in {sight.real}. {_NOTHING_MADE}",
                f"run as root (become), or make {path} yourself, owned by {user}",
            )
        )
    if not sight.roots_own:
        raise StandbyError(
            Refusal(
                "directory_unsafe",
                f"{role} {path} is missing. {user} cannot make it in {sight.real}, and root does not: {sight.owner}, or"
                f" whoever else may write there, could put something else in its place. {_NOTHING_MADE}",
                f"make {path} yourself, owned by {user} and with mode 0700",
            )
        )
    return "root"


def _require_usable(role: str, path: str, sight: Sight, user: str) -> None:
    if sight.owned or (role != "data_directory" and sight.writable):
        return
    if sight.link is not None:
        raise _untrusted(role, path, sight.link, f"{sight.real}, which belongs to {sight.owner}", user)
    what = f"{role} {path} belongs to {sight.owner}, not to {user}"
    step = f"chown {user} {path}, if the directory is meant for the server"
    if role == "data_directory":
        raise StandbyError(
            Refusal("data_directory_owner", f"{what}: the server refuses to start there. {_NOTHING_MADE}", step)
        )
    raise StandbyError(Refusal("directory_not_writable", f"{what}, who cannot write there. {_NOTHING_MADE}", step))


def _untrusted(role: str, path: str, link: str, target: str, user: str) -> StandbyError:
    return StandbyError(
        Refusal(
            "link_untrusted",
            f"{role} {path} leads through the link {link}, which another user than root may have made, to {target}."
            f" Root's rights are not used behind such a link, and {user} may not write there. {_NOTHING_MADE}",
            f"remove the link; if what it leads to is meant for the server, name that path itself in {role}",
        )
    )


def not_a_directory(role: str, path: str, what: str) -> StandbyError:
    """What to raise if something else is where a directory has to be."""
    return StandbyError(
        Refusal(
            "not_a_directory",
            f"{role} {path} cannot be a directory: {what} is something else. {_NOTHING_MADE}",
            f"correct {role}, or remove {what} yourself",
        )
    )
