"""The whole role on a standby that runs and lets nobody in: the same process runs on, whatever is allowed."""

from __future__ import annotations

import pytest
from podman import wait_for
from standby_host import DATA
from story import Story, errors


@pytest.mark.usefixtures("healthy")
@pytest.mark.long
def test_a_play_leaves_one_with_hot_standby_off_alone(story: Story) -> None:
    story.sql("ALTER SYSTEM SET hot_standby = off")
    story.systemctl("restart")

    def says() -> bool:
        told = story.host.run(["sed", "-n", "8p", f"{DATA}/postmaster.pid"], check=False)
        return told.stdout.strip() == "standby"

    wait_for(says, "the server to replay")
    started = story.started
    for level in ("never", "same_cluster", "always"):
        run = story.play(overwrite=level)
        assert run.rc != 0, run.output
        assert errors(run) & {"hot_standby_off"}, run.output
        assert story.started == started
