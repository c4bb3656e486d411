# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import (
    MASK,
    hosts,
    masked,
    of_others,
    public,
    secrets,
    standby_keywords,
    stays,
)


@pytest.mark.parametrize(
    ("upstream", "user", "keywords"),
    [
        pytest.param({"host": "p"}, None, {"host": "p", "application_name": "n1"}, id="least"),
        pytest.param(
            {"sslmode": "require", "user": "u", "port": "1", "host": "p", "connect_timeout": "5"},
            None,
            {
                "host": "p",
                "port": "1",
                "user": "u",
                "application_name": "n1",
                "connect_timeout": "5",
                "sslmode": "require",
            },
            id="order",
        ),
        pytest.param(
            {"host": "p", "dbname": "app", "replication": "database"},
            None,
            {"host": "p", "application_name": "n1"},
            id="what the WAL receiver sets itself",
        ),
        pytest.param(
            {"host": "p", "user": "u"},
            "replicator",
            {"host": "p", "user": "replicator", "application_name": "n1"},
            id="replication_user wins",
        ),
        pytest.param(
            {"host": "p", "application_name": "n0"}, None, {"host": "p", "application_name": "n1"}, id="another's name"
        ),
        pytest.param({"host": "p", "port": ""}, "", {"host": "p", "application_name": "n1"}, id="empty is not given"),
    ],
)
def test_keywords_of_primary_conninfo(upstream, user, keywords):
    found = standby_keywords(upstream, user, "n1")
    assert list(found.items()) == list(keywords.items())


def test_secrets_are_left_out_and_nothing_else():
    assert public({"host": "p", "password": "x", "sslpassword": "y", "port": "1"}) == {"host": "p", "port": "1"}


def test_secrets_are_masked_and_nothing_else():
    assert masked({"host": "p", "password": "x", "sslpassword": "y", "passfile": "/f"}) == {
        "host": "p",
        "password": MASK,
        "sslpassword": MASK,
        "passfile": "/f",
    }


@pytest.mark.parametrize(
    ("keywords", "found"),
    [
        ({}, ()),
        ({"host": "p"}, ("p",)),
        ({"host": "p,q"}, ("p", "q")),
        ({"hostaddr": "10.0.0.1"}, ("10.0.0.1",)),
        ({"host": "p", "hostaddr": "10.0.0.1"}, ("p",)),
        ({"host": ""}, ()),
    ],
)
def test_hosts(keywords, found):
    assert hosts(keywords) == found


@pytest.mark.parametrize(
    ("conninfo", "hidden"),
    [
        pytest.param(None, set(), id="nothing"),
        pytest.param({"host": "p", "user": "u"}, set(), id="dictionary"),
        pytest.param({"host": "p", "password": "x", "sslpassword": 5}, {"x", "5"}, id="dictionary with secrets"),
        pytest.param({"password": "", "sslpassword": None}, set(), id="dictionary with empty secrets"),
        pytest.param("host=p user=u", set(), id="string"),
        pytest.param("host=p password=x", {"host=p password=x"}, id="string with a secret"),
        pytest.param("host=p password = 'x", {"host=p password = 'x"}, id="string that cannot be read"),
        pytest.param("postgresql://u@p:5432/db", set(), id="URI"),
        pytest.param("postgresql://u:x@p", {"postgresql://u:x@p"}, id="URI with a secret"),
        pytest.param("postgresql://u:x@[::1", {"postgresql://u:x@[::1"}, id="URI that cannot be read"),
        pytest.param("postgresql://p?password=x", {"postgresql://p?password=x"}, id="URI with a parameter"),
    ],
)
def test_what_of_the_options_is_a_secret(conninfo, hidden):
    assert secrets(conninfo) == hidden


def test_what_holds_on_another_host_as_well():
    conninfo = {
        "host": "p,q",
        "hostaddr": "10.0.0.1,10.0.0.2",
        "port": "5433",
        "user": "u",
        "sslmode": "verify-full",
        "dbname": "postgres",
        "application_name": "barman",
        "connect_timeout": "3",
        "replication": "true",
        "password": "x",
        "sslrootcert": "/etc/barman/ca.pem",
        "options": "-c a=b",
        "sslsni": "",
        "krbsrvname": "",
    }
    taken, left_out = of_others(conninfo)
    assert taken == {name: conninfo[name] for name in ("host", "hostaddr", "port", "user", "sslmode")}
    assert left_out == ("options", "password", "sslrootcert")


@pytest.mark.parametrize(
    ("conninfo", "found"),
    [
        ({"host": "primary"}, None),
        ({"host": "localhost.example.com"}, None),
        ({"host": "10.0.0.1,fd00::1"}, None),
        ({"hostaddr": "10.0.0.1"}, None),
        ({}, "the local socket"),
        ({"host": "", "port": "5433"}, "the local socket"),
        ({"host": "/var/run/postgresql"}, "/var/run/postgresql"),
        ({"host": "@abstract"}, "@abstract"),
        ({"host": "localhost"}, "localhost"),
        ({"host": "localhost.localdomain"}, "localhost.localdomain"),
        ({"host": "ip6-localhost"}, "ip6-localhost"),
        ({"host": "LOCALHOST."}, "LOCALHOST."),
        ({"host": "127.0.1.1"}, "127.0.1.1"),
        ({"host": "::1"}, "::1"),
        ({"host": "0.0.0.0"}, "0.0.0.0"),
        ({"host": "primary,localhost"}, "localhost"),
        ({"host": "primary", "hostaddr": "127.0.0.1"}, "127.0.0.1"),
    ],
)
def test_a_host_that_is_another_one_everywhere(conninfo, found):
    assert stays(conninfo) == found
