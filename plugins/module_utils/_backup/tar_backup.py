# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look into the tars of a packed backup on the Barman host, before anything is copied. Private to the collection."""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import Archive, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.listing import Listing
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.tar_roots import archives_of, packed_roots
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.tar_stream import TarStream
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.backup_manifest import (
    ManifestEntry,
    parse_manifest,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.tar import Stream, members
from ansible_collections.pgfleet.standby.plugins.module_utils._model import MANIFEST, MANIFEST_SINCE, Backup

__all__ = ["roots_of_tar_backup"]

_MANIFEST_SECONDS = 3600

_GROUP_READ = 0o040

# The directory of a server's major version and catalogue version in a tablespace.
_VERSION = re.compile(r"PG_\d+_\d+")


def roots_of_tar_backup(
    barman_host: BarmanHost, backup: Backup, listing: Listing, data_directory: str, targets: Mapping[int, str]
) -> tuple[Root, ...]:
    """The trees to copy, from the manifest and the tars' first headers. Raises StandbyError."""
    archives = {
        oid: replace(archive, unpacked_there=_unpacked_there(barman_host, archive))
        for oid, archive in archives_of(backup, listing.archives).items()
    }
    _require_manifest(backup, listing)
    with closing(_members(barman_host, archives[None])) as base:
        first = next(base)
    promises = _promises(barman_host, backup)
    roots = packed_roots(backup, archives, promises, data_directory, targets, bool(first.mode & _GROUP_READ))
    return _with_empty_tablespaces(barman_host, roots)


def _require_manifest(backup: Backup, listing: Listing) -> None:
    if MANIFEST in listing.data.landmarks:
        return
    why = f"no {MANIFEST}, from which alone it is known what is in the tars"
    if backup.major is not None and backup.major < MANIFEST_SINCE:
        why += f" (PostgreSQL {backup.major} has none; {MANIFEST_SINCE} and later have)"
    raise StandbyError(
        Refusal(
            "backup_unsupported",
            f"Backup {backup.backup_id} is compressed and has {why}.",
            "choose a backup that was taken without backup_compression",
        )
    )


def _unpacked_there(barman_host: BarmanHost, archive: Archive) -> bool:
    """Whether the Barman host has to decompress it. Raises StandbyError when neither end can."""
    if archive.program is None or shutil.which(archive.program) is not None:
        return False
    if barman_host.shell().run([archive.program, "--version"]).rc == 0:
        return True
    raise StandbyError(
        Refusal(
            "decompressor_missing",
            f"{archive.path} cannot be decompressed: {archive.program} is installed neither on this host nor on"
            f" {barman_host.where}. Nothing was changed.",
            f"install {archive.program} on this host",
        )
    )


def _promises(barman_host: BarmanHost, backup: Backup) -> Iterator[ManifestEntry]:
    path = f"{backup.directory}/data/{MANIFEST}"

    def failed(rc: int, stderr: str) -> StandbyError:
        return StandbyError(
            Refusal(
                "backup_files_missing",
                f"Cannot read {path} on {barman_host.where}: {said_by('cat', stderr) or f'exit code {rc}'}.",
                "check on the Barman host that the backup still exists and that our user may read it",
            ),
            rc=rc,
        )

    return parse_manifest(_lines(barman_host.shell().stream(["cat", path], _MANIFEST_SECONDS, failed)))


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest


def _members(barman_host: BarmanHost, archive: Archive) -> Generator[tarfile.TarInfo, None, None]:
    """The members of a tar as long as they are asked for. Raises StandbyError for what is no whole tar."""
    with TarStream(barman_host, archive) as tar_stream:
        try:
            yield from members(Stream(tar_stream.chunks()), archive.path)
        except EOFError:
            reason = tar_stream.broken_off()
            raise StandbyError(
                Refusal(
                    reason.code,
                    f"Cannot read {archive.path} on {barman_host.where}: {reason.meaning}"
                    f" ({tar_stream.first_words or 'nothing was said'}).",
                    reason.next_step,
                )
            ) from None


def _with_empty_tablespaces(barman_host: BarmanHost, roots: tuple[Root, ...]) -> tuple[Root, ...]:
    """Of a tablespace without files the manifest says nothing; its tar, which is small, has its directory."""
    version = {directory for root in roots[1:] for directory in root.directories if "/" not in directory}
    complete = []
    for root in roots:
        if root.oid is not None and root.archive is not None and not root.directories:
            if not version:
                version = set(
                    filter(_VERSION.fullmatch, (member.name for member in _members(barman_host, root.archive)))
                )
            root = replace(root, directories=tuple(sorted(version)))
        complete.append(root)
    return tuple(complete)
