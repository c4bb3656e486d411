# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a standby's key may do on the Barman host: the forced command of that key.

In ~/.ssh/authorized_keys of the user that runs Barman, on one line:

    restrict,command="python3 -I /usr/local/lib/pgfleet_barman_only.py --server pg --directory /var/lib/barman/pg" KEY

A command is taken apart into words, compared word by word with the table below, and run without a shell; see
docs/restricted_key.md. With --keep and --stage the collection's own programs are run as well, if they are those that
are installed here. Python 3.8 or later, and nothing but its standard library.
"""

from __future__ import annotations

import argparse
import ast
import base64
import itertools
import json
import os
import re
import shlex
import sys
import syslog
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

# One command a line. A word in capitals is explained below; any other stands for itself.
ALLOWED = r"""
BARMAN -v
BARMAN -f json show-server SERVER
BARMAN -f json show-servers SERVER
BARMAN -f json check SERVER
BARMAN -f json list-backup SERVER
BARMAN -f json list-backups SERVER
BARMAN -f json show-backup SERVER BACKUP
BARMAN get-wal PACKED SERVER WAL
BARMAN get-wal --peek NUMBER PACKED SERVER WAL
BARMAN get-wal --test PACKED SERVER WAL
cat
GENTLY cat PLACE
UNPACK --version
GENTLY UNPACK -dc PLACE
head -c NUMBER PLACE
find PLACE -mindepth 1 -printf '%y %m %s %T@ %P\0'
find PLACE PLACE -maxdepth 0
find PLACE PLACE PLACE PLACE -maxdepth 0
date +%s.%N
GENTLY rsync --version
GENTLY rsync --server --sender SECLUDED
"""
# What stands for one of several sequences of words. BARMAN does as well; its own depend on our options.
ALTERNATIVES = {
    "GENTLY": ((), ("nice", "-n", "5"), ("ionice", "-c", "2", "-n", "7", "nice", "-n", "5")),
    "PACKED": ((), ("--gzip",), ("--bzip2",), ("--keep-compression",)),
    "UNPACK": (("gzip",), ("lz4",), ("zstd",)),
}
# What stands for one word of this form. SERVER and PLACE do as well; theirs depends on our options.
FORMS = {
    "BACKUP": r"[0-9]{8}T[0-9]{6}",
    "NUMBER": r"[0-9]{1,9}",
    "WAL": r"[0-9A-F]{24}(\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history|dummy_wal_name",
    # rsync's short options, -s among them, and after the "e" what the other rsync can do.
    "SECLUDED": r"-s[IRWcdnptz]*e[0-9.]*[A-Za-z]*",
}
# The options that come later, because of -s. None of them writes anything or leads anywhere.
RSYNC_OPTION = re.compile(
    r"-B[0-9]+|--(timeout|bwlimit|compress-level)=[0-9]+|--compress-choice=[a-z0-9]+|--info=[A-Z0-9,]+"
    r"|--inplace|--files-from=-|--from0|--no-implied-dirs|--ignore-missing-args"
)
SECLUDED_BYTES = 64 << 10

# The collection's programs by the functions that they run, with the file that has it and our option that lets it run.
PROGRAMS = {
    "keep_backup": ("_barman_host.keep_backup", "keep"),
    "stage_backup": ("_barman_host.stage_backup", "stage"),
    "unstage_backup": ("_barman_host.stage_backup", "stage"),
}
LOADER = "_commands.remote_call"
PYTHON = ["python3", "-I", "-c"]
PACKAGE = "ansible_collections.pgfleet.standby.plugins.module_utils"
PROGRAM_BYTES = 1 << 20
# What they may be asked for. Nothing else of a request gets through; a question mark allows nothing in its place.
BARMAN = {"where": "NAME", "server": "SERVER", "executable": "EXECUTABLE", "config": "CONFIG?"}
BACKUP = {
    "backup_id": "BACKUP",
    "server": "SERVER",
    "status": "WORD",
    "directory": "BASE",
    "root_backup_id": "BACKUP?",
    "type": "WORD?",
    "compression": "WORD?",
    "encryption": "WORD?",
    "version": "COUNT?",
    "size": "COUNT?",
    "tablespaces": [{"name": "NAME", "oid": "COUNT", "location": "NAME"}],
}
CLAIM = {"barman": BARMAN, "owner": "NAME", "seconds": "SECONDS?", "only_look": "FLAG"}
STAGED = {**CLAIM, "backup": BACKUP, "directory": "STAGING?"}
REQUESTS = {"keep_backup": {**CLAIM, "directory": "BASE"}, "stage_backup": STAGED, "unstage_backup": STAGED}
MOST_SECONDS = 31 * 86400

# rsync tells it of the others: its own codes are smaller. More than 125 would end a server's recovery.
REFUSED = 125


class RefusedError(Exception):
    """What is not allowed, as text."""

    @property
    def said(self) -> str:
        return f"this key may not run {str(self)[:500]!a}"


class StaleError(RefusedError):
    """The file here that a program of the standby's is not the same as."""

    @property
    def said(self) -> str:
        return f"{self} is not that of the standby's collection, whose plugins/module_utils has to be installed there"


