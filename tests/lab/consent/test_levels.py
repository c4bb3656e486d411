"""States in which the host holds what this collection has not made: nothing happens without consent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from clone_on_host import FAST
from copies_under_way import HALF_WAY, TWO_WORKERS
from held import Held
from lab import Lab
from podman import wait_for
from standby_host import DATA, HOST, STATE
from story import Story, errors

pytestmark = pytest.mark.long

REWIND_RIGHTS = (
    "pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text),"
    " pg_read_binary_file(text, bigint, bigint, boolean)"
)


@pytest.mark.usefixtures("healthy")
class TestFormerPrimary:
    """A standby that was promoted by mistake, or a primary that has failed and come back."""

    def test_that_runs_is_refused_at_every_level(self, story: Story) -> None:
        story.promote()
        for level in ("never", "same_cluster", "always"):
            story.refuses("primary_running", overwrite=level)
        story.systemctl("stop")
        story.refuses("cluster_diverged")
        story.becomes("delta", overwrite="same_cluster")

    def test_has_no_use_for_a_backup_of_what_it_has_left(self, story: Story) -> None:
        """A second standby on this host would have to follow it from a backup that was taken after the fork."""
        story.promote()
        story.lab.backup()
        fork = {"host": "/var/run/postgresql", "user": "postgres"}
        mapping = {FAST: "/srv/second/fast"}
        second = {"data_directory": "/srv/second/data", "service": "", "tablespace_mapping": mapping}
        before = story.sql("SELECT pg_postmaster_start_time()")
        for arguments in (("--check",), ()):
            run = story.play(*arguments, upstream_conninfo=fork, **second)
            assert run.rc != 0
            assert "timeline_not_ancestor" in errors(run), run.output
            assert run.recap[HOST]["changed"] == 0, run.output
        assert not story.host.exists("/srv/second")
        assert story.sql("SELECT pg_postmaster_start_time()") == before
        story.systemctl("stop")
        story.play(overwrite="same_cluster")

    def test_without_hint_bits_gets_a_delta(self, story: Story) -> None:
        with rewinding(story.lab):
            story.promote(wal_log_hints="off")
            story.systemctl("stop")
            run = story.becomes("delta", overwrite="same_cluster")
        assert "wal_log_hints" in run.output

    def test_with_hint_bits_is_rewound(self, story: Story) -> None:
        with rewinding(story.lab):
            story.promote()
            story.systemctl("stop")
            story.refuses("cluster_diverged", overwrite="pristine")
            story.becomes("rewind", overwrite="same_cluster")
        assert story.sql("SELECT to_regclass('astray') IS NULL") == "t"

    def test_a_standby_of_somebody_else_is_only_taken_over_with_consent(self, story: Story) -> None:
        story.systemctl("stop")
        story.host.run(["rm", "-rf", STATE])
        story.refuses("cluster_not_ours")
        story.becomes("start", overwrite="same_cluster")


@contextmanager
def rewinding(lab: Lab) -> Iterator[None]:
    """The replication user may be pg_rewind's, too."""
    lab.primary_sql(f"GRANT EXECUTE ON FUNCTION {REWIND_RIGHTS} TO replicator")
    try:
        yield
    finally:
        lab.primary_sql(f"REVOKE EXECUTE ON FUNCTION {REWIND_RIGHTS} FROM replicator")


@pytest.mark.usefixtures("bare")
class TestOtherThings:
    def test_what_the_package_has_installed(self, story: Story) -> None:
        story.host.run(["pg_createcluster", "15", "main"])
        story.systemctl("start")
        story.refuses("data_directory_pristine")
        story.becomes("replace", overwrite="pristine")

    def test_what_looks_new_and_is_used(self, story: Story) -> None:
        story.host.run(["pg_createcluster", "15", "main"])
        story.systemctl("start")
        story.sql("CREATE ROLE app")
        for level in ("pristine", "always"):
            story.refuses("server_running", overwrite=level)
        story.systemctl("stop")
        story.refuses("data_directory_cluster", overwrite="same_cluster")
        story.becomes("replace", overwrite="always")

    def test_another_cluster_is_kept_on_request(self, story: Story) -> None:
        story.host.run(["pg_createcluster", "15", "main"])
        story.systemctl("start")
        story.sql("CREATE ROLE app")
        story.refuses("server_running", overwrite="always")
        story.systemctl("stop")
        story.becomes("clone", overwrite="always", keep_old=True)
        assert story.host.exists(f"{DATA}.old/global/pg_control")
        story.host.run(["rm", "-rf", f"{DATA}.old"])

    def test_what_is_not_postgresqls(self, story: Story) -> None:
        story.host.run(["install", "-d", "-o", "postgres", f"{DATA}/photos"])
        story.refuses("data_directory_foreign", overwrite="always")

    @pytest.mark.parametrize("of_another_backup", [False, True], ids=["of this backup", "of another backup"])
    def test_an_unfinished_copy(self, story: Story, hold: Held, of_another_backup: bool) -> None:
        hold.after(HALF_WAY)
        play = story.playbook.start("--limit", HOST, **TWO_WORKERS)
        try:
            for name in ("PG_VERSION", "base/5"):
                wait_for(lambda name=name: story.host.exists(f"{DATA}/{name}"), name)
            hold.wait(play)
        finally:
            play.kill()
            play.communicate()
        story.host.run(["pkill", "-KILL", "-u", "postgres"], check=False)
        hold.go_on()
        wait_for(lambda: story.host.run(["pgrep", "rsync"], check=False).returncode != 0, "the rsyncs' end")
        if of_another_backup:
            story.host.run(
                ["sed", "-i", 's/"backup_id": "[^"]*"/"backup_id": "20200101T000000"/', f"{STATE}/state.json"]
            )
        story.becomes("resume")
