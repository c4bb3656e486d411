# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cipher and which compression, and which of them pays. Pure. Private to the collection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError

__all__ = [
    "Sample",
    "chosen_by",
    "ciphers_of",
    "compression_options",
    "compressions_of",
    "faster_ciphers",
    "to_try",
    "usable_compressions",
]

# AES-GCM is the one that today's processors do in hardware, several times faster than ssh's first choice.
_FAST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")

# The first is the one to stay with: lz4 costs next to nothing even if it does not pay, zstd pays on a slow link.
_COMPRESSIONS = ("lz4", "none", "zstd")

_OPTIONS = {
    "none": (),
    "lz4": ("--compress", "--compress-choice=lz4"),
    "zstd": ("--compress", "--compress-choice=zstd", "--compress-level=1"),
}

# Bytes per second from which on zstd cannot pay: on tables it saves a fifth of the bytes at most over lz4, and a byte
# takes less than 7e-9 s there.
_FAST_LINK = 150e6

# Data that lz4 leaves at more than this share is not worth its time.
_HARDLY = 0.95

# What zstd:1 costs more than lz4 for a byte, in seconds: 1.5e-9 on one core of 2025 with rsync 3.5, and a margin,
# because a sample of some megabytes is a rough measure.
_ZSTD_SECONDS = 1.9e-9


def ciphers_of(ssh_g: str) -> list[str]:
    """The ciphers in the output of ``ssh -G``."""
    match = re.search(r"^ciphers (\S+)$", ssh_g, re.MULTILINE)
    return match.group(1).split(",") if match else []


def faster_ciphers(effective: Sequence[str], default: Sequence[str]) -> list[str]:
    """The user's ciphers with AES-GCM first; empty when the user has an opinion or there is no AES-GCM.

    Only ciphers that are allowed anyway are named, so a host's policy holds.
    """
    fast = [cipher for cipher in _FAST if cipher in effective]
    if list(effective) != list(default) or not fast:
        return []
    return fast + [cipher for cipher in effective if cipher not in fast]


def compressions_of(rsync_version: str) -> set[str]:
    """The compressions in the output of ``rsync --version``; before 3.2.0 it does not tell and has neither of ours."""
    match = re.search(r"^Compress list:\n\s+(.+)$", rsync_version, re.MULTILINE)
    return set(match.group(1).split()) if match else set()


def usable_compressions(wanted: str, here: Iterable[str], there: Iterable[str]) -> tuple[str, ...]:
    """What to choose from: for ``auto`` what both ends have, else what was asked for. Raises StandbyError."""
    both = set(here) & set(there) | {"none"}
    if wanted == "auto":
        return tuple(name for name in _COMPRESSIONS if name in both)
    if wanted not in both:
        raise StandbyError(
            Refusal(
                "compress_unsupported",
                f"compress={wanted} needs an rsync that has it on both ends; both have {', '.join(sorted(both))}.",
                "choose compress=auto, or upgrade rsync to 3.2 or later",
            )
        )
    return (wanted,)


def to_try(choices: Sequence[str], rate: float) -> tuple[str, ...]:
    """The choices that a link of so many bytes per second leaves open.

    On a fast one bytes cost less than zstd takes to save them, and a sample would only be a chance to err. lz4 alone
    is still tried, for data that does not compress.
    """
    return tuple(choices[:1]) if rate >= _FAST_LINK else tuple(choices)


def compression_options(name: str) -> tuple[str, ...]:
    """The options of rsync."""
    return _OPTIONS[name]


class Sample(NamedTuple):
    """What one rsync took for a small part of the backup: its bytes, those on the wire, and seconds."""

    bytes: int
    received: int
    seconds: float


def chosen_by(choices: Sequence[str], samples: Mapping[str, Sample]) -> str:
    """The compression to go on with; the first of the choices unless another is clearly better.

    What the samples differ in on the wire and in time tells how fast the link is, without the start of the programs
    that every sample pays. zstd saves bytes and costs time: zstd pays if the bytes would take longer.
    """
    first = choices[0]
    sample = samples.get(first)
    if first == "lz4" and sample is not None and sample.received > _HARDLY * sample.bytes:
        return "none"
    if not {"none", "lz4", "zstd"} <= set(samples):
        return first
    none, lz4, zstd = (samples[name] for name in ("none", "lz4", "zstd"))
    per_byte = (none.seconds - zstd.seconds) / max(1, none.received - zstd.received)
    saved = lz4.received / lz4.bytes - zstd.received / zstd.bytes
    return "zstd" if saved * per_byte > _ZSTD_SECONDS else first
