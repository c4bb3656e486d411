# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow the copy that the module of the same name started on the host, in steps that each attach to the copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.pgfleet.standby.plugins.filter.standby_report import human
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.login_session import scope_argv
from ansible_collections.pgfleet.standby.plugins.plugin_utils.following import Following, duration


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


class ActionModule(Following):
    """Runs the module until its copy is finished."""

    MODULE = "standby_clone"
    SUBJECT = "The copy"
    TO_LOOK = "attach to the copy"
    LOOKED_AT = "was running"
    ON_THE_NEXT_RUN = "to attach to it"

    # The session out of which the copy could not be moved: it is tried once.
    _not_kept: Mapping[str, Any] | None = None

    def _is_short(self) -> bool:
        return bool(self._task.check_mode)

    def _line(self, host: str, progress: Mapping[str, Any]) -> str:
        return line(host, progress, self.MODULE)

    def _next(self, step: Mapping[str, Any]) -> dict[str, Any]:
        """The copy is named: if it ends between two steps, the next step returns its result and starts no other."""
        return {"attach_run": step.get("run")}

    def _seen(self, step: Mapping[str, Any], variables: dict[str, Any]) -> None:
        """Move a copy that logind would end at logout out of the session, or tell that this cannot be done."""
        ends_with = step.get("ends_with")
        if not ends_with or ends_with == self._not_kept:
            return
        try:
            with _root(self._connection.become) as user:
                self._move(int(ends_with["pid"]), user, variables)
        except AnsibleError as refused:
            self._not_kept = ends_with
            self._warn(
                f"{self._host(variables)}: {self.SUBJECT.lower()} ends with the login session {ends_with['session']},"
                f" for logind's KillUserProcesses is on, and it could not be moved into a unit of its own: {refused}."
                " Next: keep the connection, or name the login user in KillExcludeUsers of logind.conf."
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
