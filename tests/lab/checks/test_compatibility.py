"""What host and upstream tell about themselves, against what real servers then do.

The lab's primary is asked as it is. What would change it is done to an upstream of our own, on the standby's host.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from clone_on_host import PLACE, Clone
from lab import Lab
from podman import Host, wait_for
from standby_host import BINDIR, HOST

WORK = "/tmp/suit"
UTILS = "ansible_collections.pgfleet.standby.plugins.module_utils"
PRELUDE = f"""\
import json, sys, time
from dataclasses import asdict
from {UTILS}._checks import compatibility as judge_of, host_facts as _host, slot as _slot
from {UTILS}._commands.command import SshShell
from {UTILS}._postgres.connect import identify
from {UTILS}._postgres.facts import UpstreamFacts
from {UTILS}._postgres.upstream_facts import read_facts as ask, slot_by_replication
globals().update(json.loads(sys.argv[1]))
print(json.dumps({{}}, default=lambda value: asdict(value) if hasattr(value, "__dataclass_fields__") else list(value)))
"""
PRIMARY = {"host": "primary", "user": "replicator", "application_name": HOST}
OWN = {"host": WORK, "port": "6001", "application_name": HOST}

# All that one examination asks, in the order in which it would.
EXAMINE = """(
    started := time.monotonic(),
    facts := ask(keywords, slot, name),
    verdicts := _slot.slot("primary", slot, facts, False)
    + _slot.slot_wal_limit("primary", slot, facts, 0)
    + judge_of.walsenders("primary", facts, name, False)
    + judge_of.application_name("primary", name, facts, False)
    + judge_of.collations("primary", facts.collations, _host.collation_versions(
        bindir, [(c.provider, c.locale) for c in facts.collations]))
    + judge_of.locales(facts.databases, _host.missing_locales(
        {name for d in facts.databases for name in (d.collate, d.ctype)}))
    + judge_of.preload("primary", "", (), facts.preload, _host.missing_libraries(
        _host.library_directory(bindir), facts.preload or ()))
    + judge_of.architecture("primary", _host.machine(), facts.machine)
    + judge_of.block_sizes(_host.compiled_block_sizes(bindir), facts.block_sizes)
    + judge_of.ownership(places := _host.places({"data_directory": "/var/lib/postgresql/15/main"}), False, 15)
    + judge_of.selinux(_host.selinux_enforcing(), places)
    + judge_of.inodes({"/srv": 10}, {"/srv": _host.free_inodes("/srv")})
    + judge_of.clocks({"primary": facts.clock, "barman": _host.clock(SshShell("barman@barman"))}),
    time.monotonic() - started,
)[-2:]"""


class Upstream:
    """A server of our own with few slots and senders, reached through a socket."""

    SETTINGS = """\
listen_addresses = ''
unix_socket_directories = '/tmp/suit'
port = 6001
fsync = off
wal_level = logical
max_wal_senders = 2
max_replication_slots = 3
max_slot_wal_keep_size = 1MB
min_wal_size = 2MB
max_wal_size = 2MB
wal_keep_size = 0
"""
    HBA = """\
