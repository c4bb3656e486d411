"""The examples of the documentation run as they are written, in the order in which a reader would use them."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest
import yaml
from lab import Lab
from play import PLAY_SECONDS, Playbook
from standby_host import DATA, HOST, ROOT

# On an empty host, then on the clone that the examples made, then on the running standby.
BEFORE = (
    "barman_server_info",
    "barman_backup_info",
    "pgdata_info",
    "standby_preflight",
    "standby_directories",
    "standby_clone",
)


# What the examples name and no lab has, and what it has instead.
NOT_HERE = {
    "2026-11-21T09:30:00+01:00": "2100-01-01T00:00:00Z",
    "backup_id: before-upgrade": "backup_id: latest",
    "backup.example.com": "barman",
    "primary.example.com": "primary",
}


def examples(module: str) -> list[dict[str, object]]:
    """The tasks in a plugin's EXAMPLES."""
    path = next((ROOT / "plugins").rglob(f"{module}.py"))
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLES":
            return yaml.safe_load(ast.literal_eval(node.value))
    raise AssertionError(f"{module} has no EXAMPLES")


def play_of_the_readme() -> dict[str, object]:
    """The play that shows module_defaults."""
    blocks = (ROOT / "README.md").read_text(encoding="utf-8").split("```yaml\n")[1:]
    [text] = [block.partition("```")[0] for block in blocks if "module_defaults:" in block]
    [play] = yaml.safe_load(text)
    return {**play, "hosts": HOST, "gather_facts": False}


def task(module: str, **options: object) -> dict[str, object]:
    return {"name": f"Between the examples: {module}", f"ansible.builtin.{module}": options}


@pytest.mark.usefixtures("empty")
@pytest.mark.long
def test_every_example_runs(lab: Lab, playbook: Playbook, tmp_path: Path) -> None:
    recovery = examples("standby_recovery")
    directories = [f"{path}" for path in ("/var/lib/postgresql/15", DATA, "/srv/tablespaces/fast")]
    tasks = [
        *[task("file", path=path, state="directory", owner="postgres", mode="0700") for path in directories],
        *[example for module in BEFORE for example in examples(module)],
        task("command", argv=["pg_createcluster", "--datadir=/srv/initdb", "15", "main"]),
        task("command", argv=["pg_conftool", "15", "main", "set", "data_directory", DATA]),
        task("command", argv=["pg_conftool", "15", "main", "set", "max_connections", "120"]),
        task("command", argv=["pg_conftool", "15", "main", "set", "max_wal_senders", "20"]),
        recovery[0],
        *examples("standby_server"),
        *examples("standby_info"),
        *examples("standby_drift_info"),
        recovery[1],
        *examples("standby_report"),
    ]
    play = {
        "hosts": HOST,
        "gather_facts": False,
        "vars": {"standby_from_barman_report": [{"host": HOST, "state": "streaming"}]},
        "tasks": tasks,
    }
    path = tmp_path / "examples.yml"
    text = yaml.safe_dump([play, play_of_the_readme()], sort_keys=False)
    for theirs, ours in NOT_HERE.items():
        assert theirs in text
        text = text.replace(theirs, ours)
    path.write_text(text)
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={lab.inventory}", str(path)],
        capture_output=True,
        text=True,
        timeout=PLAY_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
