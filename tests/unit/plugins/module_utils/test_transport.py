# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cipher and which compression."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._transport import (
    Calibration,
    ciphers_of,
    compression_options,
    compressions_of,
    faster_ciphers,
    usable_compressions,
)

CHACHA, CTR, GCM128, GCM256 = (
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
)
DEFAULT = [CHACHA, CTR, GCM128, GCM256]
MB = 1 << 20

# Printed by rsync 3.5.0 and, without a list, by 3.1.3.
RSYNC_35 = """rsync  version 3.5.0  protocol version 32
Checksum list:
    xxh128 xxh3 xxh64 (xxhash) md5 md4 sha1 none
Compress list:
    zstd lz4 zlibx zlib none
Daemon auth list:
    sha512 sha256 sha1 md5 md4
"""
RSYNC_31 = """rsync  version 3.1.3  protocol version 31
Capabilities:
    64-bit files, 64-bit inums, 64-bit timestamps, 64-bit long ints,
"""


@pytest.mark.parametrize(
    ("effective", "wanted"),
    [
        pytest.param(DEFAULT, [GCM128, GCM256, CHACHA, CTR], id="nobody has an opinion"),
        pytest.param([CTR, CHACHA], [], id="the user chose others"),
        pytest.param([CHACHA, GCM256], [], id="the user chose some"),
        pytest.param([], [], id="ssh does not tell"),
    ],
)
def test_ciphers(effective, wanted):
    assert faster_ciphers(effective, DEFAULT) == wanted


def test_no_cipher_is_named_that_the_host_does_not_allow():
    allowed = [CHACHA, CTR, GCM256]
    assert faster_ciphers(allowed, allowed) == [GCM256, CHACHA, CTR]
    assert faster_ciphers([CHACHA, CTR], [CHACHA, CTR]) == []


def test_ciphers_of_ssh():
    assert ciphers_of(f"user barman\nciphers {CHACHA},{CTR}\nmacs hmac-sha2-256\n") == [CHACHA, CTR]
    assert ciphers_of("") == []


def test_compressions_of_rsync():
    assert compressions_of(RSYNC_35) == {"zstd", "lz4", "zlibx", "zlib", "none"}
    assert compressions_of(RSYNC_31) == set()


@pytest.mark.parametrize(
    ("wanted", "here", "there", "usable"),
    [
        pytest.param("auto", {"zstd", "lz4"}, {"zstd", "lz4"}, ("lz4", "zstd", "none"), id="both have both"),
        pytest.param("auto", {"zstd", "lz4"}, {"zlib"}, ("none",), id="one end has none"),
        pytest.param("auto", {"zstd", "lz4"}, {"zstd"}, ("zstd", "none"), id="one in common"),
        pytest.param("zstd", {"zstd"}, {"zstd"}, ("zstd",), id="asked for"),
        pytest.param("none", set(), set(), ("none",), id="none can all"),
    ],
)
def test_usable_compressions(wanted, here, there, usable):
    assert usable_compressions(wanted, here, there) == usable


def test_a_missing_compression_is_refused():
    with pytest.raises(StandbyError, match=r"compress=lz4.*both have none, zstd") as refused:
        usable_compressions("lz4", {"lz4", "zstd"}, {"zstd"})
    assert refused.value.code == "compress_unsupported"


def test_every_compression_has_options():
    assert [compression_options(name)[-1:] for name in ("none", "lz4")] == [(), ("--compress-choice=lz4",)]
    assert "--compress-level=1" in compression_options("zstd")


class TestCalibration:
    def test_every_choice_gets_a_sample_first(self):
        calibration = Calibration(("lz4", "zstd", "none"))
        assert [calibration.next(8 * MB) for _shard in range(4)] == ["lz4", "zstd", "none", "lz4"]

    def test_small_shards_are_no_samples(self):
        calibration = Calibration(("lz4", "none"))
        assert [calibration.next(1), calibration.next(8 * MB), calibration.next(8 * MB)] == ["lz4", "lz4", "none"]
        calibration.record("none", 1, 0.0001)
        assert calibration.best() == "lz4"

    @pytest.mark.parametrize(
        ("seconds", "best"),
        [
            pytest.param({"lz4": 1, "zstd": 2, "none": 3}, "lz4", id="a fast link"),
            pytest.param({"lz4": 3, "zstd": 2, "none": 9}, "zstd", id="a slow link"),
            pytest.param({"lz4": 2.2, "zstd": 3, "none": 2}, "none", id="random bytes"),
        ],
    )
    def test_the_fastest_gets_the_rest(self, seconds, best):
        calibration = Calibration(("lz4", "zstd", "none"))
        for name, taken in seconds.items():
            calibration.record(calibration.next(8 * MB), 8 * MB, taken)
            assert name in seconds
        assert calibration.next(64 * MB) == best

    def test_it_goes_on_measuring(self):
        calibration = Calibration(("lz4", "none"))
        for name, taken in (("lz4", 1), ("none", 2), ("lz4", 30)):
            calibration.record(name, 8 * MB, taken)
        assert calibration.best() == "none"

    def test_one_choice_is_no_choice(self):
        assert {Calibration(("zstd",)).next(size) for size in (1, 100 * MB)} == {"zstd"}
