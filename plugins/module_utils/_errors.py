# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How this collection refuses: the words of a refusal, and the one exception that carries them. Pure.

Private to the collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Refusal", "StandbyError", "of_os_error"]

# What helps if a failure is not one of ours.
_NO_STEP = "see the task that failed"


@dataclass(frozen=True)
class Refusal:
    """Why something is refused, or has failed.

    ``code`` is its stable name for machines, a row of docs/error_codes.md. ``found`` says what was tried on what and
    what was found, in whole sentences. ``next_step`` says what helps, as an imperative without its full stop.
    """

    code: str
    found: str
    next_step: str

    @property
    def msg(self) -> str:
        """The whole text for a person."""
        return f"{self.found} Next: {self.next_step}."

    @classmethod
    def of_result(cls, result: Mapping[str, Any]) -> Refusal:
        """The refusal of which a module's result tells, by its ``error_code`` and ``msg``."""
        msg = str(result.get("msg"))
        found, said, step = msg.rpartition(" Next: ")
        return cls(str(result.get("error_code")), found if said else msg, step.rstrip(".") if said else _NO_STEP)


class StandbyError(Exception):
    """A refusal or failure that a user reads.

    ``result`` holds further keys of the module's result, such as ``cmd``, ``rc`` and ``stderr``.
    """

    def __init__(self, refusal: Refusal, **result: Any) -> None:
        super().__init__(refusal.msg)
        self.refusal = refusal
        self.result = result

    @property
    def code(self) -> str:
        """The refusal's stable name."""
        return self.refusal.code

    @property
    def msg(self) -> str:
        """The refusal's whole text."""
        return self.refusal.msg

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> StandbyError:
        """A failure of another process, from what ``as_record`` made of it there. Raises KeyError for anything else."""
        return cls(Refusal(**record["refusal"]), **record["result"])

    def as_record(self) -> dict[str, Any]:
        """The failure as JSON takes it, for another process."""
        return {"refusal": asdict(self.refusal), "result": self.result}

    def as_result(self) -> dict[str, Any]:
        """The keys for ``fail_json``."""
        return dict(self.result, msg=self.msg, error_code=self.code)


def of_os_error(failed: OSError) -> Refusal:
    """What the system refused, by the file and its own words, if nobody nearer to the work has said it better."""
    names = [str(name) for name in (failed.filename, failed.filename2) if name is not None]
    place = f"{' -> '.join(names)}: " if names else ""
    return Refusal(
        "system_error",
        f"The system refused: {place}{failed.strerror or failed}.",
        "see that the user of this task may use what is named, that there is room on its disk, then run again",
    )
