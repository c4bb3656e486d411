# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a copy: what makes the files a standby's, then the one file that makes them a cluster's.

Private to the collection.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Target
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.verification import Verification
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import (
    fsync_directory,
    private_directory,
    read_small,
    write_atomically,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import parse_backup_label
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Backup
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import control_data
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.files import stand_by
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.leftovers import without_leftovers

__all__ = ["commit", "empty_staging", "finish"]

_STAGING = "control"


def finish(target: Target, major: int, settings: Mapping[str, str]) -> None:
    """Links, the standby signal, and settings without the source's recovery. Raises StandbyError."""
    top = target.data_directory
    mode = _mode(os.path.join(top, "PG_VERSION"))
    for oid, place in target.tablespaces.items():
        os.symlink(place, os.path.join(top, "pg_tblspc", str(oid)))
    if target.waldir is not None:
        directory_mode = _mode(top)
        private_directory(target.waldir, directory_mode)
        private_directory(os.path.join(target.waldir, "archive_status"), directory_mode)
        os.symlink(target.waldir, os.path.join(top, "pg_wal"))
    stand_by(top, major, mode)
    auto_conf = os.path.join(top, "postgresql.auto.conf")
    write_atomically(auto_conf, without_leftovers(read_small(auto_conf) or "", settings), mode)


def empty_staging() -> str:
    """A directory below the working one for the backup's pg_control, by its name."""
    shutil.rmtree(_STAGING, ignore_errors=True)
    os.makedirs(os.path.join(_STAGING, "global"), mode=0o700)
    return _STAGING


def commit(
    backup: Backup,
    data_directory: str,
    staging: str,
    verification: Verification | None,
    record: Callable[[str], None],
) -> None:
    """Look at the pg_control below ``staging``, and let it appear in one rename. Raises StandbyError.

    ``staging`` goes after that: a run that is killed before finds there what it needs to end the copy.
    """
    _require_consistent(backup, data_directory, staging)
    if verification is not None:
        verification.require_control(staging)
    final = os.path.join(data_directory, CONTROL)
    temporary = final + ".new"
    shutil.copyfile(os.path.join(staging, CONTROL), temporary)
    os.chmod(temporary, _mode(os.path.join(data_directory, "PG_VERSION")))
    _fsync_file(temporary)
    record("committing")
    os.rename(temporary, final)
    fsync_directory(os.path.dirname(final))
    shutil.rmtree(staging)
    fsync_directory(data_directory)
    record("committed")


def _require_consistent(wanted: Backup, data_directory: str, staging: str) -> None:
    """pg_control, backup_label and the catalogue must speak of the same backup."""
    control = control_data(staging, f"Backup {wanted.backup_id}")
    label = parse_backup_label(read_small(os.path.join(data_directory, "backup_label")) or "")
    if wanted.system_identifier not in (None, control.system_identifier):
        raise StandbyError(
            Refusal(
                "backup_inconsistent",
                f"pg_control of backup {wanted.backup_id} has system identifier {control.system_identifier},"
                f" the catalogue says {wanted.system_identifier}.",
                "choose another backup_id",
            )
        )
    if wanted.begin_lsn not in (None, label.begin_lsn):
        raise StandbyError(
            Refusal(
                "backup_inconsistent",
                f"backup_label of backup {wanted.backup_id} begins at {label.begin_lsn},"
                f" the catalogue says {wanted.begin_lsn}.",
                "choose another backup_id",
            )
        )


def _mode(path: str) -> int:
    return os.stat(path).st_mode & 0o777


def _fsync_file(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
