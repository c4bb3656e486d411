# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of global/pg_control, of PostgreSQL 10 to 18. Pure. Private to the collection.

The file is one C structure, ControlFileData, that ends with a checksum (PostgreSQL source, catalog/pg_control.h, of
10 to 18). Reading the file here needs no program of the right version. A wrong checksum is refused here, while
pg_controldata only warns.
"""

from __future__ import annotations

import struct
from typing import Any, Literal, NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.crc32c import crc32c
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.lsn import format_lsn
from ansible_collections.pgfleet.standby.plugins.module_utils._model import HOT_STANDBY_SETTINGS, ControlData

__all__ = ["DamagedControlError", "parse_control_file"]

_FILE_BYTES = 8192  # PG_CONTROL_FILE_SIZE

# PG_CONTROL_VERSION of each major version (catalog/pg_control.h); 13 to 16 have the same, and so count as 13.
_VERSIONS = {1002: 10, 1100: 11, 1201: 12, 1300: 13, 1700: 17, 1800: 18}

# The structure is never larger, so that it fits into a disk's sector (PG_CONTROL_MAX_SAFE_SIZE).
_MOST_BYTES = 512

_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")

_VERSION = struct.Struct("<8xI")

# DBState in the order of its numbers, in the words of pg_controldata (bin/pg_controldata/pg_controldata.c).
_STATES = (
    "starting up",
    "shut down",
    "shut down in recovery",
    "shutting down",
    "in crash recovery",
    "in archive recovery",
    "in production",
)


class _Field(NamedTuple):
    """A member of the structure, its type as in the module struct, and the major versions that have it."""

    name: str
    type: str
    first: int = 10
    last: int = 18


_FIELDS = (
    _Field("system_identifier", "Q"),
    _Field("pg_control_version", "I"),
    _Field("catalog_version_no", "I"),
    _Field("state", "I"),
    _Field("time", "q"),
    _Field("checkpoint", "Q"),
    _Field("previous_checkpoint", "Q", last=10),
    # A copy of the latest checkpoint's record:
    _Field("redo", "Q"),
    _Field("timeline", "I"),
    _Field("previous_timeline", "I"),
    _Field("full_page_writes", "B"),
    _Field("checkpoint_wal_level", "I", first=17),
    _Field("next_xid_epoch", "I", last=11),
    _Field("next_xid", "I", last=11),
    _Field("next_full_xid", "Q", first=12),
    _Field("next_oid", "I"),
    _Field("next_multi", "I"),
    _Field("next_multi_offset", "I"),
    _Field("oldest_xid", "I"),
    _Field("oldest_xid_database", "I"),
    _Field("oldest_multi", "I"),
    _Field("oldest_multi_database", "I"),
    _Field("checkpoint_time", "q"),
    _Field("oldest_commit_timestamp_xid", "I"),
    _Field("newest_commit_timestamp_xid", "I"),
    _Field("oldest_active_xid", "I"),
    # The cluster again:
    _Field("unlogged_lsn", "Q"),
    _Field("min_recovery", "Q"),
    _Field("min_recovery_timeline", "I"),
    _Field("backup_start", "Q"),
    _Field("backup_end", "Q"),
    _Field("backup_end_required", "B"),
    _Field("wal_level", "I"),
    _Field("wal_log_hints", "B"),
    _Field("max_connections", "I"),
    _Field("max_worker_processes", "I"),
    _Field("max_wal_senders", "I", first=12),
    _Field("max_prepared_transactions", "I"),
    _Field("max_locks_per_transaction", "I"),
    _Field("track_commit_timestamp", "B"),
    _Field("max_align", "I"),
    _Field("float_format", "d"),
    _Field("block_size", "I"),
    _Field("blocks_per_file", "I"),
    _Field("wal_block_size", "I"),
    _Field("wal_segment_size", "I"),
    _Field("name_length", "I"),
    _Field("index_columns", "I"),
    _Field("toast_chunk", "I"),
    _Field("large_object_chunk", "I"),
    _Field("float4_by_value", "B", last=12),
    _Field("float8_by_value", "B"),
    _Field("data_checksum_version", "I"),
    _Field("default_char_signedness", "B", first=18),
    _Field("mock_authentication_nonce", "32s"),
    _Field("crc", "I"),
)


class DamagedControlError(StandbyError):
    """A pg_control that no server would take. One of a format that is not known here is none of these."""


def parse_control_file(content: bytes) -> ControlData:
    """What pg_controldata shows of the file.

    Raises DamagedControlError for a damaged file, and StandbyError for one that is as it should be for all we know:
    of another version, or of a machine of another kind.
    """
    if len(content) != _FILE_BYTES:
        raise _damaged(f"has {len(content)} bytes instead of {_FILE_BYTES}")
    (version,) = _VERSION.unpack_from(content)
    if version not in _VERSIONS:
        said = f"has version {version} of its format, which PostgreSQL 10 to 18 do not have"
        if int.from_bytes(content[8:12], "big") in _VERSIONS:
            said = "was written on a machine of another byte order"
        raise _unknown(said) if _is_whole(content) else _damaged(said)
    offsets = _offsets(_VERSIONS[version])
    values = {name: struct.unpack_from(f"<{kind}", content, at)[0] for name, (at, kind) in offsets.items()}
    if values["crc"] != crc32c(content[: offsets["crc"][0]]):
        raise _damaged("has a wrong checksum")
    if values["state"] >= len(_STATES):
        raise _unknown(f"has an unknown state, number {values['state']}")
    return _control_data(values)


def _is_whole(content: bytes) -> bool:
    """Whether a structure of any size ends with its own checksum, as in all releases from 9.5 on."""
    return any(
        int.from_bytes(content[at : at + 4], order) == checksum
        for at in range(4, _MOST_BYTES, 4)
        for checksum in (crc32c(content[:at]),)
        for order in _ORDERS
    )


def _control_data(values: dict[str, Any]) -> ControlData:
    return ControlData(
        system_identifier=str(values["system_identifier"]),
        state=_STATES[values["state"]],
        timeline=values["timeline"],
        checkpoint_lsn=format_lsn(values["checkpoint"]),
        block_size=values["block_size"],
        wal_segment_size=values["wal_segment_size"],
        data_checksums=values["data_checksum_version"] != 0,
        settings={name: values[name] for name in HOT_STANDBY_SETTINGS if name in values},
        redo_lsn=format_lsn(values["redo"]),
        min_recovery_lsn=format_lsn(values["min_recovery"]),
        min_recovery_timeline=values["min_recovery_timeline"],
        next_oid=values["next_oid"],
        wal_log_hints=values["wal_log_hints"] != 0,
    )


def _offsets(major: int) -> dict[str, tuple[int, str]]:
    """Where each member begins, and its type: every number at a multiple of its size, as 64-bit machines have it."""
    found, end = {}, 0
    for field in _FIELDS:
        if field.first <= major <= field.last:
            size = struct.calcsize(f"<{field.type}")
            alignment = 1 if field.type.endswith("s") else size
            begin = -(-end // alignment) * alignment
            found[field.name] = (begin, field.type)
            end = begin + size
    return found


def _damaged(why: str) -> DamagedControlError:
    return DamagedControlError(
        Refusal(
            "control_data_unreadable",
            f"pg_control {why}.",
            "if it is a backup's, choose another backup_id; a damaged cluster has to be removed or restored",
        )
    )


def _unknown(why: str) -> StandbyError:
    return StandbyError(
        Refusal(
            "control_data_unknown",
            f"pg_control {why}. Such a cluster may be whole, and is left alone whatever is allowed.",
            "use a release of this collection that knows that version of PostgreSQL, or another directory",
        )
    )
