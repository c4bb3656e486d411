# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._repmgr.files import load


@pytest.fixture
def write(tmp_path):
    def files(**texts):
        for name, text in texts.items():
            path = tmp_path / name.replace("__", "/").replace("_conf", ".conf")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return str(tmp_path / "repmgr.conf")

    return files


def test_includes_are_followed_where_they_stand(write, tmp_path):
    path = write(
        repmgr_conf="a = 1\ninclude 'd/one.conf'\ninclude_if_exists = absent\nINCLUDE_DIR d\na = 4\n",
        d__one_conf="a = 2\ninclude 'two.conf'\n",
        d__two_conf="b = 3\n",
        d__other="c = 1\n",
    )
    (tmp_path / "d" / ".hidden.conf").write_text("c = 1\n")
    (tmp_path / "d" / "directory.conf").mkdir()
    found = load(path)
    one = [("a", "2"), ("b", "3")]
    assert found.settings == [("a", "1"), *one, *one, ("b", "3"), ("a", "4")]
    assert [file.rpartition("/")[2] for file in found.files] == [
        *("repmgr.conf", "one.conf", "two.conf", "one.conf", "two.conf", "two.conf"),
    ]
    assert (found.syntax, found.refused) == ("5", [])


def test_a_file_of_repmgr_4_is_read_by_its_rules(write):
    found = load(write(repmgr_conf="node_id=1\nconninfo=host=n1 user=repmgr\ndata_directory='/d'\n"))
    assert found.syntax == "4"
    assert found.settings == [("node_id", "1"), ("conninfo", "host=n1 user=repmgr"), ("data_directory", "/d")]
    assert [place.rpartition("/")[2] for place in found.refused] == ["repmgr.conf:2"]


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        pytest.param({}, "repmgr_conf_missing", id="no file"),
        pytest.param({"repmgr_conf": "include absent"}, "repmgr_conf_missing", id="no file to include"),
        pytest.param({"repmgr_conf": "include_dir absent"}, "repmgr_conf_unreadable", id="no directory"),
        pytest.param({"repmgr_conf": "include '/'"}, "repmgr_conf_unreadable", id="a directory"),
        pytest.param({"repmgr_conf": "include ' '"}, "repmgr_conf_invalid", id="no name"),
        pytest.param({"repmgr_conf": "include 'repmgr.conf'"}, "repmgr_conf_invalid", id="itself"),
        pytest.param({"repmgr_conf": "include x", "x": "include 'repmgr.conf'"}, "repmgr_conf_invalid", id="a circle"),
        pytest.param({"repmgr_conf": "conninfo 'pass word"}, "repmgr_conf_invalid", id="neither syntax"),
        pytest.param({"repmgr_conf": "a=/b\ninclude x", "x": "c = 1"}, "repmgr_conf_invalid", id="both syntaxes"),
        pytest.param({"repmgr_conf": "a=/b\ninclude_if_exists = x"}, "repmgr_conf_invalid", id="both with a sign"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_a_code(write, texts, code):
    with pytest.raises(StandbyError) as refusal:
        load(write(**texts))
    assert refusal.value.code == code
    assert "pass word" not in refusal.value.msg
