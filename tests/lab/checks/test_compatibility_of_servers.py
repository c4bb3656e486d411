"""What host and upstream tell about themselves, against what real servers then do."""

from __future__ import annotations

import pytest
from compatibility import OWN, WORK, codes, own_slots
from standby_host import BINDIR


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
        assert verdict["refusal"]["code"] == "locale_missing"
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
