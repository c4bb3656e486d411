# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.service import unit_of


@pytest.mark.parametrize(
    ("command", "directory", "unit"),
    [
        ("systemctl start postgresql@15-main", "", "postgresql@15-main"),
        ("sudo -n /bin/systemctl --no-ask-password start postgresql-15.service", "", "postgresql-15"),
        ("sudo systemctl start postgresql", "/var/lib/postgresql/15/main/", "postgresql@15-main"),
        ("sudo systemctl start postgresql", "/var/lib/pgsql/data", "postgresql"),
        ("sudo service postgresql-15 start", "", "postgresql-15"),
        ("sudo pg_ctlcluster 15 main start", "", "postgresql@15-main"),
        ("/usr/lib/postgresql/15/bin/pg_ctl -D /srv/pg start", "", ""),
        ("systemctl --user start pg", "", None),
        ("systemctl start a b", "", None),
        ("systemctl start -x", "", None),
        ("systemctl restart pg", "", None),
        ("systemctl start pg && logger done", "", None),
        ("systemctl start $UNIT", "", None),
        ("pcs resource enable pg", "", None),
        ("sudo", "", None),
        ("'", "", None),
        ("", "", None),
    ],
)
def test_the_unit_of_a_command(command, directory, unit):
    assert unit_of(command, directory) == unit
