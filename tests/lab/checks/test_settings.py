"""Recovery settings on a real standby: where secrets go, what slots are made, how WAL comes, and what drift becomes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from clone_on_host import FAST
from podman import Host, wait_for
from standby_host import BINDIR, DATA, HOST, STATE
from story import Story

PGPASS = "/var/lib/postgresql/.pgpass"
SLOT = f"settings_{HOST}"
AUTO_CONF = f"{DATA}/postgresql.auto.conf"

# A standby of the primary on this very host, to be an upstream in its turn.
MIDDLE_PORT = "5433"
MIDDLE = f"""\
set -eu
data=/var/lib/postgresql/15/middle
{BINDIR}/pg_basebackup -h primary -U replicator -D $data -R -c fast --tablespace-mapping={FAST}=/var/tmp/middle
cat >$data/postgresql.conf <<END
port = {MIDDLE_PORT}
listen_addresses = '*'
max_connections = 120
max_wal_senders = 20
END
printf '%s\\n' 'local all all trust' 'host all,replication all all trust' >$data/pg_hba.conf
: >$data/pg_ident.conf
{BINDIR}/pg_ctl -D $data -w -l /var/tmp/middle.log start
"""
USED_SLOTS = "SELECT slot_name FROM pg_replication_slots WHERE active"

pytestmark = pytest.mark.usefixtures("healthy")


def slots(story: Story) -> str:
    """Its kind, whether it is in use, and whether it holds back WAL; nothing where it is not there."""
    question = "SELECT slot_type, active, restart_lsn IS NOT NULL FROM pg_replication_slots"
    return story.lab.primary_sql(f"{question} WHERE slot_name = '{SLOT}'")


def setting(story: Story, name: str) -> str:
    return story.sql(f"SHOW {name}")


class TestSlot:
    def test_is_made_reserved_and_used_and_dropped_on_request(self, story: Story) -> None:
        try:
            story.becomes("settings", slot_name=SLOT)
            assert slots(story) == "physical|t|t"
            assert setting(story, "primary_slot_name") == SLOT
            without = story.does("settings")
            assert f"Slot {SLOT} at primary:5432 was made for this standby" in without.output
            assert slots(story) != ""
            dropped = story.play(former_slots="drop")
            assert (dropped.rc, slots(story)) == (0, ""), dropped.output
            assert "was made for this standby" not in story.play().output
        finally:
            drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            story.lab.primary_sql(f"{drop} WHERE slot_name = '{SLOT}'")

    @pytest.mark.long
    def test_may_have_the_hosts_name(self, story: Story) -> None:
        try:
            story.does("settings", slot_name="auto")
            assert setting(story, "primary_slot_name") == HOST
        finally:
            story.play()
            story.lab.primary_sql(f"SELECT pg_drop_replication_slot('{HOST}')")

    @pytest.mark.long
    def test_does_not_outlive_a_run_that_fails(self, story: Story) -> None:
        # The settings come after the slot.
        story.systemctl("stop")
        run = story.play(slot_name=SLOT, settings={"nonsense": "1"})
        assert run.rc != 0
        assert "setting_invalid" in run.output
        assert slots(story) == ""
        story.does("start")

    @pytest.mark.long
    def test_of_an_upstream_that_is_itself_a_standby(self, story: Story) -> None:
        story.lab.reset(HOST)
        story.host.run(["bash", "-c", MIDDLE], user="postgres")
        conninfo = {"host": story.host.address, "port": MIDDLE_PORT, "user": "replicator"}
        try:
            story.does("clone", upstream_conninfo=conninfo, slot_name=SLOT)
            argv = ["psql", "-XAtq", "-p", MIDDLE_PORT, "-c", USED_SLOTS, "postgres"]
            assert story.host.run(argv, user="postgres").stdout.strip() == SLOT
        finally:
            story.lab.reset(HOST)


class TestPassword:
    @pytest.fixture
    def secret(self, story: Story) -> Iterator[str]:
        """The role's password, which the host does not know."""
        before = story.host.read(PGPASS)
        story.host.write(PGPASS, "*:*:app:app:other\n", owner="postgres", mode=0o600)
        yield story.lab.secrets["replicator"]
        story.host.write(PGPASS, before, owner="postgres", mode=0o600)
        story.play()

    @pytest.mark.long
    def test_is_kept_in_the_file_and_shown_nowhere(self, story: Story, secret: str) -> None:
        story.systemctl("stop")
        story.refuses("upstream_unreachable")
        for extra in ({"upstream_password": secret}, {}):
            story.play("-vvv", **extra)
        run = story.play("-vvv", "--diff", upstream_password=secret)
        assert run.rc == 0, run.output
        assert secret not in run.output
        line = f"primary:5432:replication:replicator:{secret}"
        assert story.host.read(PGPASS).splitlines() == ["*:*:app:app:other", line]
        assert story.host.run(["stat", "-c", "%U %a", PGPASS]).stdout.strip() == "postgres 600"
        assert secret not in setting(story, "primary_conninfo")
        assert f"passfile={PGPASS}" in setting(story, "primary_conninfo")
        assert story.play(upstream_password=secret).recap[HOST]["changed"] == 0
        assert secret not in story.host.run(["ps", "axww", "-o", "args"]).stdout

    @pytest.mark.long
    def test_may_be_in_the_conninfo(self, story: Story, secret: str) -> None:
        story.systemctl("stop")
        extra = {"upstream_password": secret, "use_primary_conninfo_password": True}
        run = story.play("-vvv", "--diff", **extra)
        assert run.rc == 0, run.output
        assert secret not in run.output
        assert f"password={secret}" in setting(story, "primary_conninfo")
        assert story.host.read(PGPASS) == "*:*:app:app:other\n"
        assert story.host.run(["stat", "-c", "%a", AUTO_CONF]).stdout.strip() == "600"
        assert story.play(**extra).recap[HOST]["changed"] == 0