local all postgres trust
local all suit_sql trust
local replication all trust
"""

    def __init__(self, host: Host) -> None:
        self.host = host

    def make(self) -> None:
        self.host.run(["rm", "-rf", WORK])
        self.host.run(["install", "-d", "-m", "700", "-o", "postgres", WORK])
        options = ["--auth=trust", "--no-sync", "--locale=C.UTF-8", "--wal-segsize=1"]
        self.host.run([f"{BINDIR}/initdb", "-D", f"{WORK}/data", *options], user="postgres")
        self.host.write(f"{WORK}/data/pg_hba.conf", self.HBA, owner="postgres", mode=0o600)
        self.configure(self.SETTINGS)
        self.start()
        self.sql("CREATE ROLE suit_sql LOGIN REPLICATION; CREATE ROLE suit_replication LOGIN REPLICATION")

    def configure(self, settings: str) -> None:
        self.host.write(f"{WORK}/data/postgresql.auto.conf", settings, owner="postgres", mode=0o600)

    def pg_ctl(self, action: str, *env: str, check: bool = True) -> tuple[int, str]:
        self.host.run(["rm", "-f", f"{WORK}/log"])
        argv = ["env", *env, f"{BINDIR}/pg_ctl", action, "-w", "-t", "30", "-D", f"{WORK}/data", "-l", f"{WORK}/log"]
        done = self.host.run([*argv, *(["-m", "fast"] if action != "start" else [])], user="postgres", check=False)
        log = self.host.run(["cat", f"{WORK}/log"], check=False).stdout
        assert done.returncode == 0 or not check, log
        return done.returncode, log

    def start(self, *env: str) -> None:
        self.pg_ctl("start", *env)

    def try_sql(self, sql: str, database: str = "postgres") -> subprocess.CompletedProcess[str]:
        argv = [f"{BINDIR}/psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", WORK, "-p", "6001", "-d", database]
        return self.host.run([*argv, "-f", "-"], user="postgres", input=sql, check=False)

    def sql(self, sql: str) -> str:
        done = self.try_sql(sql)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def lose(self, slot: str) -> None:
        """Write more WAL than is kept for the slot."""
        self.sql(f"SELECT pg_create_physical_replication_slot('{slot}', true)")
        for _turn in range(6):
            self.sql("SELECT pg_logical_emit_message(false, 'suit', 'x'), pg_switch_wal()")
        self.sql("CHECKPOINT")
        status = self.sql(f"SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{slot}'")
        assert status == "lost"


@pytest.fixture(scope="module")
def clone(lab: Lab) -> Iterator[Clone]:
    lab.reset(HOST)
    yield Clone.on(lab)
    lab.reset(HOST)


@pytest.fixture(scope="module")
def own(clone: Clone) -> Iterator[Upstream]:
    upstream = Upstream(clone.host)
    upstream.make()
    yield upstream
    upstream.pg_ctl("stop", check=False)
    clone.host.run(["rm", "-rf", WORK])


@pytest.fixture
def here(clone: Clone):
    """Evaluates an expression on the standby's host as its database user."""

    def evaluate(expression: str, *env: str, **given: object) -> Any:
        argv = ["env", *env, f"PYTHONPATH={PLACE}/lib", "python3", "-c", PRELUDE.replace("{}", expression, 1)]
        done = clone.host.run([*argv, json.dumps({"bindir": BINDIR, **given})], user="postgres")
        return json.loads(done.stdout)

    return evaluate


def codes(verdicts: list[dict[str, Any]]) -> list[str]:
    return [verdict["error_code"] for verdict in verdicts if verdict["severity"] != "ok"]


def own_slots(here: Any, slot: str, user: str = "suit_sql") -> list[dict[str, Any]]:
    keywords = {**OWN, "user": user}
    return here("_slot.slot('own', slot, ask(keywords, slot, 'x'), False)", keywords=keywords, slot=slot)


# --- the lab's primary ----------------------------------------------------------------


def test_a_healthy_host_suits(here, lab):
    lab.primary_sql("SELECT pg_create_physical_replication_slot('suit_free')")
    try:
        [verdicts, _seconds] = here(EXAMINE, keywords=PRIMARY, slot="suit_free", name="suit_name")
    finally:
        lab.primary_sql("SELECT pg_drop_replication_slot('suit_free')")
    assert codes(verdicts) == [], verdicts


def test_the_primary_tells_what_an_unprivileged_role_may_see(here, lab):
    facts = here("ask(keywords, 'suit_none', 'suit_name')", keywords=PRIMARY)
    assert (facts["max_wal_senders"], facts["max_replication_slots"], facts["max_slot_wal_keep_size"]) == (20, 20, -1)
    assert facts["slots_in_use"] == int(lab.primary_sql("SELECT count(*) FROM pg_replication_slots"))
    assert facts["slot"]["kind"] == "absent"
    assert facts["preload"] is None
    assert facts["block_sizes"] == here("_host.compiled_block_sizes(bindir)")
    assert facts["machine"] == here("_host.machine()")
    assert {database["collate"] for database in facts["databases"]} == {"C.UTF-8"}
    assert "bench" in [database["name"] for database in facts["databases"]]


