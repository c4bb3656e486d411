# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is long and goes on by itself on a host, followed from the controller. For the action plugins.

The module is called in steps. Each step looks for some seconds and returns how far it is. So the play shows progress
while the task runs, and a connection that breaks costs no more than one step.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ansible.constants import config
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.validation import check_type_int
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

_SHORTEST, _LONGEST = 5, 60  # seconds between two lines
_PATIENCE = 120  # seconds without a connection until the host counts as unreachable
_LONGEST_DELAY = 15  # seconds between two attempts to look again

display = Display()


def pause(elapsed: float) -> int:
    """The seconds to the next line: a tenth of what has passed, so that what is long does not fill the log."""
    return round(min(max(elapsed / 10, _SHORTEST), _LONGEST))


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def interval_of(given: Any) -> int | None:
    """The seconds between two lines that the user chose; None for the default. Raises AnsibleActionFail."""
    if given is None:
        return None
    try:
        interval: int = check_type_int(given)
    except TypeError as wrong:
        raise AnsibleActionFail(
            f"progress_interval is no number of seconds: {wrong}. Next: give a whole number."
        ) from wrong
    if interval < 0:
        raise AnsibleActionFail(f"progress_interval={interval} is negative. Next: give 0 to silence the progress.")
    return interval


def gathered(earlier: list[dict[str, Any]], final: dict[str, Any]) -> dict[str, Any]:
    """The final result, with the warnings of the steps before it, each warning once."""
    result = dict(final)
    for kind in ("warnings", "deprecations"):
        unique: list[Any] = []
        for step in (*earlier, final):
            unique += [message for message in step.get(kind) or () if message not in unique]
        if unique:
            result[kind] = unique
    return result


def _of_the_work(step: dict[str, Any]) -> dict[str, Any]:
    """A step's result. Raises AnsibleError for a failure of the step itself: those of the work have an error_code."""
    if step.get("failed") and not step.get("error_code"):
        raise AnsibleError(str(step.get("msg") or step.get("module_stderr") or "the module failed"))
    return step


class Following(ActionBase):
    """Runs a module in steps until its result says ``finished``."""

    MODULE: str
    # What goes on by itself, as a subject, and what was done with it, for the messages of a connection that breaks.
    SUBJECT: str
    TO_LOOK: str
    LOOKED_AT: str
    ON_THE_NEXT_RUN: str

    _supports_async = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the module's last step."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        interval = interval_of(self._task.args.get("progress_interval"))
        once = self._task.async_val or self._task.args.get("attach_timeout") is not None or self._is_short()
        return {**result, **(self._step(variables) if once else self._follow(interval, variables))}

    @abstractmethod
    def _is_short(self) -> bool:
        """Whether the task is done in one call."""

    @abstractmethod
    def _line(self, host: str, progress: Mapping[str, Any]) -> str:
        """How far it is, in one line."""

    @abstractmethod
    def _next(self, step: Mapping[str, Any]) -> dict[str, Any]:
        """The options by which the next step goes on from this one."""

    def _seen(self, step: Mapping[str, Any], variables: dict[str, Any]) -> None:
        """What there is to do after a step, for those that have something."""

    def _follow(self, interval: int | None, variables: dict[str, Any]) -> dict[str, Any]:
        """Step by step to the end, with a line after each."""
        began = time.monotonic()
        steps: list[dict[str, Any]] = []
        # The first step is short: before its end nothing is known to run, and a connection that breaks fails the task.
        step = self._step(variables, {"attach_timeout": min(interval or _SHORTEST, _SHORTEST)})
        while step.get("finished") is False and not step.get("failed"):
            steps.append({kind: step.get(kind) for kind in ("warnings", "deprecations")})
            self._seen(step, variables)
            if interval != 0:
                self._tell(self._line(self._host(variables), step.get("progress") or {}))
            seconds = interval or pause(time.monotonic() - began)
            step = self._again(variables, {"attach_timeout": seconds, **self._next(step)})
        return gathered(steps, step)

    def _again(self, variables: dict[str, Any], attach: dict[str, Any]) -> dict[str, Any]:
        """Another step. A connection that breaks is made again, until _PATIENCE has passed.

        A step that fails by itself, such as for want of room for Ansible's temporary files, says nothing of what it
        looks at, which goes on. It counts as a connection that broke: if the task failed, the play would give up what a
        copy needs on the Barman host.
        """
        lost_at: float | None = None
        delay = 1
        while True:
            try:
                if lost_at is not None:
                    self._reconnect()
                return _of_the_work(self._step(variables, attach))
            except AnsibleError as error:
                now = time.monotonic()
                if lost_at is None:
                    lost_at = now
                    self._lost(variables, error)
                delay = min(2 * delay, _LONGEST_DELAY)
                if now + delay > lost_at + _PATIENCE:
                    raise self._gone(now - lost_at, error) from None
            time.sleep(delay)

    def _step(self, variables: dict[str, Any], attach: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One call of the module, with the user's options, or with those of a step."""
        result: dict[str, Any] = self._execute_module(
            module_name=f"pgfleet.standby.{self.MODULE}",
            module_args={**self._task.args, **(attach or {})},
            task_vars=variables,
            wrap_async=bool(self._task.async_val and not self._connection.has_native_async),
        )
        if result.get("unreachable"):
            raise AnsibleConnectionFailure(str(result.get("msg") or "The host cannot be reached."))
        return result

    def _reconnect(self) -> None:
        """Drop what belonged to the connection that broke: a dead ControlPersist socket would fail again."""
        with suppress(AnsibleError, AttributeError, OSError):
            self._connection.reset()
        # The host may have been restarted, and its temporary directories with it.
        self._remove_tmp_path(self._connection._shell.tmpdir)

    def _lost(self, variables: dict[str, Any], error: AnsibleError) -> None:
        # Not display.warning: since ansible-core 2.19 it waits for the end of the task.
        self._warn(
            f"{self._host(variables)}: {self.MODULE} lost the connection. {self.SUBJECT} goes on by itself on the host."
            f" This task tries for {_PATIENCE} s to {self.TO_LOOK} again. ({error})"
        )

    def _gone(self, seconds: float, error: AnsibleError) -> AnsibleConnectionFailure:
        # Nothing can be removed there: Ansible's attempt would fail with an error that hides this one.
        self._connection._shell.tmpdir = None
        return AnsibleConnectionFailure(
            f"{self.SUBJECT} {self.LOOKED_AT}, and could not be looked at again within {seconds:.0f} s: {error}."
            f" Unless the host itself is down, {self.SUBJECT[0].lower()}{self.SUBJECT[1:]} goes on there."
            f" Next: run the play again, {self.ON_THE_NEXT_RUN}."
        )

    def _host(self, variables: dict[str, Any]) -> str:
        return str(variables.get("inventory_hostname") or self._task.delegate_to or "localhost")

    def _warn(self, text: str) -> None:
        self._tell(f"[WARNING]: {text}", config.get_config_value("COLOR_WARN"))

    @staticmethod
    def _tell(text: str, color: str | None = None) -> None:
        # stderr: if stdout is no terminal, Ansible does not flush it, and a log would show the lines only when the task
        # is over. A callback may also make stdout something else, such as JSON.
        display.display(text, color=color, stderr=True)
