# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.conninfo import (
    hosts,
    masked,
    of_others,
    public,
    standby_keywords,
    stays,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import MASK


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


SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
OPEN = {"host": "p", "port": "1", "passfile": "/f", "sslkey": "/k", "require_auth": "password", "sslkeylogfile": "/l"}


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_left_out_and_nothing_else(secret):
    assert public({**OPEN, secret: "x"}) == OPEN


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_masked_and_nothing_else(secret):
    assert masked({**OPEN, secret: "x"}) == {**OPEN, secret: MASK}


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
