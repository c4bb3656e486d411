# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.directories import Sight, who_makes

THERE = Sight("/srv/pg", owned=True, owner="postgres", writable=True)
FOREIGN = Sight("/etc", owner="root", roots_own=True)
BELOW_ROOT = Sight("/srv", ("pg", "main"), roots_own=True)
BELOW_USER = Sight("/var/lib/postgresql", ("main",), owner="postgres", owned=True, writable=True)
BELOW_OTHER = Sight("/home/eve", ("main",), owner="eve")
PLANTED = "/var/lib/postgresql/15/.main.standby"


def seen(sight, **changed):
    return Sight(**{**sight.__dict__, **changed})


@pytest.mark.parametrize(
    ("role", "sight", "maker"),
    [
        pytest.param("data_directory", THERE, None, id="it is there"),
        pytest.param("data_directory", seen(THERE, writable=False), None, id="it is there, whatever its mode"),
        pytest.param("data_directory", seen(THERE, link=PLANTED), None, id="a link leads to what is the user's own"),
        pytest.param("waldir", seen(FOREIGN, writable=True), None, id="a mount point that the user may write to"),
        pytest.param("data_directory", BELOW_USER, "user", id="the user may make it"),
        pytest.param("waldir", seen(BELOW_USER, link=PLANTED), "user", id="behind any link, the user may make it"),
        pytest.param("data_directory", BELOW_ROOT, "root", id="root alone may make it"),
    ],
)
def test_who_makes_it(role, sight, maker):
    assert who_makes(role, "/wanted", sight, "postgres", is_root=True) == maker


@pytest.mark.parametrize(
    ("role", "sight", "is_root", "code", "said"),
    [
        pytest.param(
            "state_directory",
            seen(FOREIGN, link=PLANTED),
            True,
            "link_untrusted",
            f"leads through the link {PLANTED}, which another user than root may have made, to /etc, which belongs to"
            " root.",
            id="a planted link to what is root's",
        ),
        pytest.param(
            "state_directory",
            seen(BELOW_ROOT, link=PLANTED),
            True,
            "link_untrusted",
            f"leads through the link {PLANTED}, which another user than root may have made, to /srv/pg/main.",
            id="a planted link to what is missing",
        ),
        pytest.param(
            "data_directory",
            FOREIGN,
            True,
            "data_directory_owner",
            "belongs to root, not to postgres: the server refuses to start there. Nothing was made."
            " Next: chown postgres /wanted",
            id="a data directory of somebody else",
        ),
        pytest.param(
            "data_directory",
            seen(FOREIGN, writable=True),
            True,
            "data_directory_owner",
            "belongs to root",
            id="a data directory of somebody else that the user may write to",
        ),
        pytest.param(
            "tablespace fast",
            FOREIGN,
            True,
            "directory_not_writable",
            "belongs to root, not to postgres, who cannot write there. Nothing was made. Next: chown postgres /wanted",
            id="another directory of somebody else",
        ),
        pytest.param(
            "waldir",
            BELOW_ROOT,
            False,
            "directory_not_writable",
            "is missing, and postgres cannot make it in /srv. Nothing was made. Next: run as root",
            id="without root's rights",
        ),
        pytest.param(
            "waldir",
            BELOW_OTHER,
            True,
            "directory_unsafe",
            "postgres cannot make it in /home/eve, and root does not: eve, or whoever else may write there, could",
            id="in a directory of a third user",
        ),
    ],
)
def test_what_is_refused(role, sight, is_root, code, said):
    with pytest.raises(StandbyError) as refused:
        who_makes(role, "/wanted", sight, "postgres", is_root)
    assert refused.value.code == code
    assert refused.value.msg.startswith(f"{role} /wanted ")
    assert said in refused.value.msg
    assert "Next: " in refused.value.msg
