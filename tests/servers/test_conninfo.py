"""Connection strings and passwords: what we write is what libpq and the servers understand."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._files import write_atomically
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import standby_keywords
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.passfile import edit, keys_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.connect import replication_connection
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import (
    conninfo_text,
    keywords_of,
    masked_conninfo,
)
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.servers import Server
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import parse_dsn

TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
KEYWORDS = st.dictionaries(
    st.sampled_from(["host", "user", "passfile", "application_name", "options", "sslcert", "sslrootcert", "service"]),
    TEXTS.filter(bool),
)
# An application name is cut at 63 bytes, and what is not printable ASCII is replaced in it.
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=63)
HOSTILE = "it's a \"na\\me\" = 'x' host=elsewhere %f $(id) `id` # "


@given(keywords=KEYWORDS)
def test_libpq_reads_what_we_write(keywords: dict[str, str]) -> None:
    assert parse_dsn(conninfo_text(keywords)) == keywords
    assert keywords_of(conninfo_text(keywords)) == keywords


@given(keywords=KEYWORDS, name=TEXTS.filter(bool), user=TEXTS)
def test_a_standbys_conninfo_is_made_of_its_upstreams(keywords: dict[str, str], name: str, user: str) -> None:
    found = parse_dsn(conninfo_text(standby_keywords(keywords, user, name)))
    assert found == {**keywords, **({"user": user} if user else {}), "application_name": name}


@given(keywords=KEYWORDS, password=TEXTS.filter(bool))
def test_a_password_is_not_shown(keywords: dict[str, str], password: str) -> None:
    shown = masked_conninfo(conninfo_text({**keywords, "password": password}))
    assert parse_dsn(shown) == {**keywords, "password": "********"}


@settings(max_examples=30)
@given(name=NAMES)
def test_a_server_knows_a_client_by_the_name_that_it_gave(primary: Server, name: str) -> None:
    text = conninfo_text({**primary.conninfo, "dbname": "postgres", "application_name": name})
    with psycopg2.connect(text) as session, session.cursor() as cursor:
        cursor.execute("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (name,)
    session.close()


def test_a_wal_receiver_reads_what_we_write(fleet: Fleet, standby: Server) -> None:
    """The server's own libpq, and the file between us and it."""
    primary = fleet.primary(standby.major)
    keywords = standby_keywords(primary.conninfo, None, HOSTILE)
    settings_before = {"primary_conninfo": conninfo_text(standby_keywords(primary.conninfo, None, "standby"))}
    standby.stop()
    standby.make_standby({"primary_conninfo": conninfo_text(keywords)})
    standby.start()
    primary.wait_for("SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = %s", HOSTILE)
    if standby.major >= 12:
        assert standby.sql("SHOW primary_conninfo") == [(conninfo_text(keywords),)]
    standby.stop()
    standby.make_standby(settings_before)
    standby.start()


@pytest.fixture(scope="module", params=[10, 14, 18])
def guarded(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Server]:
    """A server that wants a password, by SCRAM, from who comes over TCP."""
    server = fleet.primary(request.param)
    before = (server.data / "pg_hba.conf").read_text(encoding="utf-8")
    server.put("pg_hba.conf", f"host all,replication guarded 127.0.0.1/32 scram-sha-256\n{before}")
    server.stop()
    server.start({"password_encryption": "scram-sha-256"})
    server.sql("CREATE ROLE guarded LOGIN REPLICATION")
    yield server
    server.sql("DROP ROLE guarded")
    server.put("pg_hba.conf", before)
    server.stop()
    server.start()


def logs_in(server: Server, password: str) -> bool:
    """Whether the password is taken; any other reason is an error."""
    keywords = {"host": "127.0.0.1", "port": str(server.port), "user": "guarded", "dbname": "postgres"}
    try:
        psycopg2.connect(conninfo_text({**keywords, "password": password})).close()
    except psycopg2.OperationalError as failed:
        if "password authentication failed" in str(failed):
            return False
        raise
    return True


@settings(max_examples=60)
@given(password=TEXTS.filter(bool))
@example(password="\u00ad")  # SASLprep leaves nothing of it
@example(password="\uff41")  # and makes this an ordinary a
@example(password="\u0627a\x01")  # and forbids this, which is then taken as it is
@example(password="a\nb\r")
@example(password="p" * 1000)  # until PostgreSQL 13 a server refuses more than 1023 bytes
def test_a_password_that_was_set_logs_in(guarded: Server, password: str) -> None:
    """Any text but one that is itself a hash: the server stores it as it is."""
    guarded.sql("ALTER ROLE guarded PASSWORD %s", password)
    assert logs_in(guarded, password)
    assert not logs_in(guarded, password + "x")


@settings(max_examples=60)
@given(password=st.text(st.characters(exclude_characters="\0\n\r", codec="utf-8"), min_size=1, max_size=200))
@example(password="a:b\\:c\\\\")
@example(password="*")
@example(password="#\u2028\x0b ")
def test_a_password_in_the_file_is_found_by_a_wal_receiver(guarded: Server, password: str) -> None:
    keywords = {"host": "127.0.0.1", "port": str(guarded.port), "user": "guarded"}
    file = str(guarded.top / "passfile")
    write_atomically(file, edit("# others\n*:*:*:*:wrong\n", keys_of(keywords), password))
    guarded.sql("ALTER ROLE guarded PASSWORD %s", password)
    replication_connection({**keywords, "passfile": file}, 5).close()
