"""The states that a host can be in, made for real, and what the play does about each: the same in check mode as then.

The states follow from each other as they would on a host that has a bad year. What is refused changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from conftest import BINDIR, DATA, HOST, STATE, Playbook, Run
from lab import Lab
from onhost import FAST
from podman import Host, wait_for

UNIT = "postgresql@15-main"
PLACES = f"{DATA} {FAST} {STATE} /etc/postgresql {DATA}.old {FAST}.old"
# Every name with its kind, owner, mode, size and time; every file with its contents; every link with its target.
LISTING = f"""\
set -e
places=$(ls -d {PLACES} 2>/dev/null || true)
[ -n "$places" ] || exit 0
find $places -printf '%p %y %u %m %s %T@ %l\\n' | sort
find $places -type f -print0 | sort -z | xargs -0r sha256sum
"""
# Nobody answers there; the recovery settings are the same.
WITHOUT_BARMAN = {"ssh_options": ["-p", "1"]}
ACTION = re.compile(rf'"{HOST} +(none|settings|start|rewind|delta|replace|resume|clone) ')
CODES = re.compile(r'"error_codes": \[([^\]]*)\]')
REWIND_RIGHTS = (
    "pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text),"
    " pg_read_binary_file(text, bigint, bigint, boolean)"
)


@dataclass
class Story:
    """One host and the plays on it."""

    lab: Lab
    host: Host
    playbook: Playbook

    def play(self, *arguments: str, **extra: object) -> Run:
        return self.playbook.run("--limit", HOST, *arguments, **{"wait_timeout": 60, **extra})

    def systemctl(self, verb: str) -> None:
        self.host.run(["systemctl", verb, UNIT], timeout=90)

    def sql(self, sql: str) -> str:
        argv = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, "postgres"]
        return self.host.run(argv, user="postgres").stdout.strip()

    def listing(self) -> str:
        return self.host.run(["bash", "-c", LISTING], timeout=120).stdout

    def becomes(self, action: str, **extra: object) -> Run:
        """Check mode changes nothing and names the action that the real run takes; then nothing is left to do."""
        before = self.listing() if not self.running else None
        checked = self.play("--check", "--diff", **extra)
        assert checked.rc == 0, checked.output
        assert said(checked) == action, checked.output
        if before is not None:
            assert self.listing() == before
        done = self.play(**extra)
        assert done.rc == 0, done.output
        assert said(done) == action, done.output
        assert (done.recap[HOST]["changed"] > 0) == (action != "none"), done.output
        again = self.play(**extra)
        assert (again.rc, again.recap[HOST]["changed"], said(again)) == (0, 0, "none"), again.output
        return done

    def refuses(self, *codes: str, **extra: object) -> Run:
        """In check mode and for real, with the same reasons, and the host is as it was."""
        started, before = self.started, self.listing() if not self.running else ""
        for arguments in (("--check",), ()):
            run = self.play(*arguments, **extra)
            assert run.rc != 0, run.output
            assert set(codes) <= errors(run), run.output
            assert run.recap[HOST]["changed"] == 0, run.output
        assert self.started == started
        if not started:
            assert self.listing() == before
        return run

    @property
    def running(self) -> bool:
        return bool(self.started)

    @property
    def started(self) -> str:
        """The server's process and the time it was started; empty when there is none."""
        return self.host.run(["cat", f"{DATA}/postmaster.pid"], check=False).stdout.split("\n/")[0]

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self.systemctl("stop")
        yield

    def promote(self, wal_log_hints: str = "on") -> None:
        """The standby becomes a primary of its own and goes its own way."""
        self.sql(f"ALTER SYSTEM SET wal_log_hints = {wal_log_hints}")
        self.systemctl("restart")
        self.sql("SELECT pg_promote()")
        self.sql("CREATE TABLE astray AS SELECT generate_series(1, 10000) AS n; CHECKPOINT")

    def archive_and_forget(self) -> None:
        """WAL is written that only Barman still has."""
        for _segment in range(4):
            self.lab.primary_sql(
                "CREATE TABLE IF NOT EXISTS ladder (t text); INSERT INTO ladder VALUES (repeat('x', 99))"
            )
            self.lab.primary_sql("SELECT pg_switch_wal()")
            self.lab.primary_sql("CHECKPOINT")


def said(run: Run) -> str:
    """The action in the report."""
    found = ACTION.search(run.output)
    return found.group(1) if found else ""


def errors(run: Run) -> set[str]:
    """The codes of all problems that a preflight told."""
    return {code.strip(' "\n') for codes in CODES.findall(run.output) for code in codes.split(",")}


@pytest.fixture(scope="module")
def story(lab: Lab) -> Iterator[Story]:
    lab.reset(HOST)
    yield Story(lab, lab.host(HOST), Playbook(lab))
    lab.reset(HOST)


@pytest.fixture
def empty(story: Story) -> None:
    """Nothing is there, and nothing runs."""
    story.lab.reset(HOST)