def permitted(command: str, own: argparse.Namespace, read: Callable[[int, int], bytes] = os.read) -> list[str]:
    """The argument list to run for a command. Raises RefusedError."""
    try:
        words = shlex.split(command)
    except ValueError:
        raise RefusedError(command) from None
    if words[: len(PYTHON)] == PYTHON:
        return program(words, own)
    for pattern in patterns(own):
        if len(pattern) == len(words) and all(fits(word, form, own) for word, form in zip(words, pattern)):
            break
    else:
        raise RefusedError(command)
    if words[0] == "barman":
        return [own.barman, *words[1:]]
    if pattern[-1] == "SECLUDED":
        return [*words[:-1], "-" + words[-1][2:], *secluded(own, read)]
    return words


def patterns(own: argparse.Namespace) -> Iterator[list[str]]:
    """The table, with one list of words for every alternative."""
    config = ("--config", own.config) if own.config else ()
    barman = ((name, *rest) for name in sorted({"barman", own.barman}) for rest in sorted({(), config}))
    alternatives = {**ALTERNATIVES, "BARMAN": tuple(barman)}
    for line in ALLOWED.strip().splitlines():
        parts = [alternatives.get(word, ((word,),)) for word in shlex.split(line)]
        for choice in itertools.product(*parts):
            yield list(itertools.chain(*choice))


def fits(word: str, form: str, own: argparse.Namespace) -> bool:
    """Whether a word may stand where the pattern has that form."""
    if form == "SERVER":
        return word in own.server
    if form == "PLACE":
        return is_inside(word, own.directory + own.staging_directory)
    if form in FORMS:
        return re.fullmatch(FORMS[form], word) is not None
    return word == form


def is_inside(path: str, directories: list[str]) -> bool:
    """Whether an absolute path leads into one of the directories, whatever links are on its way."""
    real = os.path.realpath(path)
    tops = [os.path.realpath(directory) for directory in directories]
    return path.startswith("/") and any(real == top or real.startswith(top + "/") for top in tops)


def secluded(own: argparse.Namespace, read: Callable[[int, int], bytes]) -> list[str]:
    """rsync's other arguments, which -s sends after the login: each ends with NUL, and the last one is empty.

    They are taken byte by byte, for the protocol follows and is rsync's to read. The names of files come with it;
    rsync itself lets none of them lead out of the place that is given here (rsync(1), --files-from).
    """
    data = b""
    while not data.endswith(b"\0\0"):
        byte = read(0, 1)
        data += byte
        if not byte or len(data) > SECLUDED_BYTES:
            raise RefusedError("rsync whose arguments do not end")
    name, *options = (os.fsdecode(word) for word in data[:-2].split(b"\0"))
    place = options.pop() if options else ""
    known = name == "rsync" and options[-1:] == ["."] and all(map(RSYNC_OPTION.fullmatch, options[:-1]))
    if not known or not fits(place, "PLACE", own):
        raise RefusedError(" ".join(map(shlex.quote, [name, *options, place])))
    return [*options, place]


def program(words: list[str], own: argparse.Namespace) -> list[str]:
    """The argument list for one of the collection's programs: its text as it came, for it is the installed one's.

    Raises RefusedError.
    """
    name = "a program of its own"
    try:
        loader, packed, request = words[len(PYTHON) :]
        package, name, texts = json.loads(unpacked(packed))
        file, option = PROGRAMS[name]
        if package != PACKAGE or texts[-1][0] != file or not getattr(own, option):
            raise ValueError
        require_installed(own.program, loader, texts)
        asked = shaped(json.loads(request), REQUESTS[name], own)
        # What is staged is on record by its directory, and restored by its id: others shall find the one as the other.
        if "backup" in asked and os.path.basename(asked["backup"]["directory"]) != asked["backup"]["backup_id"]:
            raise ValueError
    except (ValueError, TypeError, LookupError, RecursionError, zlib.error):
        raise RefusedError(f"{name}: {words[-1]}") from None
    asked["barman"]["executable"] = own.barman
    return [*PYTHON, loader, packed, json.dumps(asked)]


