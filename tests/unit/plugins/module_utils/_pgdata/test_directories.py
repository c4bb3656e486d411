# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As whoever runs the tests: what only root does is tried on real hosts, in tests/lab/checks/test_directories.py."""

from __future__ import annotations

import os
import pwd
import stat

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata import directories
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.directories import look, prepare
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.os_user import os_user

ME = os_user(pwd.getpwuid(os.getuid()).pw_name)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_makes_what_is_missing_with_what_is_above(tmp_path):
    wanted = {"data_directory": str(tmp_path / "a" / "b" / "main"), "waldir": str(tmp_path / "a" / "wal")}
    expected = [str(tmp_path / name) for name in ("a", "a/b", "a/b/main", "a/wal")]
    assert prepare(wanted, ME, only_look=True) == expected
    assert os.listdir(tmp_path) == []
    before = os.umask(0)
    try:
        assert prepare(wanted, ME) == expected
    finally:
        os.umask(before)
    for path in expected:
        status = os.stat(path)
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (ME.uid, 0o700)
    assert prepare(wanted, ME) == []


# 0702 is how pg_rewind's directory is closed while it is half way: the wrong mode is what keeps a server from starting.
@pytest.mark.parametrize("kept", [0o702, 0o755, 0o500])
def test_keeps_the_mode_of_what_is_there(tmp_path, kept):
    path = tmp_path / "main"
    path.mkdir()
    path.chmod(kept)
    (tmp_path / "to_it").symlink_to(path)
    before = path.stat()
    for name in ("main", "to_it"):
        assert prepare({"data_directory": str(tmp_path / name)}, ME) == []
    assert (mode(path), path.stat().st_ctime_ns) == (kept, before.st_ctime_ns)


def test_refuses_before_anything_is_made(tmp_path):
    (tmp_path / "file").write_text("")
    wanted = {"data_directory": str(tmp_path / "main"), "waldir": str(tmp_path / "file" / "wal")}
    with pytest.raises(StandbyError) as refused:
        prepare(wanted, ME)
    assert refused.value.code == "not_a_directory"
    assert f"{tmp_path}/file is something else" in refused.value.msg
    assert os.listdir(tmp_path) == ["file"]


def test_links_that_lead_in_a_circle(tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(StandbyError) as refused:
        prepare({"data_directory": str(tmp_path / "one" / "main")}, ME)
    assert (refused.value.code, "too many links" in refused.value.msg) == ("directory_unreadable", True)


class TestLinks:
    """Which link another user than root may have made: one in a directory that is not root's alone."""

    @pytest.fixture(autouse=True)
    def root(self, monkeypatch):
        monkeypatch.setattr(directories, "_ROOT", os.getuid())

    @pytest.fixture
    def top(self, tmp_path):
        """A directory of root's in which all links lead to the same place."""
        top = tmp_path / "top"
        (top / "shared" / "deep").mkdir(parents=True)
        (top / "target").mkdir()
        for where in (top, top / "shared"):
            (where / "absolute").symlink_to(top / "target")
            (where / "missing").symlink_to(top / "target" / "new")
        (top / "shared" / "relative").symlink_to("deep/.././../target/.")
        (top / "shared" / "twice").symlink_to("../absolute")
        for path in (tmp_path, top):
            path.chmod(0o755)
        return top

    @pytest.mark.parametrize("shared", [0o775, 0o757, 0o1777])
    @pytest.mark.parametrize(
        ("path", "link", "missing"),
        [
            ("absolute", None, ()),
            ("missing", None, ("new",)),
            ("shared/absolute", "shared/absolute", ()),
            ("shared/relative", "shared/relative", ()),
            ("shared/twice", "shared/twice", ()),
            ("shared/missing", "shared/missing", ("new",)),
            ("shared/missing/main", "shared/missing", ("new", "main")),
        ],
    )
    def test_who_may_have_made_it(self, top, shared, path, link, missing):
        (top / "shared").chmod(shared)
        sight = look("data_directory", str(top / path), ME)
        assert (sight.real, sight.missing) == (str(top / "target"), missing)
        assert sight.link == (str(top / link) if link else None)
        assert sight.roots_own

    @pytest.mark.parametrize(("rights", "roots"), [(0o755, True), (0o775, False), (0o757, False), (0o1777, False)])
    def test_whether_root_alone_may_write(self, top, rights, roots):
        (top / "target").chmod(rights)
        assert look("data_directory", str(top / "target" / "main"), ME).roots_own == roots
