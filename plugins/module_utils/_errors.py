# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception family of this collection. Private to the collection."""

from __future__ import annotations

from typing import Any

__all__ = ["StandbyError"]


class StandbyError(Exception):
    """A refusal or failure that a user reads.

    ``msg`` says what was tried on what, what was found, and which option or step helps.
    ``code`` is its stable, machine-readable name. ``result`` holds further keys of the
    module's result, such as ``cmd``, ``rc`` and ``stderr``.
    """

    def __init__(self, msg: str, code: str, **result: Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self.code = code
        self.result = result

    def as_result(self) -> dict[str, Any]:
        """The keys for ``fail_json``."""
        return dict(self.result, msg=self.msg, error_code=self.code)
