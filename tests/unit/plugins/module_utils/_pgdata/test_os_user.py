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


def test_acting_as_another_user(tmp_path):
    """Root has that user's rights meanwhile, and root's again, whatever happens. Who is not root stays as he is."""

    def rights():
        # The real ids, too, for libraries that answer questions for them: os.access() asks such a question.
        return os.geteuid(), os.getuid(), os.getegid(), os.getgid(), sorted(os.getgroups()), os.access(kept, os.R_OK)

    def fail_as(user):
        with acting_as(user):
            seen.append(rights())
            raise ZeroDivisionError

    kept = tmp_path / "kept"
    kept.mkdir(mode=0o700)
    seen, before = [], rights()
    nobody = OsUser(NOBODY.pw_name, NOBODY.pw_uid, NOBODY.pw_gid)
    with pytest.raises(ZeroDivisionError):
        fail_as(nobody)
    theirs = (*[nobody.uid] * 2, *[nobody.gid] * 2, sorted(os.getgrouplist(nobody.name, nobody.gid)), False)
    assert seen == [theirs if before[0] == 0 else before]
    assert rights() == before
