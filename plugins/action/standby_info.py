# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow a standby that the module of the same name waits for, in steps that each look at the standby for a while."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.filter.standby_report import human
from ansible_collections.pgfleet.standby.plugins.plugin_utils.following import Following, duration

# For how many seconds nothing has to have moved until a line tells that.
_STILL = 10


def line(host: str, progress: Mapping[str, Any]) -> str:
    """How far the standby is, in one line without what is not known yet."""
    return f"{host}: standby_info {', '.join(_parts(progress))}"


def _parts(progress: Mapping[str, Any]) -> Iterator[str]:
    behind, rate, eta = progress.get("behind"), progress.get("rate"), progress.get("eta")
    yield str(progress.get("phase") or "waiting")
    if behind:
        yield f"{human(behind)} behind"
    if rate is not None:
        yield f"{human(rate)}/s"
    if eta is not None:
        yield f"about {duration(eta)} left"
    still = progress.get("still") or 0
    if still >= _STILL:
        yield f"no progress for {duration(still)}"
    since = progress.get("consistent_since")
    if since is not None:
        yield f"consistent since {clock(since)}"


def clock(since: float) -> str:
    """A time, in seconds since 1970, as the controller's clocks show it; with its day if that is not today."""
    then = time.localtime(since)
    today = then[:3] == time.localtime(time.time())[:3]
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", then)


class ActionModule(Following):
    """Runs the module until its wait is over."""

    MODULE = "standby_info"
    SUBJECT = "The standby"
    TO_LOOK = "look at it"
    LOOKED_AT = "was waited for"
    ON_THE_NEXT_RUN = "which waits on"

    def _is_short(self) -> bool:
        return self._task.args.get("wait") in (None, "none")

    def _line(self, host: str, progress: Mapping[str, Any]) -> str:
        return line(host, progress)

    def _next(self, step: Mapping[str, Any]) -> dict[str, Any]:
        """The wait goes on: to the same position, and with the time that has passed without progress."""
        return {"waited": step.get("waited")}
