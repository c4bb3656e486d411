# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which values a server that is not running would use, by its program (``postgres -C``); what pg_basebackup knows.

Private to the collection.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import Completed, LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.failure_words import said_by
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._files import read_small, write_atomically
from ansible_collections.pgfleet.standby.plugins.module_utils._formats import conf as _conf
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import AUTO_CONF

__all__ = [
    "configured",
    "configured_data_directory",
    "effective",
    "included_files",
    "meaning",
    "require_pg_basebackup",
    "require_valid",
    "server_version",
]

# As deep as the server itself follows includes (PostgreSQL's conffiles.h).
_DEPTH = 10

# What the server puts before a message of its own, and where it says that it found it.
_STAMP = re.compile(r"^.*?(?:LOG|FATAL|ERROR|WARNING):\s+")

# An option as a program lists it in its --help.
_OPTION = re.compile(r"--[a-z-]+")

# What the program is told on its command line when it is asked: no file says otherwise then.
_GIVEN = ("config_file", "data_directory", "hba_file", "ident_file")

_PLACE = re.compile(r' in file "[^"]*" line \d+')


def server_version(bindir: str) -> str:
    """What ``postgres --version`` prints. Raises StandbyError."""
    done = LocalShell().run([os.path.join(bindir, "postgres"), "--version"])
    if done.rc != 0:
        raise StandbyError(
            Refusal(
                "postgresql_not_installed",
                f"{bindir}/postgres does not run: {said_by('postgres', done.err)}.",
                "install the server package, or correct pg_bindir",
            )
        )
    return done.out.strip()


def require_pg_basebackup(bindir: str, options: Sequence[str]) -> str:
    """The path of pg_basebackup. ``options`` are the user's, each as ``--name`` or ``--name=value``.

    Raises StandbyError if pg_basebackup is missing, or does not list one of the options in its ``--help``.
    """
    program = os.path.join(bindir, "pg_basebackup")
    done = LocalShell().run([program, "--help"])
    if done.rc != 0:
        raise StandbyError(
            Refusal(
                "basebackup_missing",
                f"There is no pg_basebackup in {bindir}. Nothing was changed.",
                "install PostgreSQL's client programs of that version, or name their directory in pg_bindir",
            )
        )
    known = set(_OPTION.findall(done.out))
    missing = [name for name in (word.partition("=")[0] for word in options) if name not in known]
    if missing:
        raise StandbyError(
            Refusal(
                "basebackup_option_refused",
                f"pg_basebackup_options holds {missing[0]}, which {program} does not know. Nothing was changed.",
                "take it out, or install another release",
            )
        )
    return program


def effective(bindir: str, config_file: str, data_directory: str, names: Iterable[str]) -> dict[str, str]:
    """The values that a start with this configuration file and this directory's postgresql.auto.conf would use.

    Raises StandbyError when the server's own parser refuses the configuration.
    """
    values = {}
    for name in names:
        done = _printed(bindir, name, config_file, data_directory)
        if done.rc != 0:
            raise StandbyError(
                Refusal(
                    "configuration_invalid",
                    f"The server refuses its configuration {config_file}: {said_by('postgres', done.err)}.",
                    "mend that file",
                ),
                stderr=done.err,
            )
        values[name] = done.out.strip()
    return values


def meaning(bindir: str, name: str, text: str) -> str | None:
    """How the server's program itself writes a setting that a file holds as ``text``; None if it refuses the text.

    An enum in the word that stands for its aliases, a number in its base unit, a list or a text as it is normalised.
    """
    if name in _GIVEN:
        return None
    done = _asked(bindir, name, {name: text})
    return done.out.rstrip("\n") if done.rc == 0 else None


def configured_data_directory(bindir: str, config_file: str) -> str | None:
    """The data directory that a configuration file names, or None when it names none."""
    done = _printed(bindir, "data_directory", config_file)
    return done.out.strip() or None if done.rc == 0 else None


def _printed(bindir: str, name: str, config_file: str, data_directory: str | None = None) -> Completed:
    """What the server's program prints for a setting. It reads the whole configuration for that, and may refuse it."""
    places = {"config_file": config_file}
    if data_directory is not None:
        places["data_directory"] = data_directory
    # It wants to know these two files before it answers, though it does not read them.
    places.update(hba_file="/dev/null", ident_file="/dev/null")
    settings = [word for setting, value in places.items() for word in ("-c", f"{setting}={value}")]
    return LocalShell().run([os.path.join(bindir, "postgres"), "-C", name, *settings])


def _asked(bindir: str, name: str, settings: Mapping[str, str]) -> Completed:
    """The same of a configuration that has nothing but these settings."""
    with tempfile.TemporaryDirectory(prefix="pgfleet.") as scratch:
        file = os.path.join(scratch, "postgresql.conf")
        write_atomically(file, "".join(f"{key} = {_conf.quote(value)}\n" for key, value in settings.items()))
        # Without it older servers first complain that it is missing.
        write_atomically(os.path.join(scratch, AUTO_CONF), "")
        return _printed(bindir, name, file, scratch)


def configured(config_file: str, depth: int = 0) -> dict[str, str]:
    """What a configuration file and its includes set, postgresql.auto.conf left out; nothing if there is no file.

    Raises StandbyError for a file that cannot be read: the server would not start with it, or it may hold settings that
    make a primary of a standby.
    """
    found: dict[str, str] = {}
    directory = os.path.dirname(config_file)
    try:
        text = read_small(config_file) or ""
    except OSError as failed:
        raise _unreadable(config_file, failed) from failed
    for setting in _conf.read(text):
        if setting.name not in _conf.INCLUDES:
            found[setting.name] = setting.value
        elif depth < _DEPTH:
            for path in included_files(setting.name, os.path.join(directory, setting.value)):
                found.update(configured(path, depth + 1))
    return found


def included_files(kind: str, path: str) -> list[str]:
    """The files of an include line: of a directory, those whose names end in .conf and begin with no dot.

    A server passes over a directory in it, whatever it is called (PostgreSQL source, utils/misc/conffiles.c).
    """
    if kind != "include_dir":
        return [path]
    try:
        names = sorted(os.listdir(path)) if os.path.isdir(path) else []
    except OSError as failed:
        raise _unreadable(path, failed) from failed
    paths = [os.path.join(path, name) for name in names if name.endswith(".conf") and not name.startswith(".")]
    return [found for found in paths if not os.path.isdir(found)]


def _unreadable(path: str, failed: OSError) -> StandbyError:
    return StandbyError(
        Refusal(
            "configuration_invalid",
            f"Cannot read {path}, which is a part of the server's configuration: {failed.strerror}."
            " Nothing was changed.",
            "let the database's OS user read it, or take it out of the configuration",
        )
    )


def require_valid(bindir: str, settings: Mapping[str, str]) -> None:
    """That the server takes these settings from a file. Raises StandbyError with what it says against one of them."""
    done = _asked(bindir, "data_directory", settings)
    if done.rc != 0:
        said = _PLACE.sub("", _STAMP.sub("", said_by("postgres", done.err)))
        raise StandbyError(
            Refusal(
                "setting_invalid",
                f"The server would not start with these settings: {said}. Nothing was changed.",
                "correct settings",
            )
        )
