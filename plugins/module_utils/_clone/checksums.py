# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on this host compared with what a manifest promises of them. Private to the collection."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import Completed, LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.backup_manifest import (
    CHECKSUM_BYTES,
    ManifestEntry,
    render_manifest,
)

__all__ = ["Verifier"]

_TIMEOUT = 6 * 3600  # a file may be a terabyte

_CHUNK = 1 << 20

_HASHES = {"SHA224": hashlib.sha224, "SHA256": hashlib.sha256, "SHA384": hashlib.sha384, "SHA512": hashlib.sha512}

# What pg_verifybackup says of one file and goes on after. Its fatal errors must not look like these.
_VERDICT = re.compile(
    r"pg_verifybackup: error: "
    r"(?:|file |checksum mismatch for file |could not \w+ (?:file|file or directory|checksum of file) )"
    r'"(\d+)"(?: .*|: .*)?'
)


class Verifier:
    """Compares SHA checksums by hashlib and CRC32C by pg_verifybackup of ``bindir``. Several threads may share it.

    For SHA both were measured: hashlib is as fast for large files and twice as fast for small ones.

    ``scratch`` is a private directory for what pg_verifybackup is shown.
    """

    def __init__(self, bindir: str, scratch: str) -> None:
        self._program = os.path.join(bindir, "pg_verifybackup")
        self._has_program = os.access(self._program, os.X_OK)
        self._scratch = os.path.abspath(scratch)

    def supports(self, algorithm: str) -> bool:
        """Can this host check promises made with the algorithm? One without any is of a size alone."""
        return algorithm in ("", *_HASHES) or (self._has_program and algorithm in CHECKSUM_BYTES)

    def differing(self, top: str, manifest_entries: Sequence[ManifestEntry]) -> list[str]:
        """The paths below ``top`` that are not as promised or cannot be read. Raises StandbyError."""
        self._require({manifest_entry.algorithm for manifest_entry in manifest_entries})
        sized = [manifest_entry for manifest_entry in manifest_entries if _has_size(top, manifest_entry)]
        with_checksum = [manifest_entry for manifest_entry in sized if manifest_entry.algorithm]
        differ = (
            _by_hashlib
            if {manifest_entry.algorithm for manifest_entry in with_checksum} <= set(_HASHES)
            else self._by_program
        )
        good = set(sized) - set(differ(top, with_checksum))
        return [manifest_entry.path for manifest_entry in manifest_entries if manifest_entry not in good]

    def _require(self, algorithms: set[str]) -> None:
        for algorithm in algorithms:
            if not self.supports(algorithm):
                raise StandbyError(
                    Refusal(
                        "verification_failed",
                        f"Cannot check {algorithm} checksums without {self._program}.",
                        "install pg_verifybackup, which comes with PostgreSQL's server or client programs",
                    )
                )

    def _by_program(self, top: str, manifest_entries: Sequence[ManifestEntry]) -> list[ManifestEntry]:
        if not manifest_entries:
            return []
        with tempfile.TemporaryDirectory(prefix="verify.", dir=self._scratch) as shadow:
            manifest, files = os.path.join(shadow, "manifest"), os.path.join(shadow, "files")
            _cast(top, manifest_entries, manifest, files)
            command = ["--no-parse-wal", "--quiet", "--ignore=PG_VERSION", f"--manifest-path={manifest}", files]
            done = LocalShell().run([self._program, *command], timeout=_TIMEOUT)
        return [manifest_entries[number] for number in _verdicts(done)]


def _cast(top: str, manifest_entries: Sequence[ManifestEntry], manifest: str, files: str) -> None:
    """A directory and a manifest of these files alone, under numbers instead of their names.

    pg_verifybackup would pass over some names of the real ones (pg_wal, postgresql.auto.conf), take
    files that are just being written for surplus, and repeat names in its messages as they are.
    """
    os.mkdir(files, mode=0o700)
    for number, manifest_entry in enumerate(manifest_entries):
        os.symlink(os.path.join(os.path.abspath(top), manifest_entry.path), os.path.join(files, str(number)))
    # Without this file PostgreSQL 18 takes the directory for one of tar archives.
    os.close(os.open(os.path.join(files, "PG_VERSION"), os.O_CREAT | os.O_EXCL, 0o600))
    with open(manifest, "x", encoding="utf-8") as file:
        file.write(
            render_manifest(
                manifest_entry._replace(path=str(number)) for number, manifest_entry in enumerate(manifest_entries)
            )
        )


def _verdicts(done: Completed) -> set[int]:
    """The numbers of the files that differ. Raises StandbyError unless every line is about one."""
    if done.rc == 0:
        return set()
    verdicts = [_VERDICT.fullmatch(line) for line in done.err.splitlines()]
    # A fatal error has the same exit code as a difference, and leaves files behind it unread.
    if done.rc != 1 or not verdicts or not all(verdicts):
        raise StandbyError(
            Refusal(
                "verification_failed",
                f"{done.argv[0]} could not compare the copied files with the backup's manifest"
                f" (exit code {done.rc}; {said_by(done.argv[0], done.err) or 'it said nothing'}).",
                "run it by hand with --version; if that works, look at free space and memory",
            ),
            cmd=list(done.argv),
            rc=done.rc,
            stderr=done.err,
        )
    return {int(verdict.group(1)) for verdict in verdicts if verdict}


def _by_hashlib(top: str, manifest_entries: Sequence[ManifestEntry]) -> list[ManifestEntry]:
    return [
        manifest_entry for manifest_entry in manifest_entries if _hash(top, manifest_entry) != manifest_entry.checksum
    ]


def _hash(top: str, manifest_entry: ManifestEntry) -> bytes:
    """The digest of the file; nothing when it cannot be read."""
    digest = _HASHES[manifest_entry.algorithm]()
    try:
        with open(os.path.join(top, manifest_entry.path), "rb", buffering=0) as file:
            for chunk in iter(lambda: file.read(_CHUNK), b""):
                digest.update(chunk)
    except OSError:
        return b""
    return digest.digest()


def _has_size(top: str, manifest_entry: ManifestEntry) -> bool:
    """Nothing but a regular file may be opened: a pipe would wait for ever."""
    try:
        status = os.stat(os.path.join(top, manifest_entry.path))
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == manifest_entry.size
