# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pwd

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.os_user import (
    OsUser,
    acting_as,
    os_user,
    owner_of,
    this_user,
    user_name,
)

ME = pwd.getpwuid(os.getuid())
NOBODY = pwd.getpwnam("nobody")


def test_a_user_that_is_not_there():
    with pytest.raises(StandbyError) as refused:
        os_user("nosuch")
    assert (refused.value.code, "'nosuch'" in refused.value.msg) == ("os_user_unknown", True)


def test_who_runs_us(tmp_path):
    assert this_user() == (ME.pw_name, os.geteuid(), os.getegid())
    assert os_user(ME.pw_name) == owner_of(str(tmp_path)) == (ME.pw_name, ME.pw_uid, ME.pw_gid)
    assert owner_of(str(tmp_path / "missing")) == this_user()
    assert user_name(4_000_000_000) == "the user with number 4000000000"


def test_acting_as_another_user():
    """Root has that user's rights meanwhile, and root's again, whatever happens. Who is not root stays as he is."""

    def rights():
        return os.geteuid(), os.getegid(), sorted(os.getgroups())

    def fail_as(user):
        with acting_as(user):
            seen.append(rights())
            raise ZeroDivisionError

    seen, before = [], rights()
    nobody = OsUser(NOBODY.pw_name, NOBODY.pw_uid, NOBODY.pw_gid)
    with pytest.raises(ZeroDivisionError):
        fail_as(nobody)
    theirs = (nobody.uid, nobody.gid, sorted(os.getgrouplist(nobody.name, nobody.gid)))
    assert seen == [theirs if before[0] == 0 else before]
    assert rights() == before
