# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the contents of copied files with the backup's manifest, while others are being copied.

Private to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL, Root
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.manifest_index import ManifestIndex
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.remote_files import fetch
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.shards import Shard
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.checksums import Verifier
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import ManifestCheck
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import private_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.backup_manifest import parse_manifest
from ansible_collections.pgfleet.standby.plugins.module_utils._model import MANIFEST

__all__ = ["MANIFEST", "Verification", "fetch_verification", "read_promises", "verification_of"]


# The values of ``verify`` that compare with the manifest.
_OF_PLAIN = ("manifest",)

_OF_PACKED = ("manifest", "checksum")


def fetch_verification(barman_host: BarmanHost, check: ManifestCheck, roots: tuple[Root, ...]) -> Verification | None:
    """What compares with the backup's manifest, fetched into the working directory; None if none is wanted or there.

    Raises StandbyError.
    """
    packed = roots[0].archive is not None  # then there is nothing else that checksums could be compared with
    if not (packed or MANIFEST in roots[0].files.paths) or check.verify not in (_OF_PACKED if packed else _OF_PLAIN):
        return None
    private_directory("manifest")
    fetch(barman_host, roots[0].source, [MANIFEST], "manifest")
    return verification_of(check, roots, os.path.join("manifest", MANIFEST))


def verification_of(check: ManifestCheck, roots: tuple[Root, ...], path: str) -> Verification:
    """What compares with a manifest on this host. Raises StandbyError."""
    index = read_promises(check.backup_id, roots, path)
    verifier = _verifier_for(check.bindir, index, os.getcwd())
    if verifier is None:
        raise StandbyError(
            Refusal(
                "verifier_missing",
                f"The checksums of the backup's manifest ({', '.join(sorted(index.algorithms))}) cannot be computed"
                f" here: there is no pg_verifybackup in {check.bindir}. Nothing was changed that could be started.",
                "install it, or choose verify=size or verify=checksum",
            )
        )
    return Verification(verifier, index, check.threads)


def read_promises(backup_id: str, roots: tuple[Root, ...], path: str) -> ManifestIndex:
    """The promises of a manifest on this host. Raises StandbyError when it is broken or the backup is."""
    with open(path, "rb") as lines:
        return ManifestIndex(backup_id, roots, parse_manifest(lines))


class Verification:
    """Checks shards in threads of its own, so that the workers' connections are never idle meanwhile."""

    def __init__(self, verifier: Verifier, index: ManifestIndex, workers: int) -> None:
        self._verifier = verifier
        self._index = index
        self._pool = ThreadPoolExecutor(workers)
        self._checks: list[Future[list[tuple[Root, int]]]] = []

    def check(self, shard: Shard) -> None:
        """Have the files of a shard compared, soon."""
        self._checks.append(self._pool.submit(self._compare, shard))

    def differing(self) -> list[tuple[Root, int]]:
        """The files that are not as promised, of all that were to be checked since the last call."""
        checks, self._checks = self._checks, []
        return [file for check in checks for file in check.result()]

    def matching(self, shards: Iterable[Shard]) -> set[tuple[int | None, int]]:
        """The files of these shards whose contents are as promised: the oid of the tree and the position."""
        shards = list(shards)
        for shard in shards:
            self.check(shard)
        different = {(root.oid, position) for root, position in self.differing()}
        return {
            (shard.root.oid, position)
            for shard in shards
            for position in shard.positions
            if self._index.covers(shard.root, position)
        } - different

    def by_size(self, roots: Iterable[Root]) -> tuple[str, ...]:
        """The places that hold files of which the manifest does not know: those are compared by name and size."""
        return tuple(root.target for root in roots if self._index.unknown(root))

    def require_control(self, staging: str) -> None:
        """pg_control, which is fetched by itself, has to be as promised as well. Raises StandbyError."""
        promise = self._index.control
        if promise is not None and promise.algorithm and self._verifier.differing(staging, [promise]):
            raise StandbyError(
                Refusal(
                    "manifest_mismatch",
                    f"{CONTROL} is not what the backup's manifest promises.",
                    "choose another backup_id",
                )
            )

    def __enter__(self) -> Verification:
        return self

    def __exit__(self, *_failure: object) -> None:
        """End the threads."""
        for check in self._checks:
            check.cancel()
        self._pool.shutdown()

    def _compare(self, shard: Shard) -> list[tuple[Root, int]]:
        wrong = set(self._verifier.differing(shard.root.target, self._index.of(shard)))
        return [(shard.root, position) for position in shard.positions if shard.root.files.paths[position] in wrong]


def _verifier_for(bindir: str, index: ManifestIndex, state_directory: str) -> Verifier | None:
    """What can compare with these promises here; None when nothing can."""
    verifier = Verifier(bindir, state_directory)
    return verifier if all(verifier.supports(algorithm) for algorithm in index.algorithms) else None
