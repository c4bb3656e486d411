"""A callback of Ansible that runs a command after every task on the host, while the play waits, and notes what it said.

TASK_BOUNDARY_COMMAND is its argument list as JSON, TASK_BOUNDARY_LOG the file for the notes, one JSON object a line.
"""

from __future__ import annotations

import json
import os
import subprocess

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_boundaries
type: aggregate
short_description: Run a command after every task on the host
description: For a test.
"""


# What these do the controller does, and the host is as it was.
ELSEWHERE = frozenset({"assert", "debug", "include_tasks", "set_fact", "set_stats", "validate_argument_spec"})


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_boundaries"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result):
        self._note(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._note(result)

    def _note(self, result):
        if result._task.action.rpartition(".")[2] in ELSEWHERE:
            return
        done = subprocess.run(
            json.loads(os.environ["TASK_BOUNDARY_COMMAND"]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        task = result._task.get_name().rpartition(" : ")[2]
        with open(os.environ["TASK_BOUNDARY_LOG"], "a", encoding="utf-8") as log:
            log.write(json.dumps({"task": task, "said": done.stdout.strip()}) + "\n")
