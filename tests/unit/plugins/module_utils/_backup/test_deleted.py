# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy whose files have gone: whether the backup has, too."""

from __future__ import annotations

import shutil

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.deleted import explain_missing_files
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError


def failing(host, code="backup_files_missing", packed=False):
    with pytest.raises(StandbyError) as failed, explain_missing_files(host.source, host.backup(), packed):
        raise StandbyError(Refusal(code, "files are missing", "run again"), rc=23)
    return failed.value


def test_a_backup_that_was_deleted(host):
    shutil.rmtree(host.backup_directory)
    error = failing(host)
    assert (error.code, error.result["rc"]) == ("backup_deleted", 23)
    assert "is no longer on barman@backup-host while it was copied" in error.msg


def test_a_backup_that_is_being_deleted(host):
    (host.data / "backup_label").unlink()
    error = failing(host)
    assert (error.code, "is no longer whole" in error.msg) == ("backup_deleted", True)


@pytest.mark.parametrize("code", ["backup_files_missing", "disk_full"])
def test_a_backup_that_is_there(host, code):
    assert failing(host, code).code == code


@pytest.mark.parametrize(("left", "code"), [(True, "backup_files_missing"), (False, "backup_deleted")])
def test_a_packed_one_is_known_by_its_manifest(host, left, code):
    shutil.rmtree(host.data)
    host.data.mkdir()
    if left:
        (host.data / "backup_manifest").touch()
    assert failing(host, packed=True).code == code


def test_a_host_that_cannot_be_asked(host):
    shutil.rmtree(host.backup_directory)
    host.hook("exit 255")
    assert failing(host).code == "backup_files_missing"
