# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import psycopg2
import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import MASK
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import connect as _connect
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import libpq as _libpq
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("conninfo", "keywords"),
    [
        pytest.param({"host": "p", "port": 5433}, {"host": "p", "port": "5433"}, id="dictionary"),
        pytest.param({"host": "p", "user": None}, {"host": "p"}, id="dictionary with null"),
        pytest.param("host=p port=5433", {"host": "p", "port": "5433"}, id="string"),
        pytest.param("host = 'two words' user=u", {"host": "two words", "user": "u"}, id="quoted"),
        pytest.param(
            "postgresql://u@p:5433/db?sslmode=require",
            {"user": "u", "host": "p", "port": "5433", "dbname": "db", "sslmode": "require"},
            id="URI",
        ),
        pytest.param("postgresql://p1,p2:5433", {"host": "p1,p2", "port": ",5433"}, id="URI with two hosts"),
        pytest.param("", {}, id="empty"),
        pytest.param({"host": "p", "password": ""}, {"host": "p", "password": ""}, id="no password"),
    ],
)
def test_keywords(conninfo, keywords):
    assert _libpq.keywords_of(conninfo) == keywords


@pytest.mark.parametrize(
    "conninfo",
    [
        {"host": "p", "password": "Geh3im"},
        "host=p password=Geh3im",
        "postgresql://u:Geh3im@p",
        "postgresql://p?password=Geh3im",
    ],
    ids=["dictionary", "string", "URI", "URI parameter"],
)
def test_a_password_is_refused_and_not_repeated(conninfo):
    with pytest.raises(StandbyError, match="pgpass") as refused:
        _libpq.keywords_of(conninfo)
    assert refused.value.code == "conninfo_password"
    assert "Geh3im" not in str(refused.value.as_result())


@pytest.mark.parametrize(
    ("conninfo", "said"),
    [
        pytest.param({"hostname": "p"}, 'invalid connection option "hostname"', id="dictionary"),
        pytest.param("hostname=p", 'invalid connection option "hostname"', id="string"),
        pytest.param("postgresql://p?hostname=q", 'invalid URI query parameter: "hostname"', id="URI"),
        pytest.param("host", "missing", id="no value"),
        pytest.param("host='p", "unterminated quoted string", id="open quote"),
        pytest.param(["host=p"], "invalid connection option", id="list"),
    ],
)
def test_what_libpq_does_not_understand_is_refused(conninfo, said):
    with pytest.raises(StandbyError, match=said) as refused:
        _libpq.keywords_of(conninfo)
    assert refused.value.code == "conninfo_invalid"


@pytest.mark.parametrize(
    "conninfo",
    [
        "postgresql://u:Geh3im@[::1",
        "postgresql://u:Geh3im%zz@p",
        "postgresql://p?Geh3im",
        "host=p password=mein Geh3im",
        "host=p password='Geh3im",
    ],
)
def test_what_is_refused_is_not_repeated(conninfo):
    with pytest.raises(StandbyError) as refused:
        _libpq.keywords_of(conninfo)
    assert "Geh3im" not in str(refused.value.as_result())
    # A traceback tells the exceptions before, too.
    assert refused.value.__suppress_context__
    assert refused.value.__cause__ is None


KEYWORDS = st.sampled_from(["host", "user", "application_name", "options"])
VALUES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)


@given(st.dictionaries(KEYWORDS, VALUES, min_size=1))
def test_keywords_survive_their_way_through_a_string(keywords):
    assert _libpq.keywords_of(_libpq.conninfo_text(keywords)) == keywords


def test_masked_conninfo():
    masked = _libpq.masked_conninfo("host=p password=Geh3im sslpassword=Geh3im user=u")
    assert sorted(masked.split()) == ["host=p", f"password={MASK}", f"sslpassword={MASK}", "user=u"]


def test_what_cannot_be_read_is_not_shown():
    assert _libpq.masked_conninfo("host=p Geh3im") == MASK


def test_without_psycopg2(monkeypatch):
    monkeypatch.setattr(_libpq, "psycopg2", None)
    with pytest.raises(StandbyError, match="python3-psycopg2") as refused:
        _libpq.keywords_of({"host": "p"})
    assert refused.value.code == "psycopg2_missing"


def test_psycopg2_is_there():
    assert _connect.psycopg2 is psycopg2
