# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that has diverged, and a pg_rewind that only pretends."""

from __future__ import annotations

import stat

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.rewind import (
    RewindTask,
    require_rewindable,
    rewind,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import read_tree, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    CONTROL_TEXT,
    upstream,
)

ANSWER = '{"user": "u", "in_recovery": false, "full_page_writes": "on", "lacks": null, "tablespaces": null}'
SAID = """\
pg_rewind: servers diverged at WAL location 0/1000000 on timeline 1
pg_rewind: need to copy 50 MB (total source directory size is 70 MB)
"""
# What of the upstream's arrives with a real one.
PG_REWIND = """\
#!/bin/sh
printf '%s\\n' "$@" >>'{root}/argv'
cat '{root}/said' >&2
case $* in *--dry-run*) exit 0 ;; esac
stat -c %a '{pgdata}' >'{root}/mode'
cat '{state}/state.json' >'{root}/state'
cd '{pgdata}' || exit 1
rm -rf log pg_replslot/own
mkdir -p pg_replslot/theirs log
echo theirs | tee pg_replslot/theirs/state log/theirs.log postgresql.conf recovery.signal base/data >/dev/null
echo "primary_conninfo = 'host=theirs'" >postgresql.auto.conf
{then}
"""
CLUSTER = {
    "PG_VERSION": "15\n",
    "base/data": "own",
    "global/pg_control": CONTROL_TEXT,
    "log/own.log": "own",
    "pg_replslot/own/state": "own",
    "pg_wal/000000010000000000000001": "w",
    "postgresql.auto.conf": "work_mem = '8MB'\nprimary_conninfo = 'host=old'\n",
    "postgresql.conf": "own",
}
THERE = {"timeline": 2, "lsn": 0x5000000, "history": ((1, 0x1000000),)}


class Rewinding:
    def __init__(self, host):
        self.host = host
        write_tree(host.pgdata, CLUSTER)
        host.pgdata.chmod(0o700)
        (host.root / "said").write_text(SAID, encoding="utf-8")
        host.program("psql", f"#!/bin/sh\necho '{ANSWER}'\n")
        self.pretends()

    def pretends(self, then="exit 0"):
        text = PG_REWIND.format(root=self.host.root, pgdata=self.host.pgdata, state=self.host.state, then=then)
        self.host.program("pg_rewind", text)

    def task(self, **changed):
        return RewindTask(
            **{
                "data_directory": str(self.host.pgdata),
                "state_directory": str(self.host.state),
                "bindir": str(self.host.programs),
                "keywords": {"host": "n1"},
                "upstream": upstream(**THERE),
                **changed,
            }
        )

    def run(self, progress=None, **changed):
        task = self.task(**changed)
        return rewind(task, require_rewindable(task), progress)

    def refused(self, **changed):
        """Nothing is changed."""
        before = read_tree(self.host.pgdata.parent)
        with pytest.raises(StandbyError) as error:
            self.run(**changed)
        assert "Next: " in error.value.msg
        assert read_tree(self.host.pgdata.parent) == before
        assert self.mode == 0o700
        return error.value

    def found(self):
        return inspect(str(self.host.pgdata), str(self.host.state))

    def said(self, name):
        return (self.host.root / name).read_text(encoding="utf-8")

    @property
    def mode(self):
        return stat.S_IMODE(self.host.pgdata.stat().st_mode)
