# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_basebackup's words; its output is recorded from PostgreSQL 15."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.pg_basebackup_options import (
    checked_options,
    command,
    parse_progress,
    require_rate,
)


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        ([], ()),
        (["--checkpoint=spread"], ("--checkpoint=spread",)),
        (["--checkpoint", "spread"], ("--checkpoint=spread",)),
        (["-c", "spread"], ("--checkpoint=spread",)),
        (["-cspread"], ("--checkpoint=spread",)),
        (["-Pvk"], ("--no-verify-checksums",)),
        (["-X", "stream", "--progress", "-w", "-N"], ()),
        (["-Zserver-lz4", "--label", "a 'b' $(c)"], ("--compress=server-lz4", "--label=a 'b' $(c)")),
        (["--label", "-D"], ("--label=-D",)),
        (["--manifest-checksums=sha256", "--no-slot"], ("--manifest-checksums=sha256", "--no-slot")),
    ],
)
def test_what_may_be_given(words, taken):
    assert checked_options(words) == taken


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-D", "/x"], "data_directory"),
        (["--pgdata=/x"], "data_directory"),
        (["-Ft"], "--format"),
        (["--format=tar"], "--format"),
        (["-R"], "--write-recovery-conf"),
        (["-PR"], "--write-recovery-conf"),
        (["-T", "/a=/b"], "tablespace_mapping"),
        (["--waldir=/w"], "waldir"),
        (["--xlogdir=/w"], "waldir"),
        (["-S", "s"], "slot_name"),
        (["-C"], "slot_name"),
        (["-d", "host=x"], "upstream_conninfo"),
        (["-h", "x"], "upstream_conninfo"),
        (["-W"], "upstream_password"),
        (["--max-rate=1M"], "bwlimit"),
        (["-z"], "server-gzip"),
        (["--compress=9"], "server-lz4"),
        (["-i", "/m"], "whole copy"),
        (["-X", "none"], "could lose WAL"),
        (["-Xfetch"], "could lose WAL"),
        (["--check=fast"], "written out"),
        (["--checkpoint=slow"], "neither fast nor spread"),
        (["--progress=1"], "written out"),
        (["--manifest-checksums=md5"], "none of"),
        (["--label"], "lacks its value"),
        (["--label", "a\nb"], "line break"),
        (["fast"], "belongs to no option"),
        (["--"], "belongs to no option"),
        (["-x"], "takes here"),
        (["--no-such"], "written out"),
    ],
)
def test_what_is_refused_by_name(words, said):
    with pytest.raises(StandbyError, match="Nothing was changed") as refused:
        checked_options(words)
    assert refused.value.code == "basebackup_option_refused"
    assert said in refused.value.msg


def test_a_slot_and_none_contradict():
    with pytest.raises(StandbyError, match="slot_name=n1"):
        checked_options(["--no-slot"], "n1")


@pytest.mark.parametrize("rate", [1, 31, (1 << 20) + 1])
def test_a_rate_that_it_does_not_take(rate):
    with pytest.raises(StandbyError) as refused:
        require_rate(rate)
    assert refused.value.code == "option_out_of_range"


def test_the_smallest_command():
    assert command("pg_basebackup", "/d", "host=p", {}) == [
        *("pg_basebackup", "--pgdata=/d", "--dbname=host=p", "--format=plain", "--wal-method=stream"),
        *("--no-password", "--no-sync", "--progress", "--checkpoint=fast"),
    ]


def test_the_largest_command():
    mapping = {"/a=b": "/c d/it's=x"}
    argv = command("p", "/d", "host=p", mapping, "/w", "n1", 32, ("--checkpoint=spread",))
    assert "--checkpoint=fast" not in argv
    assert argv[-5:] == [
        r"--tablespace-mapping=/a\=b=/c d/it's\=x",
        *("--waldir=/w", "--slot=n1", "--max-rate=32k", "--checkpoint=spread"),
    ]


@pytest.mark.parametrize(
    ("line", "bytes_of"),
    [
        ("      0/424891 kB (0%), 0/2 tablespaces", (0, 424891 << 10)),
        (" 212480/424891 kB (50%), 1/2 tablespaces", (212480 << 10, 424891 << 10)),
        ("1/1 kB (100%), 1/1 tablespace", (1024, 1024)),
        ("waiting for checkpoint", None),
        ('pg_basebackup: error: directory "/srv/x" exists but is not empty', None),
    ],
)
def test_progress(line, bytes_of):
    assert parse_progress(line) == bytes_of
