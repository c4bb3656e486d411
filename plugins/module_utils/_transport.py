# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How bytes cross the wire: which cipher, which compression, and which of them pays. Pure.

Private to the collection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError

__all__ = [
    "Calibration",
    "ciphers_of",
    "compression_options",
    "compressions_of",
    "faster_ciphers",
    "usable_compressions",
]

# AES-GCM is the one that today's processors do in hardware, several times faster than ssh's first choice.
_FAST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")

# In the order in which they are worth a try: lz4 costs next to nothing, zstd pays on a slow link.
_COMPRESSIONS = ("lz4", "zstd", "none")
_OPTIONS = {
    "none": (),
    "lz4": ("--compress", "--compress-choice=lz4"),
    "zstd": ("--compress", "--compress-choice=zstd", "--compress-level=1"),
}

# A shard smaller than this says more of the connection's start than of the stream.
_SAMPLE_BYTES = 2 << 20


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
            f"compress={wanted} needs an rsync that has it on both ends; both have {', '.join(sorted(both))}."
            " Next: choose compress=auto, or upgrade rsync to 3.2 or later.",
            "compress_unsupported",
        )
    return (wanted,)


def compression_options(name: str) -> tuple[str, ...]:
    """The options of rsync."""
    return _OPTIONS[name]


@dataclass
class Calibration:
    """Finds the compression that moves most bytes in a second, from real shards of this backup over this link.

    Each one gets a sample before any gets a second; then the fastest gets the rest, and goes on being measured.
    """

    choices: Sequence[str]
    _bytes: dict[str, int] = field(default_factory=dict)
    _seconds: dict[str, float] = field(default_factory=dict)
    _tried: set[str] = field(default_factory=set)

    def next(self, size: int) -> str:
        """The compression for a shard of this size."""
        untried = [name for name in self.choices if name not in self._tried]
        if untried and size >= _SAMPLE_BYTES:
            self._tried.add(untried[0])
            return untried[0]
        return self.best()

    def record(self, name: str, size: int, seconds: float) -> None:
        """What a finished shard took."""
        if size >= _SAMPLE_BYTES and seconds > 0:
            self._bytes[name] = self._bytes.get(name, 0) + size
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def best(self) -> str:
        """The fastest so far; the first choice while nothing is known."""
        rates = {name: self._bytes[name] / self._seconds[name] for name in self._bytes}
        return max(rates, key=lambda name: rates[name]) if rates else self.choices[0]