class TestDrift:
    """By hand, in each of the ways there are; the server's process shows whether it was restarted."""

    def mended(self, story: Story, started: str, restarted: bool = False) -> None:
        run = story.play()
        assert (run.rc, run.recap[HOST]["changed"] > 0) == (0, True), run.output
        assert (story.started != started) == restarted
        assert story.play().recap[HOST]["changed"] == 0

    def test_alter_system(self, story: Story) -> None:
        started, command = story.started, setting(story, "restore_command")
        story.sql("ALTER SYSTEM SET restore_command = 'false'")
        story.sql("SELECT pg_reload_conf()")
        self.mended(story, started)
        assert setting(story, "restore_command") == command

    @pytest.mark.long
    def test_an_edited_file_that_nobody_has_loaded(self, story: Story) -> None:
        started = story.started
        story.host.run(["sed", "-i", "s/^restore_command.*/restore_command = 'false'/", AUTO_CONF])
        self.mended(story, started)

    def test_a_mended_file_that_nobody_has_loaded(self, story: Story) -> None:
        # What an interrupted run leaves behind.
        started, before, command = story.started, story.host.read(AUTO_CONF), setting(story, "restore_command")
        story.sql("ALTER SYSTEM SET restore_command = 'false'")
        story.sql("SELECT pg_reload_conf()")
        wait_for(lambda: setting(story, "restore_command") == "false", "the reload")
        story.host.write(AUTO_CONF, before, owner="postgres", mode=0o600)
        self.mended(story, started)
        assert setting(story, "restore_command") == command

    @pytest.mark.long
    def test_a_setting_that_needs_a_restart(self, story: Story) -> None:
        started = story.started
        story.sql("ALTER SYSTEM SET recovery_target_timeline = 'current'")
        self.mended(story, started)
        story.systemctl("restart")
        started = story.started
        story.sql("ALTER SYSTEM SET recovery_target_timeline = 'current'")
        story.systemctl("restart")
        self.mended(story, story.started, restarted=True)
        assert setting(story, "recovery_target_timeline") == "latest"

    def test_a_recovery_target_in_the_hosts_configuration(self, story: Story) -> None:
        path = "/etc/postgresql/15/main/conf.d/source.conf"
        story.systemctl("stop")
        story.host.write(path, "recovery_target_time = '2020-01-01'\narchive_mode = always\n", owner="postgres")
        try:
            story.does("start")
            assert (setting(story, "recovery_target_time"), setting(story, "archive_mode")) == ("", "on")
        finally:
            story.host.run(["rm", "-f", path])
            story.host.run(["sed", "-i", "/^recovery_target_time\\|^archive_mode/d", AUTO_CONF])
            story.systemctl("restart")
            story.play()

    def test_a_configuration_that_cannot_be_read(self, story: Story) -> None:
        path = "/etc/postgresql/15/main/conf.d/broken.conf"
        story.host.write(path, "nonsense here = 1\n", owner="postgres")
        try:
            before = story.host.read(AUTO_CONF)
            run = story.play(settings={"hot_standby_feedback": True})
            assert (run.rc != 0, "configuration_invalid" in run.output) == (True, True), run.output
            assert path in run.output
            assert story.host.read(AUTO_CONF) == before
        finally:
            story.host.run(["rm", path])

    def test_an_option_of_the_server(self, story: Story) -> None:
        story.systemctl("stop")
        argv = [f"{BINDIR}/pg_ctl", "-D", DATA, "-w", "-l", f"{STATE}/own.log"]
        options = "-c config_file=/etc/postgresql/15/main/postgresql.conf -c restore_command=false"
        story.host.run([*argv, "-o", options, "start"], user="postgres")
        try:
            wait_for(lambda: story.play().rc != 0 or None, "a refusal")
            assert "setting_overridden" in story.play().output
        finally:
            story.host.run([*argv, "-m", "fast", "stop"], user="postgres")
            story.systemctl("start")
            story.play()


