# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.derived_upstream import Derived, derive


def test_the_connection_for_replication_comes_first():
    found = derive({"streaming_conninfo": "host=p user=streaming", "conninfo": "host=q user=barman"}, "pg")
    assert found == Derived({"host": "p", "user": "streaming"}, "streaming_conninfo of Barman's server pg", ())


def test_of_a_uri_nothing_secret_is_left():
    found = derive({"conninfo": "postgresql://barman:Geh3im@p:5433/app?sslmode=require&sslkey=/etc/key"}, "pg")
    assert found.conninfo == {"host": "p", "port": "5433", "user": "barman", "sslmode": "require"}
    assert found.left_out == ("password", "sslkey")


@pytest.mark.parametrize(
    ("conninfos", "why"),
    [
        ({}, "no conninfo of server pg"),
        ({"conninfo": "host=p pass word=Geh3im"}, "libpq does not understand"),
        ({"conninfo": "service=Geh3im host=p"}, "names a service"),
        ({"conninfo": "user=barman password=Geh3im"}, "leads to the local socket"),
        ({"streaming_conninfo": "host=localhost password=Geh3im", "conninfo": "host=p"}, "leads to localhost"),
    ],
)
def test_what_leads_nowhere_is_refused_without_showing_it(conninfos, why):
    with pytest.raises(StandbyError, match=f"{why}.* Next: give upstream_conninfo") as refused:
        derive(conninfos, "pg")
    assert refused.value.code == "conninfo_underivable"
    assert "Geh3im" not in str(refused.value.as_result())
