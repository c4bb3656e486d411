# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.placeholders import (
    unknown_placeholder,
    unknown_placeholders,
)
from hypothesis import given
from hypothesis import strategies as st

KNOWN = {"restore_command": "fpr", "archive_cleanup_command": "r", "recovery_end_command": "r", "archive_command": "fp"}


@pytest.mark.parametrize(
    ("name", "command", "wrong"),
    [
        ("restore_command", "cp /a/%f %p", None),
        ("restore_command", "cp /a/%f %p; clean %r; date +%%s", None),
        ("restore_command", "cp /a/%f %p || date +%s", "%s"),
        ("restore_command", "cp /a/%f %p # 100%", "%"),
        ("restore_command", "cp '/a/50% off/%f' %p", "% "),
        ("restore_command", "%%%f %p %%", None),
        ("restore_command", "%%%%s", None),
        ("restore_command", "%%%s", "%s"),
        ("restore_command", "%F", "%F"),
        ("restore_command", "%\u00e9", "%\u00e9"),
        ("restore_command", "", None),
        ("archive_cleanup_command", "pg_archivecleanup /a %r", None),
        ("archive_cleanup_command", "rm /a/%f", "%f"),
        ("recovery_end_command", "touch /a/%r.%%", None),
        ("recovery_end_command", "touch /a/%p", "%p"),
        ("archive_command", "cp %p /a/%f", None),
        ("archive_command", "cp %p /a/%r", "%r"),
        ("ssl_passphrase_command", "pass '%p'", None),
        ("ssl_passphrase_command", "pass '%f'", "%f"),
        ("log_line_prefix", "%m [%p] %z", None),
    ],
)
def test_of_a_command(name, command, wrong):
    assert unknown_placeholder(name, command) == wrong


@given(st.sampled_from(sorted(KNOWN)), st.text(alphabet="%fprx ", max_size=12))
def test_is_what_is_left_when_all_known_ones_are_replaced_from_left_to_right(name, command):
    rest, left = command, ""
    while rest:
        width = 2 if rest[0] == "%" and rest[1:2] and rest[1] in f"%{KNOWN[name]}" else 1
        left += rest[:width] if width == 1 else ""
        rest = rest[width:]
    assert (unknown_placeholder(name, command) is not None) == ("%" in left)


def test_the_refusal_names_the_placeholder_and_what_is_known_and_never_the_command():
    refusal = unknown_placeholders({"restore_command": "cp %f %p", "archive_cleanup_command": "PGPASSWORD=Geh3im %s"})
    assert refusal.code == "command_placeholder_unknown"
    assert "archive_cleanup_command holds '%s'" in refusal.found
    assert "archive_cleanup_command knows %%, %r" in refusal.next_step
    assert "Geh3im" not in refusal.msg
