# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a standby's key may do on the Barman host: the forced command of that key.

In ~/.ssh/authorized_keys of the user that runs Barman, on one line:

    restrict,command="python3 -I /usr/local/lib/pgfleet_barman_only.py --server pg --directory /var/lib/barman/pg" KEY

A command is taken apart into words, compared word by word with the table below, and run without a shell; see
docs/restricted_key.md. Python 3.8 or later, and nothing but its standard library.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
import sys
import syslog
from collections.abc import Callable, Iterator

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
cat INFO
head -c NUMBER PLACE
find PLACE -mindepth 1 -printf '%y %m %s %T@ %P\0'
GENTLY rsync --version
GENTLY rsync --server --sender SECLUDED
"""
# What stands for one of several sequences of words. BARMAN does as well; its own depend on our options.
ALTERNATIVES = {
    "GENTLY": ((), ("nice", "-n", "5"), ("ionice", "-c", "2", "-n", "7", "nice", "-n", "5")),
    "PACKED": ((), ("--gzip",), ("--bzip2",), ("--keep-compression",)),
}
# What stands for one word of this form. SERVER, PLACE and INFO do as well; theirs depends on our options.
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
    r"|--inplace|--files-from=-|--from0|--no-implied-dirs"
)
SECLUDED_BYTES = 64 << 10
# rsync tells it of the others: its own codes are smaller. More than 125 would end a server's recovery.
REFUSED = 125

Read = Callable[[int, int], bytes]


class RefusedError(Exception):
    """What is not allowed, as text."""


def permitted(command: str, own: argparse.Namespace, read: Read = os.read) -> list[str]:
    """The argument list to run for a command. Raises RefusedError."""
    try:
        words = shlex.split(command)
    except ValueError:
        raise RefusedError(command) from None
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
        return is_inside(word, own.directory)
    if form == "INFO":
        return word.endswith("backup.info") and is_inside(word, own.directory)
    if form in FORMS:
        return re.fullmatch(FORMS[form], word) is not None
    return word == form


def is_inside(path: str, directories: list[str]) -> bool:
    """Whether an absolute path leads into one of the directories, whatever links are on its way."""
    real = os.path.realpath(path)
    tops = [os.path.realpath(directory) for directory in directories]
    return path.startswith("/") and any(real == top or real.startswith(top + "/") for top in tops)


def secluded(own: argparse.Namespace, read: Read) -> list[str]:
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
    if not known or not is_inside(place, own.directory):
        raise RefusedError(" ".join(map(shlex.quote, [name, *options, place])))
    return [*options, place]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", action="append", required=True, help="a Barman server; may be repeated")
    parser.add_argument("--directory", action="append", required=True, help="its backup_directory; may be repeated")
    parser.add_argument("--barman", default="barman", help="Barman's command; a standby may call it barman as well")
    parser.add_argument("--config", help="Barman's configuration file, if it is not the default one")
    own = parser.parse_args()
    try:
        argv = permitted(os.environ.get("SSH_ORIGINAL_COMMAND", ""), own)
    except RefusedError as refused:
        said = f"this key may not run {str(refused)[:500]!a}"
        syslog.syslog(syslog.LOG_AUTH | syslog.LOG_WARNING, said)
        sys.exit(tell(said, REFUSED))
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
