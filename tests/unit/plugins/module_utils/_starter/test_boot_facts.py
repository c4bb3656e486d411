# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reboot will do, as the database's OS user may know it."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._starter import unit_facts as _unit_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.boot_facts import reboot_of

# A host without a bus: systemd answers root alone, and systemctl reads the units' files.
NO_BUS = """\
#!/bin/sh
case "$1 $4" in
"show "*) echo "Failed to connect to bus: No such file or directory" >&2; exit 1 ;;
{cases}
esac
exit 1
"""
WITH_BUS = """\
#!/bin/sh
printf 'LoadState=loaded\\nUnitFileState={state}\\n'
"""


@pytest.fixture
def systemd(host, tmp_path, monkeypatch):
    """A booted systemd that answers over the bus, or, for a table of states, only by its files."""
    monkeypatch.setattr(_unit_facts, "_BOOTED", str(tmp_path))

    def says(states):
        if isinstance(states, str):
            host.program("systemctl", WITH_BUS.format(state=states))
            return
        cases = "\n".join(f'"--root=/ {name}") echo {state}; exit 0 ;;' for name, state in states.items())
        host.program("systemctl", NO_BUS.format(cases=cases))

    return says


@pytest.mark.parametrize(
    ("states", "starts"),
    [
        ("enabled", True),
        ("disabled", False),
        ({"postgresql-15": "enabled"}, True),
        ({"postgresql-15": "disabled"}, False),
        ({"postgresql-15": "masked"}, False),
        ({}, None),
    ],
)
def test_of_a_unit(systemd, states, starts):
    systemd(states)
    assert reboot_of("postgresql-15").starts is starts


@pytest.mark.parametrize(
    ("umbrella", "start", "starts"),
    [
        ("enabled", "auto", True),
        ("disabled", "auto", False),
        ("enabled", "manual", False),
        ("enabled", "disabled", False),
    ],
)
def test_of_a_cluster_of_debians(systemd, tmp_path, monkeypatch, umbrella, start, starts):
    (tmp_path / "start.conf").write_text(f"{start}\n")
    monkeypatch.setattr(_unit_facts, "debian_directory", lambda service: str(tmp_path) if "@" in service else None)
    systemd({"postgresql@15-main": "enabled-runtime", "postgresql.service": umbrella})
    assert reboot_of("postgresql@15-main").starts is starts


def test_on_a_host_without_systemd_it_is_not_known(systemd, monkeypatch):
    systemd({})
    monkeypatch.setattr(_unit_facts, "_BOOTED", "/nowhere")
    assert reboot_of("postgresql-15").starts is None
