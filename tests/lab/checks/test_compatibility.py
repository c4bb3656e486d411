"""What host and upstream tell about themselves: the lab's primary is asked as it is."""

from __future__ import annotations

import subprocess

from compatibility import PRIMARY, codes
from podman import wait_for

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
