# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cipher, which compression, and what rsync says of its work. What it prints is tried with the real one."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.compression import (
    Sample,
    chosen_by,
    ciphers_of,
    compression_options,
    compressions_of,
    faster_ciphers,
    to_try,
    usable_compressions,
)

CHACHA, CTR, GCM128, GCM256 = (
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
)
DEFAULT = [CHACHA, CTR, GCM128, GCM256]

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
        pytest.param("auto", {"zstd", "lz4"}, {"zstd", "lz4"}, ("lz4", "none", "zstd"), id="both have both"),
        pytest.param("auto", {"zstd", "lz4"}, {"zlib"}, ("none",), id="one end has none"),
        pytest.param("auto", {"zstd", "lz4"}, {"zstd"}, ("none", "zstd"), id="one in common"),
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


def samples_of(link, shares, seconds=0.0):
    """Samples of the same size over a link of so many bytes per second; each program takes so long to start."""
    size = 6 << 20
    return {
        name: Sample(size, int(share * size), seconds + share * size / link)
        for name, share in zip(("none", "lz4", "zstd"), (1.0, *shares), strict=True)
    }


TABLES, DUMPS, PICTURES = (0.45, 0.25), (0.93, 0.75), (0.99, 0.98)


@pytest.mark.parametrize("start", [0.0, 0.05, 3.0])
@pytest.mark.parametrize(
    ("link", "shares", "chosen"),
    [
        pytest.param(10**6, TABLES, "zstd", id="tables over a slow link"),
        pytest.param(10**8, TABLES, "zstd", id="tables over 1 GbE"),
        pytest.param(10**9, TABLES, "lz4", id="tables over 10 GbE"),
        pytest.param(10**6, DUMPS, "zstd", id="what zstd alone compresses over a slow link"),
        pytest.param(10**9, DUMPS, "lz4", id="what zstd alone compresses over a fast link"),
        pytest.param(10**6, PICTURES, "none", id="what nothing compresses over a slow link"),
        pytest.param(10**9, PICTURES, "none", id="what nothing compresses over a fast link"),
        pytest.param(10**6, (0.45, 0.45), "lz4", id="what zstd compresses no better"),
    ],
)
def test_the_compression_that_pays_is_chosen_however_slowly_programs_start(link, shares, chosen, start):
    assert chosen_by(("lz4", "none", "zstd"), samples_of(link, shares, start)) == chosen


def test_zstd_is_not_chosen_when_its_sample_took_longer():
    samples = samples_of(10**8, TABLES)
    slow = samples["zstd"]._replace(seconds=samples["none"].seconds * 2)
    assert chosen_by(("lz4", "none", "zstd"), {**samples, "zstd": slow}) == "lz4"


@pytest.mark.parametrize(
    ("tried", "chosen"),
    [
        (("lz4", "none"), "none"),
        (("lz4", "zstd"), "none"),
        (("none", "zstd"), "lz4"),
        ((), "lz4"),
    ],
)
def test_what_was_not_tried_says_nothing(tried, chosen):
    samples = samples_of(10**6, PICTURES)
    assert chosen_by(("lz4", "none", "zstd"), {name: samples[name] for name in tried}) == chosen
    assert chosen_by(("none",), {}) == "none"


@pytest.mark.parametrize(
    ("rate", "left"),
    [
        (1e6, ("lz4", "none", "zstd")),
        (118e6, ("lz4", "none", "zstd")),
        (150e6, ("lz4",)),
        (5e9, ("lz4",)),
        (0, ("lz4", "none", "zstd")),
    ],
)
def test_a_fast_link_leaves_nothing_to_measure_but_whether_anything_compresses(rate, left):
    assert to_try(("lz4", "none", "zstd"), rate) == left
