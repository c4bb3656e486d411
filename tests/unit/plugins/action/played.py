# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task of a play, with answers in place of the module."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import MagicMock

from ansible_collections.pgfleet.standby.plugins.plugin_utils import following


class Play:
    """One task of a play on the host n1, with a clock of its own. Each answer is what one call of the module gives."""

    def __init__(self, monkeypatch, plugin, answers, args=None, async_val=0, check_mode=False):
        self.name = f"pgfleet.standby.{plugin.ActionModule.MODULE}"
        self.now = 1000.0
        self.answers = list(answers)
        self.calls = []
        self.naps = []
        self.shown = []
        self.args = dict({"data_directory": "/pgdata"} if args is None else args)
        self.task = MagicMock(args=self.args, async_val=async_val, check_mode=check_mode, delegate_to=None)
        self.connection = MagicMock(has_native_async=False)
        self.become = {"become_user": "postgres"}
        self.connection.become.get_option.side_effect = self.become.get
        self.connection.become.set_option.side_effect = self.become.__setitem__
        self.by_root = []
        self.refused = None
        self.owner = "postgres"
        self.connection._shell.tmpdir = "/root/.ansible/tmp/x"
        self.action = plugin.ActionModule(
            self.task, self.connection, MagicMock(), MagicMock(), MagicMock(), MagicMock()
        )
        self.forgotten = []
        monkeypatch.setattr(self.action, "_execute_module", self.module)
        monkeypatch.setattr(self.action, "_remove_tmp_path", self.forgotten.append)
        monkeypatch.setattr(following, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))
        monkeypatch.setattr(following, "display", SimpleNamespace(display=self.display))

    def sleep(self, seconds):
        self.naps.append(seconds)
        self.now += seconds

    def display(self, text, color=None, stderr=False):
        assert stderr, "stdout is not flushed"
        self.shown.append(text)

    def root(self, module_name, module_args):
        assert self.become["become_user"] == "root"
        self.by_root.append((module_name, module_args))
        return self.refused or {"stat": {"pw_name": self.owner}}

    def module(self, module_name, module_args, task_vars, wrap_async=False):
        if module_name.startswith("ansible.builtin."):
            return self.root(module_name, module_args)
        assert module_name == self.name
        assert self.become["become_user"] == "postgres"
        self.calls.append(SimpleNamespace(args=dict(module_args), wrap_async=wrap_async))
        module_args["_ansible_verbosity"] = 0  # as _execute_module does
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        self.now += module_args.get("attach_timeout") or 0
        return answer

    def run(self):
        return self.action.run(task_vars={"inventory_hostname": "n1"})

    @property
    def attached(self):
        return [call.args.get("attach_timeout") for call in self.calls]
