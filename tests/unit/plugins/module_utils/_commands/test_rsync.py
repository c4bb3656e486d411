# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.rsync import write_names
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import HOSTILE


class TestWriteNames:
    def test_names_them_for_rsync_whatever_they_are(self, tmp_path):
        source, target = os.fsencode(tmp_path / "source"), os.fsencode(tmp_path / "target")
        os.mkdir(source)
        os.mkdir(target)
        for name in (*HOSTILE, "not wanted"):
            os.close(os.open(os.path.join(source, os.fsencode(name)), os.O_CREAT | os.O_WRONLY))
        write_names(str(tmp_path / "names"), HOSTILE)
        argv = ["rsync", "--from0", f"--files-from={tmp_path}/names", source + b"/", target + b"/"]
        subprocess.run(argv, check=True)
        assert sorted(map(os.fsdecode, os.listdir(target))) == sorted(HOSTILE)

    def test_replaces_what_was_there_and_keeps_it_private(self, tmp_path):
        write_names(str(tmp_path / "names"), ["a long list of names"] * 100)
        write_names(str(tmp_path / "names"), iter("ab"))
        assert (tmp_path / "names").read_bytes() == b"./a\0./b\0"
        assert (tmp_path / "names").stat().st_mode & 0o777 == 0o600

    def test_does_not_write_through_a_link(self, tmp_path):
        (tmp_path / "precious").write_text("precious", encoding="utf-8")
        (tmp_path / "names").symlink_to("precious")
        with pytest.raises(OSError, match="symbolic links"):
            write_names(str(tmp_path / "names"), ["a"])
        assert (tmp_path / "precious").read_text(encoding="utf-8") == "precious"
