"""I1: between any two tasks of the role that act on the host no server starts on a cluster that is not whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from clone_on_host import Clone, recorded_as
from play import Run
from podman import BOUND
from standby_host import BINDIR, DATA
from story import Story, said

# Tries to start a server there, as a hasty administrator does, with a configuration that is not to blame; says what
# came of it, and stops the server again.
PROBE = "/opt/pgfleet-probe"
TRY = f"""\
#!/bin/sh
rm -f /tmp/hasty.log
if {BINDIR}/pg_ctl start --wait --timeout={BOUND:.0f} --pgdata=/tmp/hasty --log=/tmp/hasty.log >/dev/null 2>&1; then
    psql -XAtqc "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END" -p 6000 postgres
    {BINDIR}/pg_ctl stop --wait --mode=fast --silent --pgdata={DATA}
else
    grep -m 1 FATAL /tmp/hasty.log || cat /tmp/hasty.log
fi
"""
# What a killed pg_rewind leaves: a closed directory with a pg_control and without a signal file, on record as that.
KILLED_REWIND = f"""\
set -eu
rm {DATA}/standby.signal
{recorded_as("rewinding")}
chmod 0702 {DATA}
"""
# What a killed copy leaves.
KILLED_COPY = f"""\
set -eu
rm {DATA}/global/pg_control
{recorded_as("copying")}
"""
COPY = "Clone | Copy the files, pg_control last"


@dataclass
class Boundaries:
    """Plays on the host with an attempt to start a server after each of their tasks there."""

    story: Story
    log: Path

    def play(self, **extra: object) -> tuple[Run, list[tuple[str, str]]]:
        self.log.write_text("")
        run = self.story.play(**extra)
        notes = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        return run, [(note["task"], note["said"]) for note in notes]

    def leave(self, script: str) -> None:
        """A standby of ours, stopped, to which that has happened."""
        self.story.heal()
        self.story.systemctl("stop")
        self.story.host.run(["sh", "-c", script], user="postgres")


@pytest.fixture
def boundaries(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Boundaries:
    clone = Clone(story.lab, story.host)
    clone.options = {"backup": {"server": "pg"}}
    clone.prepare_hasty_start()
    story.host.write(PROBE, TRY, mode=0o755)
    log = tmp_path / "boundaries"
    monkeypatch.setenv("ANSIBLE_CALLBACK_PLUGINS", str(Path(__file__).parent / "boundaries"))
    monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "task_boundaries")
    monkeypatch.setenv("TASK_BOUNDARY_COMMAND", json.dumps(story.host.command([PROBE], "postgres")))
    monkeypatch.setenv("TASK_BOUNDARY_LOG", str(log))
    return Boundaries(story, log)


def split(notes: list[tuple[str, str]], task: str) -> tuple[list[str], list[str]]:
    """What was said before a task had ended, and from then on."""
    names = [name for name, _said in notes]
    assert task in names, names
    index = names.index(task)
    return [said for _name, said in notes[:index]], [said for _name, said in notes[index:]]


@pytest.mark.parametrize(
    ("script", "why", "action"),
    [
        pytest.param(
            KILLED_REWIND, "has invalid permissions", "delta", id="after a killed rewind", marks=pytest.mark.long
        ),
        pytest.param(KILLED_COPY, "could not find the database system", "resume", id="after a killed copy"),
    ],
)
def test_no_server_starts_before_the_copy_is_complete(
    boundaries: Boundaries, script: str, why: str, action: str
) -> None:
    boundaries.leave(script)
    run, notes = boundaries.play(overwrite="same_cluster")
    assert (run.rc, said(run)) == (0, action), run.output
    before, after = split(notes, COPY)
    assert len(before) > 6
    assert [text for text in before if why not in text] == [], notes
    assert "primary" not in after, notes
    assert "standby" in after, notes


def test_a_play_that_fails_leaves_the_directory_closed(boundaries: Boundaries) -> None:
    """It fails after the directories were looked after, at the claim on the backup."""
    boundaries.leave(KILLED_REWIND)
    run, notes = boundaries.play(overwrite="same_cluster", keep_expiry="no time")
    assert run.rc != 0, run.output
    names = [name for name, _said in notes]
    assert "Clone | Make the directories" in names, names
    assert [text for _name, text in notes if "has invalid permissions" not in text] == [], notes
    assert boundaries.story.host.run(["stat", "--format=%a", DATA]).stdout == "702\n"


@pytest.mark.long
def test_what_a_rewind_has_left_starts_as_a_standby_only(boundaries: Boundaries) -> None:
    boundaries.story.heal()
    boundaries.story.promote()
    boundaries.story.systemctl("stop")
    run, notes = boundaries.play(overwrite="same_cluster")
    assert run.rc == 0, run.output
    action = said(run)
    assert action in ("rewind", "delta"), run.output
    _before, after = split(notes, {"rewind": "Rewind | Undo what the upstream never had"}.get(action, COPY))
    assert "primary" not in after, notes