class TestRestoreCommand:
    @contextmanager
    def without_script(self, host: Host) -> Iterator[None]:
        path = host.run(["sh", "-c", "command -v barman-wal-restore"]).stdout.strip()
        host.run(["mv", path, f"{path}.aside"])
        try:
            yield
        finally:
            host.run(["mv", f"{path}.aside", path])

    @pytest.mark.long
    def test_is_get_wal_where_the_script_is_missing(self, story: Story) -> None:
        with self.without_script(story.host):
            run = story.play()
            assert run.rc == 0, run.output
            assert "not installed on this host" in run.output
            command = setting(story, "restore_command")
            assert "get-wal" in command
            story.systemctl("stop")
            story.archive_and_forget()
            story.does("start")
        assert story.play().recap[HOST]["changed"] > 0
        assert "barman-wal-restore" in setting(story, "restore_command")

    @pytest.mark.long
    def test_has_switches_of_the_script(self, story: Story) -> None:
        story.systemctl("stop")
        story.archive_and_forget()
        story.does("start", restore_jobs=2, restore_compression="gzip")
        assert "--parallel 2 --gzip" in setting(story, "restore_command")
        story.play()


@pytest.mark.long
class TestConfigurationOfTheBackup:
    """Debian keeps it outside of the data directory, and Barman's rsync backups bring the primary's into it."""

    def test_what_came_along_is_moved_aside(self, story: Story) -> None:
        found = story.host.run(["sh", "-c", f"ls {DATA}/*.conf"]).stdout.split()
        assert found == [AUTO_CONF]

    def test_it_may_take_the_place_of_the_hosts(self, story: Story) -> None:
        story.lab.reset(HOST)
        run = story.play(config_files="from_backup")
        assert run.rc == 0, run.output
        assert setting(story, "config_file") == "/etc/postgresql/15/main/postgresql.conf"
        assert setting(story, "data_directory") == DATA
        aside = story.host.run(["ls", f"{STATE}/from_backup"]).stdout.split()
        assert {"postgresql.conf", "pg_hba.conf", "postgresql.conf.local"} <= set(aside)
        assert story.play(config_files="from_backup").recap[HOST]["changed"] == 0
        story.lab.reset(HOST)