def test_a_slot_that_somebody_receives_by(here, lab, clone):
    lab.primary_sql("SELECT pg_create_physical_replication_slot('suit_active', true)")
    clone.host.run(["install", "-d", "-o", "postgres", "/tmp/suit-wal"])
    receive = "cd /tmp/suit-wal; echo $$; exec pg_receivewal -D . -S suit_active -d 'host=primary user=replicator'"
    argv = clone.host.command(["sh", "-c", receive], "postgres")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=clone.host.podman.env) as receiver:
        pid = receiver.stdout.readline().strip()
        try:
            active = "SELECT active FROM pg_replication_slots WHERE slot_name = 'suit_active'"
            wait_for(lambda: lab.primary_sql(active) == "t", "pg_receivewal to receive")
            question = "ask(keywords, 'suit_active', 'pg_receivewal')"
            facts = here(question, keywords=PRIMARY)
            verdicts = here(f"_slot.slot('primary', 'suit_active', {question}, False)", keywords=PRIMARY)
            named = here(f"judge_of.application_name('primary', 'pg_receivewal', {question}, False)", keywords=PRIMARY)
            by_replication = here("slot_by_replication(keywords, 'suit_active')", keywords=PRIMARY)
        finally:
            clone.host.run(["kill", pid], check=False)
    wait_for(lambda: lab.primary_sql(active) == "f", "pg_receivewal to go")
    lab.primary_sql("SELECT pg_drop_replication_slot('suit_active')")
    clone.host.run(["rm", "-rf", "/tmp/suit-wal"])
    assert facts["slot"]["active"] is True
    assert facts["slot"]["application_name"] == "pg_receivewal"
    assert facts["slot"]["client_addr"] == clone.host.address
    assert codes(verdicts) == ["slot_active"]
    assert f"pg_receivewal at {clone.host.address}" in verdicts[0]["msg"]
    assert codes(named) == ["application_name_taken"]
    assert by_replication["slot"]["kind"] == "physical"
    assert by_replication["slot"]["active"] is None


def test_a_password_for_replication_only(here, lab, clone):
    lab.primary_sql("CREATE ROLE suit_replication LOGIN REPLICATION PASSWORD 'suit_Geh3im'")
    try:
        line = "primary:5432:replication:suit_replication:suit_Geh3im\n"
        clone.host.write("/tmp/suit.pgpass", line, owner="postgres", mode=0o600)
        keywords = {**PRIMARY, "user": "suit_replication", "passfile": "/tmp/suit.pgpass"}
        reason = here("ask(keywords, 'suit_none', 'suit_name')", keywords=keywords)
        known = here("slot_by_replication(keywords, 'suit_none')", keywords=keywords)
        denied = "judge_of.sql_denied('primary', ask(keywords, None, ''), 'n', slot_by_replication(keywords, 'n'))"
        verdicts = here(denied, keywords=keywords)
    finally:
        lab.primary_sql("DROP ROLE suit_replication")
        clone.host.run(["rm", "-f", "/tmp/suit.pgpass"])
    assert "no password supplied" in reason
    assert "\n" not in reason
    assert known["slot"] == {**known["slot"], "name": "suit_none", "kind": "absent"}
    assert (known["max_wal_senders"], known["max_replication_slots"]) == (20, 20)
    assert codes(verdicts) == ["upstream_sql_denied"]
    assert verdicts[0]["severity"] == "warning"


def test_a_role_that_does_not_exist(here):
    reason = here("ask(keywords, None, '')", keywords={**PRIMARY, "user": "suit_nobody"})
    assert "suit_nobody" in reason or "no password" in reason


def test_our_own_replication_login_does_not_count(here):
    """Whoever asks right after identify must not take its walsender for another standby."""
    name = "suit_identify"
    keywords = {**PRIMARY, "application_name": name}
    facts = here(
        "(identify(keywords), ask(keywords, None, name))[1]",
        keywords=keywords,
        name=name,
    )
    assert name not in [sender["application_name"] for sender in facts["senders"]]


# --- an upstream of our own -----------------------------------------------------------