def unpacked(packed: str) -> bytes:
    """What was compressed, within bounds. Raises ValueError or zlib.error."""
    unpacking = zlib.decompressobj()
    text = unpacking.decompress(base64.b64decode(packed, validate=True), PROGRAM_BYTES)
    if not unpacking.eof:
        raise ValueError("too long")
    return text


def require_installed(directory: str, loader: str, texts: Sequence[Sequence[str]]) -> None:
    """Compare every text with the file that is installed, whole. Raises StaleError, and ValueError for odd names."""
    for name, text in texts:
        if re.fullmatch(r"_[a-z_]+(\.[a-z_]+)?", name) is None:
            raise ValueError(name)
        if installed(directory, name) != text:
            raise StaleError(path_of(directory, name))
    constants = {
        getattr(node.targets[0], "id", None): node.value.value
        for node in ast.parse(installed(directory, LOADER)).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }
    if constants.get("_LOADER") != loader:
        raise StaleError(path_of(directory, LOADER))


def path_of(directory: str, name: str) -> str:
    """The file of a module that is named with dots."""
    return os.path.join(directory, *name.split(".")) + ".py"


def installed(directory: str, name: str) -> str:
    """The text of a file of ours; empty if the file cannot be read."""
    try:
        with open(path_of(directory, name), encoding="utf-8") as stream:
            return stream.read()
    except OSError:
        return ""


def shaped(value: Any, shape: Any, own: argparse.Namespace) -> Any:
    """A part of a request with the keys of its shape and no others. Raises ValueError if the part has another form."""
    if isinstance(shape, dict):
        return {name: shaped(value[name], inner, own) for name, inner in shape.items()}
    if isinstance(shape, list):
        return [shaped(item, shape[0], own) for item in value]
    if not (shape.endswith("?") and value is None) and not has_form(value, shape.rstrip("?"), own):
        raise ValueError(shape)
    return value


def has_form(value: Any, form: str, own: argparse.Namespace) -> bool:
    """Whether a value of a request is what its form says."""
    if form == "FLAG":
        return isinstance(value, bool)
    if form in ("COUNT", "SECONDS"):
        most = MOST_SECONDS if form == "SECONDS" else 1 << 63
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
    if not isinstance(value, str):
        return False
    if form == "BASE":  # a backup's own directory, of which the last part is its name
        return re.fullmatch(FORMS["BACKUP"], os.path.basename(value)) is not None and fits(value, "PLACE", own)
    known = {
        "NAME": value.isprintable() and 0 < len(value) <= 1000 and not value.startswith("-"),
        "WORD": re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,39}", value) is not None,
        "EXECUTABLE": value in ("barman", own.barman),
        "CONFIG": value == own.config,
        "STAGING": value in own.staging_directory,
    }
    return known[form] if form in known else fits(value, form, own)


def options() -> argparse.Namespace:
    """What the key is for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", action="append", required=True, help="a Barman server; may be repeated")
    parser.add_argument("--directory", action="append", required=True, help="its backup_directory; may be repeated")
    parser.add_argument("--barman", default="barman", help="Barman's command; a standby may call it barman as well")
    parser.add_argument("--config", help="Barman's configuration file, if it is not the default one")
    parser.add_argument("--keep", action="store_true", help="let it have Barman keep a backup, until it gives that up")
    parser.add_argument("--stage", action="store_true", help="let it have Barman restore a backup to be copied")
    parser.add_argument(
        "--staging-directory", action="append", default=[], help="where to, besides Barman's own; may be repeated"
    )
    parser.add_argument(
        "--program", default="/usr/local/lib/pgfleet", help="where plugins/module_utils is, for --keep and --stage"
    )
    return parser.parse_args()


def main() -> None:
    own = options()
    try:
        argv = permitted(os.environ.get("SSH_ORIGINAL_COMMAND", ""), own)
    except RefusedError as refused:
        syslog.syslog(syslog.LOG_AUTH | syslog.LOG_WARNING, refused.said)
        sys.exit(tell(refused.said, REFUSED))
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - not through a shell is the point
    except OSError as error:
        sys.exit(tell(f"{argv[0]}: {error.strerror}", 127))


def tell(said: str, code: int) -> int:
    """Say something to the far end; the exit code."""
    sys.stderr.write(f"{os.path.basename(__file__)}: {said}\n")
    return code


if __name__ == "__main__":
    main()
