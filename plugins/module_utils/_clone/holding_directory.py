# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory in the data directory for a program that fills it in its own order, and the way out of it.

Such a program writes ``global/pg_control`` somewhere in the middle, and if it is killed after that, a server would
start. So it fills directories that no server looks for, one in the data directory and one in each tablespace's. Being
inside, they are on the same file system, also if that is a mount point or a link leads there, and what they hold is
one rename away from its place. pg_control is held back first of all, and goes into its place last of all.

    data_directory/.pgfleet/RUN        while it is being filled, by a name that no other attempt has
    data_directory/.pgfleet/data       when it is whole
    data_directory/.pgfleet/global     where pg_control is held then, the one sign that something is whole

Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ansible_collections.pgfleet.standby.plugins.module_utils import _files
from ansible_collections.pgfleet.standby.plugins.module_utils._backup.files import CONTROL, Entry
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import private_directory
from ansible_collections.pgfleet.standby.plugins.module_utils._model import MARK

__all__ = ["HOLDING_DIRECTORY", "HoldingDirectory"]

HOLDING_DIRECTORY = ".pgfleet"

_WHOLE = "data"

_SETTINGS = "postgresql.auto.conf"

# What speaks of the host that the backup was taken of: the mark of a copy, and a server that does not run here.
_OF_ANOTHER_HOST = (MARK, "postmaster.pid")

# What the steps after this one leave if they are interrupted.
_UNFINISHED = re.compile(r"global/pg_control\.new|\.(postgresql\.auto\.conf|standby\.signal|recovery\.conf)\..{8}")


@dataclass(frozen=True)
class HoldingDirectory:
    """The nested directories of one attempt. ``targets`` are the tablespaces' places by oid, ``run`` is a name.

    ``waldir`` is the WAL's place, if that is not the data directory. What a program of an earlier attempt still
    writes has no place to go: its directories have another name.
    """

    data_directory: str
    targets: Mapping[int, str]
    run: str
    waldir: str | None = None

    @property
    def data(self) -> str:
        """The directory to fill with what a data directory holds."""
        return os.path.join(self.staging, self.run)

    @property
    def tablespaces(self) -> dict[int, str]:
        """The directories to fill with the tablespaces, by oid."""
        return {oid: os.path.join(target, HOLDING_DIRECTORY, self.run) for oid, target in self.targets.items()}

    @property
    def wal(self) -> str | None:
        """The directory to fill with the WAL; None if the WAL goes with the data."""
        return None if self.waldir is None else os.path.join(self.waldir, HOLDING_DIRECTORY, self.run)

    @property
    def staging(self) -> str:
        """The directory below which pg_control is held."""
        return os.path.join(self.data_directory, HOLDING_DIRECTORY)

    @property
    def bytes(self) -> int:
        """The bytes of the files that are there already, whatever they are called meanwhile."""
        return sum(map(_bytes, self._places))

    def writers(self) -> list[int]:
        """The processes in a nested directory, of whatever attempt: an rsync that receives is where it writes.

        Only those of our own user can be seen.
        """
        places = tuple(os.path.join(os.path.realpath(top), HOLDING_DIRECTORY, "") for top in self._tops)
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _place_of(pid).startswith(places)]

    def make(self) -> None:
        """Make the directories to fill. Raises StandbyError."""
        for place in self._places:
            private_directory(os.path.dirname(place))
            private_directory(place)

    @property
    def whole(self) -> bool:
        """Whether something has been filled and is held, of whatever attempt."""
        return os.path.exists(os.path.join(self.staging, CONTROL))

    def hold(self) -> None:
        """Take pg_control out of what has been filled, and note that this is whole. Raises StandbyError.

        The settings, which are changed before the end, are held as they came for a run that has to begin there again.
        """
        with _explained(self.data):
            held = os.path.join(self.staging, CONTROL)
            private_directory(os.path.dirname(held))
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(os.path.join(self.data, _SETTINGS), os.path.join(self.staging, _SETTINGS))
            os.rename(os.path.join(self.data, CONTROL), held)
            for place in self._places:
                os.rename(place, os.path.join(os.path.dirname(place), _WHOLE))

    def lift(self) -> None:
        """Rename everything into its place but pg_control. After an interruption another call goes on.

        Raises StandbyError.
        """
        for top in self._tops:
            with _explained(top):
                _lift(top)
        with _explained(self.data_directory), contextlib.suppress(FileNotFoundError):
            shutil.copy2(os.path.join(self.staging, _SETTINGS), os.path.join(self.data_directory, _SETTINGS))

    def entries(self) -> Iterator[Entry]:
        """What there is after that, as a listing of a backup would tell of it; of pg_control as if it were there."""
        for name, top in ((_WHOLE, self.data_directory), *((str(oid), path) for oid, path in self.targets.items())):
            yield from _entries(top, name)
        held = os.path.join(self.staging, CONTROL)
        if os.path.exists(held):
            yield _entry(os.lstat(held), f"{_WHOLE}/{CONTROL}")

    def remove(self) -> None:
        """Remove the nested directories with all that is in them, of earlier attempts as well. Raises StandbyError."""
        for top in self._tops:
            if os.path.lexists(os.path.join(top, HOLDING_DIRECTORY)):
                _files.remove_below(top, [HOLDING_DIRECTORY])

    @property
    def _tops(self) -> tuple[str, ...]:
        return (self.data_directory, *self.targets.values(), *filter(None, [self.waldir]))

    @property
    def _places(self) -> tuple[str, ...]:
        return (self.data, *self.tablespaces.values(), *filter(None, [self.wal]))


def _lift(top: str) -> None:
    whole = os.path.join(top, HOLDING_DIRECTORY, _WHOLE)
    if os.path.isdir(whole):
        for name in _OF_ANOTHER_HOST:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(whole, name))
        for name in os.listdir(whole):
            os.rename(os.path.join(whole, name), os.path.join(top, name))
        os.rmdir(whole)
    with contextlib.suppress(OSError):  # the one that holds pg_control stays
        os.rmdir(os.path.join(top, HOLDING_DIRECTORY))


def _entries(top: str, name: str) -> Iterator[Entry]:
    """A tree without its holding directory; a link in it is told of and never followed."""
    for path, status in _files.walk(top, lambda path, _status: path != HOLDING_DIRECTORY):
        if path != HOLDING_DIRECTORY and not _UNFINISHED.fullmatch(path):
            yield _entry(status, f"{name}/{path}")


def _entry(status: os.stat_result, name: str) -> Entry:
    kind = "d" if stat.S_ISDIR(status.st_mode) else "f" if stat.S_ISREG(status.st_mode) else "l"
    return Entry(kind, status.st_size, status.st_mtime_ns, name, stat.S_IMODE(status.st_mode))


def _place_of(pid: int) -> str:
    """The working directory of a process; nothing if it cannot be seen."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def _bytes(top: str) -> int:
    """A count for progress: what vanishes meanwhile, as temporary names do, does not matter."""
    total = 0
    for directory, _directories, names in os.walk(top):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(directory, name)).st_size
    return total


@contextlib.contextmanager
def _explained(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as failed:
        raise StandbyError(
            Refusal(
                "lift_failed",
                f"What was put into {place} cannot be brought into its place: {failed.filename}: {failed.strerror}."
                " The data directory cannot be started.",
                "look at what is named, then run again",
            )
        ) from failed