class TestOwnUpstream:
    @pytest.fixture(autouse=True)
    def _no_slots(self, own):
        yield
        own.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")

    def test_denied_by_pg_hba(self, here, own):
        keywords = {**OWN, "user": "suit_replication"}
        assert "no pg_hba.conf entry" in here("ask(keywords, None, '')", keywords=keywords)
        own.sql("SELECT pg_create_physical_replication_slot('suit_there')")
        known = here("[slot_by_replication(keywords, n) for n in ('suit_there', 'suit_none')]", keywords=keywords)
        assert [facts["slot"]["kind"] for facts in known] == ["physical", "absent"]
        assert [facts["max_replication_slots"] for facts in known] == [3, 3]

    def test_a_logical_slot(self, here, own):
        own.sql("SELECT pg_create_logical_replication_slot('suit_logical', 'pgoutput')")
        assert codes(own_slots(here, "suit_logical")) == ["slot_logical"]
        known = here("slot_by_replication(keywords, 'suit_logical')", keywords={**OWN, "user": "suit_replication"})
        assert known["slot"]["kind"] == "logical"

    def test_a_lost_slot(self, here, own):
        own.lose("suit_lost")
        assert codes(own_slots(here, "suit_lost")) == ["slot_lost"]

    def test_no_slot_is_left(self, here, own):
        for number in range(3):
            assert codes(own_slots(here, "suit_wanted")) == ["slot_absent"]
            own.sql(f"SELECT pg_create_physical_replication_slot('suit_{number}')")
        assert codes(own_slots(here, "suit_wanted")) == ["slots_exhausted"]
        assert own.try_sql("SELECT pg_create_physical_replication_slot('suit_wanted')").returncode != 0

    def test_wal_is_kept_up_to_a_limit(self, here):
        keywords = {**OWN, "user": "suit_sql"}
        judged = "_slot.slot_wal_limit('own', 'n', ask(keywords, 'n', 'n'), size)"
        assert codes(here(judged, keywords=keywords, size=1 << 20)) == []
        assert codes(here(judged, keywords=keywords, size=(1 << 20) + 1)) == ["slot_wal_limit"]

    def test_no_sender_is_left(self, here, own):
        keywords = {**OWN, "user": "suit_sql"}
        judged = "judge_of.walsenders('own', ask(keywords, None, 'suit_name'), 'suit_name', False)"
        assert codes(here(judged, keywords=keywords)) == []
        held = (
            "(psycopg2 := __import__('psycopg2.extras'), held := [psycopg2.connect(host=keywords['host'], port=6001,"
            " user='suit_sql', connection_factory=psycopg2.extras.PhysicalReplicationConnection) for _ in '12'],"
            f" {judged})[-1]"
        )
        assert codes(here(held, keywords=keywords)) == ["walsenders_exhausted"]

    def test_icu_is_of_the_version_that_the_server_says(self, here, own):
        own.sql("CREATE DATABASE suit_icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk'")
        own.sql('CREATE TABLE suit_text (a text COLLATE "sv-x-icu" PRIMARY KEY)')
        try:
            facts = here("ask(keywords, None, '')", keywords={**OWN, "user": "suit_sql"})
            used = {(c["provider"], c["locale"]): c["actual"] for c in facts["collations"]}
            assert set(used) == {("i", "de-u-co-phonebk"), ("i", "sv")}
            for (provider, locale), version in used.items():
                asked = "_host.collation_versions(bindir, [(provider, locale)]).popitem()[1]"
                assert here(asked, provider=provider, locale=locale) == version
            judged = (
                "judge_of.collations('own', (f := ask(keywords, None, '')).collations, _host.collation_versions(bindir,"
                " [(c.provider, c.locale) for c in f.collations]))"
            )
            assert codes(here(judged, keywords={**OWN, "user": "suit_sql"})) == []
            own.sql("UPDATE pg_database SET datcollversion = '1' WHERE datlocprovider = 'i'")
            assert codes(here(judged, keywords={**OWN, "user": "suit_sql"})) == ["collation_version_differs"]
        finally:
            own.sql("DROP TABLE suit_text")
            own.sql("DROP DATABASE suit_icu")

    def test_the_libraries_that_an_upstream_preloads(self, here, own):
        own.sql("GRANT pg_read_all_settings TO suit_sql")
        own.pg_ctl("stop")
        own.configure(f"{own.SETTINGS}shared_preload_libraries = 'pg_stat_statements,auto_explain'\n")
        own.start()
        try:
            facts = here("ask(keywords, None, '')", keywords={**OWN, "user": "suit_sql"})
        finally:
            own.pg_ctl("stop")
            own.configure(own.SETTINGS)
            own.start()
            own.sql("REVOKE pg_read_all_settings FROM suit_sql")
        assert facts["preload"] == ["pg_stat_statements", "auto_explain"]


# --- what the server itself says of the same host -------------------------------------


