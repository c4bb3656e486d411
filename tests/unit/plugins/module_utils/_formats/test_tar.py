# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import tarfile

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.tar import Stream, members
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.tars import NAME, plain, tar_of


class TestMembers:
    @pytest.mark.parametrize("length", [0, 100, 512, 700, 1024])
    def test_end_early_where_the_tar_does(self, length):
        with pytest.raises(EOFError):
            list(members(Stream([tar_of(plain("a", "x" * 600))[:length]]), NAME))

    def test_take_all_that_comes_after_the_end(self):
        chunks = iter([tar_of(plain("a", "x")), b"more"])
        assert [member.name for member in members(Stream(chunks), NAME)] == ["a"]
        assert next(chunks, None) is None

    def test_refuse_what_is_no_tar(self):
        with pytest.raises(StandbyError, match="is no tar"):
            list(members(Stream([b"x" * 512]), NAME))

    def test_have_sizes_beyond_those_of_octal_digits(self):
        big = tarfile.TarInfo("big")
        big.size = 1 << 40
        assert next(members(Stream([big.tobuf(tarfile.GNU_FORMAT)]), NAME)).size == 1 << 40
