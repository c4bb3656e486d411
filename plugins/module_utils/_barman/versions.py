# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between Barman's versions, in one table. Pure. Private to the collection.

The versions are those of Barman's release notes; what each of them prints was recorded, see the tests.
"""

from __future__ import annotations

from enum import Enum

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["Feature", "dotted", "has", "require"]


class Feature(Enum):
    """Something that Barman can do, the version that did it first, and what a refusal calls it."""

    SUPPORTED = ((2, 12), "this collection")  # nothing older has been tried
    KEEP = ((2, 14), "barman keep")
    PLURAL_NAMES = ((2, 15), "show-servers and list-backups as the commands' names")
    TRUE_TIMESTAMPS = ((3, 1), "times in seconds that do not depend on the Barman host's zone")
    INCREMENTAL = ((3, 11), "incremental backups")
    RESTORE = ((3, 12), "barman restore, which was called recover before")
    ENCRYPTION = ((3, 14), "encrypted backups")
    STAGING_PATH = ((3, 15), "one path for all that a restore unpacks, decrypts and combines")
    COMPRESSION_IN_JSON = ((3, 16), "a backup's compression in JSON")

    def __init__(self, since: tuple[int, ...], what: str) -> None:
        self.since = since
        self.what = what


def has(version: tuple[int, ...], feature: Feature) -> bool:
    """Whether a Barman of this version can do it."""
    return version >= feature.since


def require(version: tuple[int, ...], feature: Feature, where: str) -> None:
    """Refuse what the Barman on host ``where`` cannot do. Raises StandbyError with the version that can."""
    if not has(version, feature):
        raise StandbyError(
            Refusal(
                "barman_too_old",
                f"Barman on {where} is version {dotted(version)}; {feature.what} needs {dotted(feature.since)} or"
                " later.",
                "upgrade Barman there",
            )
        )


def dotted(version: tuple[int, ...]) -> str:
    """A version as it is written."""
    return ".".join(map(str, version))
