# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quoting, against the programs that take it apart again."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.quoting import remote_command, rsync_rsh
from hypothesis import given, settings
from hypothesis import strategies as st

HOSTILE = ["", " ", "'", "''", '"', "\\", "$HOME", "`id`", "*", "-n", "a b", "it's", "a\nb", "~", "%f", "#", "!x", "\t"]
BYTES = st.binary().filter(lambda value: 0 not in value).map(lambda value: value.decode("utf-8", "surrogateescape"))


@pytest.fixture
def recorder(tmp_path):
    """A program for rsync's -e, and a function that returns the arguments it was given."""
    script, record = tmp_path / "re cord'er", tmp_path / "record"
    script.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" >'{record}'\nexit 1\n", encoding="utf-8")
    script.chmod(0o700)

    def run(argv):
        subprocess.run(
            ["rsync", f"--rsh={rsync_rsh([str(script), *argv])}", "host:/nowhere", str(tmp_path)],
            stderr=subprocess.PIPE,
            check=False,
        )
        return record.read_bytes().decode("utf-8", "surrogateescape").split("\0")[: len(argv) + 1]

    return run


@given(st.lists(BYTES | st.sampled_from(HOSTILE), min_size=1))
def test_a_shell_takes_a_remote_command_apart_into_the_same_arguments(argv):
    command = remote_command(["printf", r"%s\0", *argv])
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1] == argv


@pytest.mark.parametrize("argument", [word for word in HOSTILE if word])
def test_rsync_passes_on_what_its_shell_option_quotes(recorder, argument):
    assert recorder([argument, "end"]) == [argument, "end", "host"]


@settings(max_examples=20)
@given(st.lists(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1), min_size=1, max_size=5))
def test_rsync_takes_its_shell_option_apart_into_the_same_arguments(recorder, argv):
    assert recorder(argv) == [*argv, "host"]
