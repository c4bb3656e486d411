"""The collection's modules run on a lab host, without a controller between."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import Lab
from podman import Host

ROOT = Path(__file__).resolve().parents[2]
PLACE = "/opt/pgfleet-test"
PLUGINS = "lib/ansible_collections/pgfleet/standby/plugins"
COLLECTION = f"{PLACE}/{PLUGINS}"


@functools.cache
def program() -> bytes:
    """An archive of the collection's modules, and of what they need of Ansible."""
    spec = importlib.util.find_spec("ansible")
    assert spec is not None
    assert spec.origin is not None
    parts = {
        Path(spec.origin).parent / "module_utils": "lib/ansible/module_utils",
        **{ROOT / "plugins" / part: f"{PLUGINS}/{part}" for part in ("modules", "module_utils")},
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for source, target in parts.items():
            tar.add(source, target, filter=without_bytecode)
        tar.addfile(tarfile.TarInfo("lib/ansible/__init__.py"))
    return archive.getvalue()


def without_bytecode(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name.endswith(("__pycache__", ".pyc")) else member


@dataclass
class Modules:
    """The modules as they are in the checkout, for the host's database user."""

    lab: Lab
    host: Host

    def install(self) -> None:
        mark = f"{PLACE}/{hashlib.sha256(program()).hexdigest()}"
        if self.host.exists(mark):
            return
        self.host.run(["rm", "-rf", PLACE])
        self.host.run(["mkdir", PLACE])
        self.host.run(["tar", "--extract", "--no-same-owner", "--directory", PLACE], input=program())
        # Compiled once, and not in each of some thousand calls by a user who may not write here.
        self.host.run(["python3", "-m", "compileall", "-q", PLACE])
        self.host.run(["chmod", "-R", "a+rX", PLACE])
        self.host.run(["touch", mark])

    def argv(self, module: str, options: dict[str, Any], *prefix: str) -> list[str]:
        """The command that runs a module in the host, its options in the environment."""
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": options})
        env = ["env", f"PYTHONPATH={PLACE}/lib", f"OPTIONS={arguments}"]
        program = f"{COLLECTION}/modules/{module}.py"
        # The options come in a file: a module takes them as its first argument.
        shell = (
            'file=$(mktemp) && printf %s "$OPTIONS" >"$file" && python3 "$0" "$file"; rc=$?; rm -f "$file"; exit $rc'
        )
        return [*env, *prefix, "sh", "-c", shell, program]

    def module(self, module: str, **options: Any) -> dict[str, Any]:
        """Run a module as the database's user to its end; its result, whether it failed or not."""
        return self.module_as("postgres", module, **options)

    def module_as(self, user: str, module: str, /, **options: Any) -> dict[str, Any]:
        """The same as another user."""
        done = self.host.run(self.argv(module, options), user=user, check=False)
        return self._result(done.stdout, done.stderr)

    @staticmethod
    def _result(out: str, err: str) -> dict[str, Any]:
        lines = [line for line in out.splitlines() if line.startswith("{")]
        assert lines, f"no result: {out}{err}"
        return dict(json.loads(lines[-1]))