@pytest.fixture
def healthy(story: Story) -> None:
    """A standby that streams; it stays from test to test where it can."""
    if story.play().rc != 0:
        story.lab.reset(HOST)
        run = story.play()
        assert run.rc == 0, run.output


def test_an_empty_host(story: Story, empty: None) -> None:
    run = story.becomes("clone")
    assert "about" in run.output


@pytest.mark.usefixtures("healthy")
class TestStandby:
    def test_a_healthy_one_without_barman(self, story: Story) -> None:
        run = story.play(**WITHOUT_BARMAN)
        assert (run.rc, run.recap[HOST]["changed"]) == (0, 0), run.output

    def test_a_stopped_one(self, story: Story) -> None:
        story.systemctl("stop")
        story.becomes("start")

    def test_a_stopped_one_without_barman(self, story: Story) -> None:
        story.systemctl("stop")
        run = story.play(**WITHOUT_BARMAN)
        assert (run.rc, said(run)) == (0, "start"), run.output

    def test_a_wrong_upstream(self, story: Story) -> None:
        address = story.lab.primary.address
        story.host.run(
            ["sh", "-c", f"sed 's/^primary:/{address}:/' ~postgres/.pgpass >>~postgres/.pgpass.new"
             " && cat ~postgres/.pgpass.new >>~postgres/.pgpass && rm ~postgres/.pgpass.new"], user="postgres"
        )  # fmt: skip
        conninfo = {"host": address, "user": "replicator"}
        story.becomes("settings", upstream_conninfo=conninfo)
        story.becomes("settings")

    def test_a_slot_that_is_not_there(self, story: Story) -> None:
        slot = f"ladder_{HOST}"
        story.refuses("slot_absent", slot_name=slot)
        story.lab.primary_sql(f"SELECT pg_create_physical_replication_slot('{slot}', true)")
        try:
            story.becomes("settings", slot_name=slot)
            story.becomes("settings")
        finally:
            story.play()
            story.lab.primary_sql(f"SELECT pg_drop_replication_slot('{slot}')")

    def test_an_upstream_that_is_down(self, story: Story) -> None:
        story.refuses("upstream_unreachable", upstream_conninfo={"host": "primary", "port": 1, "user": "replicator"})

    def test_one_whose_wal_is_in_barman_only(self, story: Story) -> None:
        story.systemctl("stop")
        story.archive_and_forget()
        story.becomes("start")

    def test_one_whose_wal_is_gone(self, story: Story) -> None:
        story.systemctl("stop")
        story.archive_and_forget()
        needed = story.host.run([f"{BINDIR}/pg_controldata", DATA]).stdout
        first = re.search(r"REDO WAL file: +(\w+)", needed)
        assert first is not None
        with lost(story.lab.barman, first.group(1)):
            story.refuses("wal_missing")
        story.becomes("start")


@contextmanager
def lost(barman: Host, segment: str) -> Iterator[None]:
    """The archive is without the segment for a while."""
    barman.run(["barman", "archive-wal", "pg"], user="barman")
    path = barman.run(["find", "/var/lib/barman/pg/wals", "-name", segment]).stdout.strip()
    assert path
    aside = f"/var/lib/barman/{segment}.aside"
    barman.run(["mv", path, aside])
    try:
        yield
    finally:
        barman.run(["mv", aside, path])


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


@pytest.mark.usefixtures("empty")
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
    def test_an_unfinished_copy(self, story: Story, of_another_backup: bool) -> None:
        play = story.playbook.start("--limit", HOST, bwlimit=60000)
        try:
            wait_for(lambda: story.host.exists(f"{DATA}/PG_VERSION"), "the first files", 90)
            wait_for(lambda: story.host.exists(f"{DATA}/base/5"), "the first files", 30)
        finally:
            play.kill()
            play.communicate()
        story.host.run(["pkill", "-KILL", "-u", "postgres"], check=False)
        wait_for(lambda: story.host.run(["pgrep", "rsync"], check=False).returncode != 0, "the rsyncs' end")
        if of_another_backup:
            story.host.run(
                ["sed", "-i", 's/"backup_id": "[^"]*"/"backup_id": "20200101T000000"/', f"{STATE}/state.json"]
            )
        story.becomes("resume")


def test_the_upstreams_own_directory(lab: Lab, playbook: Playbook) -> None:
    started = lab.primary_sql("SELECT pg_postmaster_start_time()")
    options: dict[str, object] = {"data_directory": DATA, "service": UNIT, "host": "barman@barman", "server": "pg"}
    options.update(upstream_conninfo={"host": "primary", "user": "replicator"}, overwrite="always")
    for arguments in (("--check",), ()):
        run = playbook.run("--extra-vars=standby_from_barman_hosts=primary", *arguments, **options)
        assert run.rc != 0
        assert "primary_running" in errors(run), run.output
        assert run.recap["primary"]["changed"] == 0
    assert lab.primary_sql("SELECT pg_postmaster_start_time()") == started
