# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With keep_old a copy renames what it would overwrite. Nothing here changes anything."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.overwrite import (
    preview,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._clone.permits import (
    CLUSTER,
    permitted,
    refused,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import (
    TABLESPACE,
    read_tree,
    write_tree,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    RECORD,
    REWINDING,
)
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import data_directory as found


class TestKeeping:
    """With keep_old a copy over a cluster is one into an empty directory."""

    @pytest.fixture
    def cluster(self, host):
        write_tree(host.pgdata, CLUSTER)
        write_tree(host.fast, TABLESPACE)
        (host.pgdata / "pg_tblspc").mkdir()
        (host.pgdata / "pg_tblspc/4711").symlink_to(host.fast)
        return host

    @pytest.mark.parametrize("overwrite", ["same_cluster", "always"])
    def test_names_what_will_be_renamed(self, cluster, overwrite):
        job = cluster.job(overwrite=overwrite, keep_old=True)
        before = read_tree(cluster.root / "standby")
        told = preview(job)
        assert (told.action, told.kept_old) == ("clone", (f"{cluster.pgdata}.old", f"{cluster.fast}.old"))
        assert read_tree(cluster.root / "standby") == before

    def test_of_what_is_not_wanted_renames_nothing(self, cluster):
        told = preview(cluster.job(overwrite="same_cluster"))
        assert (told.action, told.kept_old) == ("delta", ())

    @pytest.mark.parametrize(
        "directory",
        [
            found("absent"),
            found("empty"),
            found("incomplete", record={"backup_id": "x"}),
            found("standby", record=RECORD),
            found("incomplete", record=REWINDING),
        ],
        ids=["absent", "empty", "incomplete", "done", "half rewound and gone"],
    )
    def test_is_not_for_what_is_not_overwritten(self, host, directory):
        granted = permitted(host.job(keep_old=True), directory)
        assert (granted.keep_plan, granted.kept_old) == (None, ())

    @pytest.mark.parametrize(
        ("more", "plan"),
        [({}, None), ({"phase": "keeping", "moves": [["/a", "/a.old"], ["/b", "/b.old"]]}, ("/a.old", "/b.old"))],
        ids=["all is renamed", "a part is renamed"],
    )
    def test_of_an_unfinished_copy_is_what_that_has_kept(self, host, more, plan):
        record = {"backup_id": "x", "phase": "copying", "kept_old": ["/a.old", "/b.old"], **more}
        granted = permitted(host.job(keep_old=True), found("incomplete", record=record))
        assert (granted.action, granted.kept_old) == ("resume", ("/a.old", "/b.old"))
        assert (granted.keep_plan and granted.keep_plan.kept) == plan

    def test_needs_consent_all_the_same(self, cluster):
        job = cluster.job(keep_old=True)
        assert refused(permitted, job).code == "data_directory_cluster"

    def test_is_refused_with_all_reasons(self, cluster):
        for place in (cluster.pgdata, cluster.fast):
            write_tree(place.parent / f"{place.name}.old", {"precious": "x"})
        job = cluster.job(overwrite="same_cluster", keep_old=True)
        error = refused(preview, job)
        assert (error.code, error.result["error_codes"]) == ("keep_old_exists", ["keep_old_exists"] * 2)
        for words in ("Nothing was changed", "(1)", "(2)", f"{cluster.pgdata}.old", f"{cluster.fast}.old", "Next:"):
            assert words in error.msg

    @pytest.mark.parametrize("name", ["pgdata.old", "pgdata.old/fast", "fast.old"])
    def test_is_refused_where_the_copy_would_write(self, cluster, name):
        changed = {"tablespaces": {16388: str(cluster.fast)}, "waldir": str(cluster.root / "standby" / name)}
        job = cluster.job(overwrite="same_cluster", keep_old=True, **changed)
        assert refused(permitted, job).code == "path_overlap"