class TestServerAgrees:
    @pytest.fixture(autouse=True)
    def _stopped(self, own):
        own.pg_ctl("stop")
        yield
        own.host.run(["chmod", "700", f"{WORK}/data"])
        own.host.run(["chown", "postgres", f"{WORK}/data"])
        own.configure(own.SETTINGS)
        own.pg_ctl("stop", check=False)
        own.start()

    def test_on_a_locale_that_is_missing(self, here, own):
        """A locale that this host has by an environment variable alone, as another host has it by a package."""
        own.host.run(["mkdir", "-p", f"{WORK}/locales"])
        own.host.run(["cp", "-r", "/usr/lib/locale/C.utf8", f"{WORK}/locales/su_IT.utf8"])
        installed = f"LOCPATH={WORK}/locales"
        judged = """judge_of.locales(databases := ask(keywords, None, '').databases, _host.missing_locales(
            {name for d in databases for name in (d.collate, d.ctype)}))"""
        keywords = {**OWN, "user": "suit_sql"}
        own.start(installed)
        own.sql("CREATE DATABASE suit_locale TEMPLATE template0 LOCALE 'su_IT.UTF-8'")
        assert codes(here(judged, installed, keywords=keywords)) == []
        assert own.try_sql("SELECT 1", "suit_locale").returncode == 0
        own.pg_ctl("stop")
        own.start()
        [verdict] = here(judged, keywords=keywords)
        refused = own.try_sql("SELECT 1", "suit_locale")
        own.sql("DROP DATABASE suit_locale")
        assert verdict["error_code"] == "locale_missing"
        assert "Locale su_IT.UTF-8 of database suit_locale is not on this host" in verdict["msg"]
        assert refused.returncode != 0
        assert "not recognized by setlocale" in refused.stderr

    @pytest.mark.parametrize(
        ("name", "starts"),
        [
            ("auto_explain", True),
            ("auto_explain.so", True),
            ("$libdir/auto_explain", True),
            ("/usr/lib/postgresql/15/lib/auto_explain", True),
            ("suit_nothing", False),
            ("$libdir/plugins/auto_explain", False),
        ],
    )
    def test_on_a_library_to_preload(self, here, own, name, starts):
        assert here("_host.library_directory(bindir)") == "/usr/lib/postgresql/15/lib"
        missing = here("_host.missing_libraries(_host.library_directory(bindir), [name])", name=name)
        assert missing == ([] if starts else [name])
        own.configure(f"{own.SETTINGS}shared_preload_libraries = '{name}'\n")
        code, log = own.pg_ctl("start", check=False)
        assert (code == 0) == starts, log
        assert starts or "could not access file" in log

    @pytest.mark.parametrize(("mode", "expected"), [("700", []), ("750", []), ("755", ["data_directory_mode"])])
    def test_on_the_mode_of_its_directory(self, here, own, mode, expected):
        own.host.run(["chmod", mode, f"{WORK}/data"])
        judged = "judge_of.ownership(_host.places({'data_directory': path}), True, 15)"
        assert codes(here(judged, path=f"{WORK}/data")) == expected
        code, log = own.pg_ctl("start", check=False)
        assert (code == 0) == (expected == []), log

    def test_on_the_owner_of_its_directory(self, here, own):
        own.host.run(["chown", "root", f"{WORK}/data"])
        own.host.run(["chmod", "755", f"{WORK}/data"])
        judged = "judge_of.ownership(_host.places({'data_directory': path}), False, 15)"
        assert codes(here(judged, path=f"{WORK}/data")) == ["data_directory_owner"]
        log = own.host.run([f"{BINDIR}/postgres", "-D", f"{WORK}/data"], user="postgres", check=False).stderr
        assert "wrong ownership" in log or "Permission denied" in log

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("/var/lib/postgresql/new/main", []),
            ("/usr/local/new", ["directory_not_writable"]),
            ("/root/new", ["directory_not_writable"]),
        ],
    )
    def test_on_a_directory_that_is_to_be_made(self, here, own, path, expected):
        judged = "judge_of.ownership(_host.places({'data_directory': path}), False, 15)"
        assert codes(here(judged, path=path)) == expected
        made = own.host.run(["mkdir", "-p", path], user="postgres", check=False)
        assert (made.returncode == 0) == (expected == [])
        own.host.run(["rm", "-rf", path])


def test_inodes_that_run_out(here, clone):
    """A file system for ten files."""
    clone.host.run(["mkdir", "-p", "/srv/suit"])
    clone.host.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=10", "tmpfs", "/srv/suit"])
    try:
        free = here("_host.free_inodes('/srv/suit')")
        judged = "judge_of.inodes({'/srv/suit': count}, {'/srv/suit': _host.free_inodes('/srv/suit')})"
        assert codes(here(judged, count=free)) == []
        assert codes(here(judged, count=free + 1)) == ["inodes_missing"]
        made = [clone.host.run(["touch", f"/srv/suit/{n}"], check=False).returncode for n in range(free + 1)]
        assert made.count(0) == free
    finally:
        clone.host.run(["umount", "/srv/suit"])
        clone.host.run(["rmdir", "/srv/suit"])


def test_clocks_of_one_machine_agree(here):
    clock = here("_host.clock(SshShell('barman@barman'))")
    assert abs(clock["offset"]) < 1
    assert 0 < clock["round_trip"] < 5
    assert abs(here("ask(keywords, None, '').clock", keywords=PRIMARY)["offset"]) < 0.5
