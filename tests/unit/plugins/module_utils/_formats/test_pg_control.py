# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_control as servers of every major version wrote it. tests/servers compares it with running ones."""

from __future__ import annotations

import itertools
import struct

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.crc32c import crc32c
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pg_control import (
    DamagedControlError,
    parse_control_file,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import ControlData
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import FIXTURES, recorded_control
from hypothesis import given
from hypothesis import strategies as st

MAJORS = range(10, 19)
# Where the checksum is, which ends the structure.
CRC = {10: 288, 11: 280, **dict.fromkeys(range(12, 18), 288), 18: 292}
SETTINGS = {
    "max_connections": 31,
    "max_worker_processes": 9,
    "max_wal_senders": 7,
    "max_prepared_transactions": 3,
    "max_locks_per_transaction": 65,
}
# In the order of DBState in catalog/pg_control.h.
STATES = [
    "starting up",
    "shut down",
    "shut down in recovery",
    "shutting down",
    "in crash recovery",
    "in archive recovery",
    "in production",
]


def refused(content):
    with pytest.raises(DamagedControlError) as error:
        parse_control_file(bytes(content))
    assert error.value.code == "control_data_unreadable"
    return error.value.msg


def changed(major, place, kind, value):
    """The recorded file with another field, and the checksum for it."""
    content = bytearray(recorded_control(major))
    struct.pack_into(kind, content, place, value)
    struct.pack_into("<I", content, CRC[major], crc32c(bytes(content[: CRC[major]])))
    return bytes(content)


@pytest.mark.parametrize(
    ("data", "checksum"),
    [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],
)
def test_the_checksum_is_the_one_of_rfc_3720(data, checksum):
    assert crc32c(data) == checksum


def test_reads_what_pg_controldata_prints():
    lines = (FIXTURES / "postgresql" / "pg_controldata-15.txt").read_text(encoding="utf-8").splitlines()
    told = {name: value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
    assert parse_control_file(recorded_control(15)) == ControlData(
        system_identifier=told["Database system identifier"],
        state=told["Database cluster state"],
        timeline=int(told["Latest checkpoint's TimeLineID"]),
        checkpoint_lsn=told["Latest checkpoint location"],
        block_size=int(told["Database block size"]),
        wal_segment_size=int(told["Bytes per WAL segment"]),
        data_checksums=told["Data page checksum version"] != "0",
        settings={
            "max_connections": int(told["max_connections setting"]),
            "max_worker_processes": int(told["max_worker_processes setting"]),
            "max_wal_senders": int(told["max_wal_senders setting"]),
            "max_prepared_transactions": int(told["max_prepared_xacts setting"]),
            "max_locks_per_transaction": int(told["max_locks_per_xact setting"]),
        },
        redo_lsn=told["Latest checkpoint's REDO location"],
        min_recovery_lsn=told["Minimum recovery ending location"],
        min_recovery_timeline=int(told["Min recovery ending loc's timeline"]),
        next_oid=int(told["Latest checkpoint's NextOID"]),
        wal_log_hints=told["wal_log_hints setting"] == "on",
    )


@pytest.mark.parametrize("major", MAJORS)
def test_reads_every_version(major):
    found = parse_control_file(recorded_control(major))
    settings = dict(SETTINGS)
    if major < 12:  # it was not yet a setting that a standby needs
        del settings["max_wal_senders"]
    assert (found.state, found.timeline, found.settings, found.wal_log_hints) == ("shut down", 1, settings, True)
    assert (found.block_size, found.wal_segment_size, found.data_checksums) == (8192, 16 << 20, major == 18)
    assert (found.min_recovery_lsn, found.min_recovery_timeline) == ("0/0", 0)
    assert found.checkpoint_lsn == found.redo_lsn
    assert found.next_oid == 16387


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize(("number", "state"), list(enumerate(STATES)))
def test_a_state_is_told_in_pg_controldatas_words(major, number, state):
    assert parse_control_file(changed(major, 16, "<I", number)).state == state


def not_known(content):
    """Whole for all that can be told, so no damage."""
    with pytest.raises(StandbyError) as error:
        parse_control_file(bytes(content))
    assert not isinstance(error.value, DamagedControlError)
    assert error.value.code == "control_data_unknown"
    return error.value.msg


def test_an_unknown_state_is_not_believed():
    assert "unknown state, number 7" in not_known(changed(18, 16, "<I", 7))


@pytest.mark.parametrize("major", MAJORS)
def test_a_large_position_is_written_as_postgresql_does(major):
    assert parse_control_file(changed(major, 32, "<Q", 0x12_0000_ABCD)).checkpoint_lsn == "12/ABCD"


@given(st.sampled_from(MAJORS), st.data())
def test_every_flipped_bit_is_noticed(major, data):
    content = bytearray(recorded_control(major))
    bit = data.draw(st.integers(0, (CRC[major] + 4) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    refused(content)


@given(st.sampled_from(MAJORS), st.integers(0, 8191))
def test_a_file_that_ends_early_is_noticed(major, size):
    assert f"has {size} bytes instead of 8192" in refused(recorded_control(major)[:size])


@given(st.sampled_from(MAJORS), st.integers(1, 39))
def test_a_file_of_two_halves_is_noticed(major, words):
    """What a reader may see while it is written: the beginning is new, the rest is old."""
    old = recorded_control(major)
    new = changed(major, 24, "<q", 0x7FFF_FFFF_FFFF_FFFF)  # the time of the change, in bytes 24 to 31
    torn = new[: words * 8] + old[words * 8 :]
    if torn not in (old, new):
        refused(torn)


@given(st.sampled_from(MAJORS), st.binary(max_size=300))
def test_nothing_else_is_believed(major, content):
    refused(content.ljust(8192, b"\0"))
    refused(recorded_control(major)[:12] + content.ljust(8180, b"\0"))


@pytest.mark.parametrize(
    ("version", "said"),
    [
        pytest.param(bytes(4), "version 0", id="zeros"),
        pytest.param(struct.pack("<I", 960), "version 960", id="PostgreSQL 9.6"),
        pytest.param(struct.pack("<I", 1900), "PostgreSQL 10 to 18 do not have", id="of the future"),
        pytest.param(struct.pack(">I", 1300), "another byte order", id="big-endian"),
    ],
)
def test_another_format_is_told(version, said):
    content = bytearray(recorded_control(15))
    content[8:12] = version
    assert said in refused(content), "its checksum is wrong as well"
    for size, order in itertools.product((208, 288, 296, 412, 508), "<>"):
        struct.pack_into(f"{order}I", content, size, crc32c(bytes(content[:size])))
        assert said in not_known(content)
        content[size : size + 4] = bytes(4)
