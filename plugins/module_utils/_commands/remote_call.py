# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one of our functions on the Barman host. The function goes on there if the connection is lost.

``python3 -c`` on the Barman host is given the text of the function's module and of our modules that this one imports.
Nothing is left behind there.
Private to the collection.
"""

from __future__ import annotations

import ast
import base64
import inspect
import json
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import LocalShell, Shell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = ["call"]

_PACKAGE = __name__.rpartition("._commands.")[0]

_MARK = "pgfleet:"

# The exit code of the forced command that restricts a key; Python's own are others.
_REFUSED = 125

# The modules come in an order in which each imports only those before it.
_LOADER = """\
import base64, json, sys, types, zlib
package, name, texts = json.loads(zlib.decompress(base64.b64decode(sys.argv[1])))
def module(name):
    made = sys.modules[name] = types.ModuleType(name)
    return made
module(package)
for path, text in texts:
    folder, _dot, last = path.rpartition(".")
    above = ".".join(filter(None, [package, folder]))
    above = sys.modules.get(above) or module(above)
    made = module(package + "." + path)
    setattr(above, last, made)
    exec(compile(text, path + ".py", "exec"), made.__dict__)
try:
    answer = {"done": getattr(made, name)(json.loads(sys.argv[2]))}
except sys.modules[package + "._errors"].StandbyError as error:
    answer = {"failed": error.as_record()}
except Exception as error:
    answer = {"broken": repr(error)}
print("pgfleet:" + json.dumps(answer))
"""


def call(
    shell: Shell, function: Callable[[Mapping[str, Any]], dict[str, Any]], request: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    """What the function returns there. Raises StandbyError if the function does, or if it cannot be run there."""
    if isinstance(shell, LocalShell):
        return function(request)
    argv = ["python3", "-I", "-c", _LOADER, _bundle(function), json.dumps(request)]
    done = shell.run(argv, timeout=seconds)
    said = [line for line in done.out.splitlines() if line.startswith(_MARK)]
    answer = json.loads(said[-1][len(_MARK) :]) if said else {}
    if "failed" in answer:
        raise StandbyError.from_record(answer["failed"])
    if "broken" in answer:
        raise StandbyError(
            Refusal(
                "barman_host_failed",
                f"On {shell.where} something could not be done: {answer['broken']}.",
                "mend that, then run again",
            )
        )
    if done.rc == _REFUSED:
        raise StandbyError(
            Refusal(
                "barman_host_refused",
                f"Our key may not run our program on {shell.where}: {said_by('python3', done.err)}.",
                "give its forced command --keep and --stage, and plugins/module_utils of this version of the collection"
                " (docs/restricted_key.md)",
            ),
            rc=done.rc,
            stderr=done.err,
        )
    if "done" not in answer:
        raise StandbyError(
            Refusal(
                "barman_host_python",
                f"Python 3.8 or later could not be run on {shell.where}:"
                f" {said_by('python3', done.err) or said_by('python3', done.out) or f'exit code {done.rc}'}.",
                "install python3 there, or let our key run it",
            ),
            rc=done.rc,
            stderr=done.err,
        )
    return dict(answer["done"])


def _bundle(function: Callable[..., Any]) -> str:
    texts: dict[str, str] = {}
    _add(function.__module__[len(_PACKAGE) + 1 :], texts)
    packed = json.dumps([_PACKAGE, function.__name__, list(texts.items())])
    return base64.b64encode(zlib.compress(packed.encode(), 9)).decode()


def _add(name: str, texts: dict[str, str]) -> None:
    """Add the text of a module of ours after those that the module imports. ``name`` is its path with dots."""
    text = inspect.getsource(sys.modules[f"{_PACKAGE}.{name}"])
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_PACKAGE):
            of_folder = [f"{node.module}.{alias.name}" for alias in node.names]
            known = [full for full in of_folder if full in sys.modules] or [str(node.module)]
            for module in (full[len(_PACKAGE) + 1 :] for full in known):
                if module not in texts:
                    _add(module, texts)
    texts[name] = text
