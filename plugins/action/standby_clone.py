# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow the copy that the module of the same name started on the host.

The module is called in steps. Each step attaches to the copy for some seconds and returns how far the copy is. So the
play shows progress while the task runs, and a connection that breaks costs no more than one step.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ansible.constants import config
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.validation import check_type_int
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.pgfleet.standby.plugins.filter.standby_report import human
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.login_session import scope_argv

_SHORTEST, _LONGEST = 5, 60  # seconds between two lines
_PATIENCE = 120  # seconds without a connection until the host counts as unreachable
_LONGEST_DELAY = 15  # seconds between two attempts to attach again

display = Display()


def pause(elapsed: float) -> int:
    """The seconds to the next line: a tenth of what has passed, so that long copies do not fill the log."""
    return round(min(max(elapsed / 10, _SHORTEST), _LONGEST))


def line(host: str, progress: Mapping[str, Any], module: str = "standby_clone") -> str:
    """How far the copy is, in one line without what is not known yet."""
    return f"{host}: {module} {', '.join(_parts(progress))}"


def _parts(progress: Mapping[str, Any]) -> Iterator[str]:
    phase, percent, total = progress.get("phase") or "running", progress.get("percent"), progress.get("bytes")
    rate, eta, retries = progress.get("rate"), progress.get("eta"), progress.get("retries")
    # Rounded down: 100 % means done.
    amount = "" if percent is None else f" {int(percent)} %"
    yield f"{phase}{amount} of {human(total)}" if amount and total else f"{phase}{amount}"
    if rate is not None:
        yield f"{human(rate)}/s"
    # The end of another phase is not the end of the copy.
    if eta is not None and phase == "copying":
        yield f"{duration(eta)} left"
    if retries:
        yield "1 retry" if retries == 1 else f"{retries} retries"
    restarts = progress.get("restarts")
    if restarts:
        yield "started again after it was killed" if restarts == 1 else f"started again {restarts} times"


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


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


def _of_the_copy(step: dict[str, Any]) -> dict[str, Any]:
    """A step's result. Raises AnsibleError for a failure of the step itself: those of the copy have an error_code."""
    if step.get("failed") and not step.get("error_code"):
        raise AnsibleError(str(step.get("msg") or step.get("module_stderr") or "the module failed"))
    return step


@contextmanager
def _root(become: Any) -> Iterator[str | None]:
    """Become root in place of the user of the task, whose name it tells; None if the task becomes nobody."""
    if become is None:
        yield None
        return
    user = become.get_option("become_user")
    become.set_option("become_user", "root")
    try:
        yield str(user)
    finally:
        become.set_option("become_user", user)


class ActionModule(ActionBase):
    """Runs the module until its copy is finished."""

    MODULE = "standby_clone"

    _supports_async = True
    _supports_check_mode = True
    # The session out of which the copy could not be moved: it is tried once.
    _not_kept: Mapping[str, Any] | None = None

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the module's last step."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        interval = self._interval()
        once = self._task.async_val or self._task.check_mode or self._task.args.get("attach_timeout") is not None
        return {**result, **(self._step(variables) if once else self._follow(interval, variables))}

    def _interval(self) -> int | None:
        """The seconds between two lines that the user chose; None for the default."""
        given = self._task.args.get("progress_interval")
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

    def _follow(self, interval: int | None, variables: dict[str, Any]) -> dict[str, Any]:
        """Step by step to the end of the copy, with a line after each."""
        began = time.monotonic()
        steps: list[dict[str, Any]] = []
        # The first step is short: before its end no copy is known to run, and a connection that breaks fails the task.
        step = self._step(variables, {"attach_timeout": min(interval or _SHORTEST, _SHORTEST)})
        while step.get("finished") is False and not step.get("failed"):
            steps.append({kind: step.get(kind) for kind in ("warnings", "deprecations")})
            self._keep(step.get("ends_with"), variables)
            if interval != 0:
                self._tell(line(self._host(variables), step.get("progress") or {}, self.MODULE))
            seconds = interval or pause(time.monotonic() - began)
            # The copy is named: if it ends between two steps, the next step returns its result and starts no other.
            step = self._again(variables, {"attach_timeout": seconds, "attach_run": step.get("run")})
        return gathered(steps, step)

    def _keep(self, ends_with: Mapping[str, Any] | None, variables: dict[str, Any]) -> None:
        """Move a copy that logind would end at logout out of the session, or tell that this cannot be done."""
        if not ends_with or ends_with == self._not_kept:
            return
        try:
            with _root(self._connection.become) as user:
                self._move(int(ends_with["pid"]), user, variables)
        except AnsibleError as refused:
            self._not_kept = ends_with
            self._tell(
                f"[WARNING]: {self._host(variables)}: the copy ends with the login session {ends_with['session']}, for"
                f" logind's KillUserProcesses is on, and it could not be moved into a unit of its own: {refused}. Next:"
                " keep the connection, or name the login user in KillExcludeUsers of logind.conf.",
                config.get_config_value("COLOR_WARN"),
            )

    def _move(self, pid: int, user: str | None, variables: dict[str, Any]) -> None:
        """Give the user's process a scope of systemd. Raises AnsibleError."""
        owner = self._as_root("ansible.builtin.stat", {"path": f"/proc/{pid}"}, variables)["stat"].get("pw_name")
        if user is not None and owner != user:
            raise AnsibleError(f"process {pid} belongs to {owner}, not to {user}")
        argv = scope_argv(pid, str(self._task.args.get("data_directory")))
        self._as_root("ansible.builtin.command", {"argv": argv}, variables)

    def _as_root(self, module: str, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(module_name=module, module_args=arguments, task_vars=variables)
        if result.get("failed") or result.get("unreachable"):
            raise AnsibleError(str(result.get("stderr") or result.get("msg") or f"{module} failed"))
        return result

    def _again(self, variables: dict[str, Any], attach: dict[str, Any]) -> dict[str, Any]:
        """Another step. A connection that breaks is made again, until _PATIENCE has passed.

        A step that fails by itself, such as for want of room for Ansible's temporary files, says nothing of the copy,
        which goes on. It counts as a connection that broke: if the task failed, the play would give up what the copy
        needs on the Barman host.
        """
        lost_at: float | None = None
        delay = 1
        while True:
            try:
                if lost_at is not None:
                    self._reconnect()
                return _of_the_copy(self._step(variables, attach))
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
        """One call of the module, with the user's options, or attached to the copy for a while."""
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
        self._tell(
            f"[WARNING]: {self._host(variables)}: {self.MODULE} lost the connection. The copy goes on by itself on"
            f" the host. This task tries for {_PATIENCE} s to attach to the copy again. ({error})",
            config.get_config_value("COLOR_WARN"),
        )

    def _gone(self, seconds: float, error: AnsibleError) -> AnsibleConnectionFailure:
        # Nothing can be removed there: Ansible's attempt would fail with an error that hides this one.
        self._connection._shell.tmpdir = None
        return AnsibleConnectionFailure(
            f"The copy was running, and could not be looked at again within {seconds:.0f} s: {error}."
            " Unless the host itself is down, the copy goes on there. Next: run the play again, to attach to it."
        )

    def _host(self, variables: dict[str, Any]) -> str:
        return str(variables.get("inventory_hostname") or self._task.delegate_to or "localhost")

    @staticmethod
    def _tell(text: str, color: str | None = None) -> None:
        # stderr: if stdout is no terminal, Ansible does not flush it, and a log would show the lines only when the task
        # is over. A callback may also make stdout something else, such as JSON.
        display.display(text, color=color, stderr=True)
