# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Standbys of which something is here already."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import workers as _workers
from ansible_collections.pgfleet.standby.tests.copies.methods.whole_copy import CONTROL, refused
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import DATA, PULLS, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import control_text


@pytest.fixture
def impatient(monkeypatch):
    """Waits of retries are recorded, not waited for."""
    waits = []
    monkeypatch.setattr(_workers, "time", SimpleNamespace(sleep=waits.append, monotonic=time.monotonic))
    return waits


@pytest.fixture
def interrupted(host):
    """A copy that broke off because one file of the backup could not be read; the file is back."""
    host.hook(f"case $command in {PULLS} rm -f {host.data}/pg_xact/0000 ;; esac")
    assert refused(host).code == "backup_files_missing"
    host.healthy()
    host.forget_calls()
    write_tree(host.data, {"pg_xact/0000": DATA["pg_xact/0000"]})
    return host


@pytest.fixture
def older(host):
    """A finished copy of an older backup of the same cluster; the next one is to replace it."""
    host.copy(backup=host.second_backup())
    host.forget_calls()
    return host


@pytest.fixture
def another(older):
    """A cluster of another system."""
    write_tree(older.pgdata, {CONTROL: control_text(system_identifier=1)})
    return older


# What is there already, and the level of overwrite that a copy over it needs.
THERE = {"resume": ("interrupted", "never"), "delta": ("older", "same_cluster"), "replace": ("another", "always")}


@pytest.fixture(params=THERE)
def used(request):
    """Where something is already: an interrupted copy, or a cluster that may be overwritten."""
    fixture, level = THERE[request.param]
    host = request.getfixturevalue(fixture)
    host.overwrite = {"overwrite": level}
    return host
