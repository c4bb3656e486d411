# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pulls files, and five files to pull."""

from __future__ import annotations

import shutil
import time
from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._commands import connection as _connection
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.connection import Connection
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.progress import Progress
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer import workers as _workers
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.rsync_pull import RsyncPull
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import root_of, write_tree

# An rsync at this end that notes what it is to do and which files it is to bring. ``before`` and ``after`` are shell
# code; the one at the far end, which is the same program in these tests, is left alone.
RSYNC = """\
#!/bin/sh
[ "$1" != --server ] || exec {real} "$@"
for word; do
    echo "$word"
    case $word in --files-from=*) tr '\\0' '|' <"${{word#*=}}"; echo ;; esac
done >>'{root}/rsync'
{before}
{real} "$@" || exit
{after}
"""


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The longest that each wait may last; nothing is waited for."""
    recorded = []
    clock = SimpleNamespace(sleep=recorded.append, monotonic=time.monotonic)
    for unit in (_workers, _connection):
        monkeypatch.setattr(unit, "time", clock)
        monkeypatch.setattr(unit, "random", SimpleNamespace(uniform=lambda low, high: high))
    return recorded


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "target"
    path.mkdir()
    return path


@pytest.fixture
def source(host):
    """Five files."""
    write_tree(host.root / "source", {f"file {number}": str(number) * 1000 for number in range(5)})
    return host.root / "source"


@pytest.fixture
def root(source, target):
    return root_of(source, target)


@pytest.fixture
def shards(root):
    """One for each file."""
    return [Shard(root, [position]) for position in range(len(root.files))]


@pytest.fixture
def transfer(host, tmp_path, monkeypatch):
    """Makes transfers by so many workers, in a scratch directory."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    made = []
    with open("lock", "w", encoding="utf-8") as lock:

        def make(workers=2, **changed):
            connections = [Connection(host.source, f"ssh-{number}") for number in range(workers)]
            made.extend(connections)
            return RsyncPull(connections, lock.fileno(), Progress("progress.json"), **changed)

        yield make
        for connection in made:
            connection.close()


@pytest.fixture
def rsync(host):
    """Watches the rsyncs at this end; returns their arguments and names so far, a line each."""

    def watch(before="", after=""):
        real = shutil.which("rsync")
        host.program("rsync", RSYNC.format(real=real, root=host.root, before=before, after=after))
        return lambda: (host.root / "rsync").read_text(encoding="utf-8").splitlines()

    return watch
