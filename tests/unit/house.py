# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house as one table: the folders of plugins/module_utils, who may import whom, and what never happens.

``test_architecture`` holds the code to the table, ``test_architecture_page`` holds docs/architecture.md to it.
"""

from __future__ import annotations

from dataclasses import dataclass

PACKAGE = "ansible_collections.pgfleet.standby.plugins.module_utils"

FOLDER_FILES = 14
TOP_FILES = 8
FILE_LINES = 400
MAIN_LINES = 40

# What everybody may import.
GROUND = ("_at_once", "_errors", "_model", "_times", "_verdict")
GROUND_SENTENCE = "The ground: data and words that everybody may import."


@dataclass(frozen=True)
class Folder:
    """A folder, or a file beside the folders: what goes in, and what its files may import beside the ground."""

    sentence: str
    may_import: tuple[str, ...] = ()


# From the ground up: a folder may import only those that stand before it.
FOLDERS = {
    "_files": Folder("Reads and writes small files and directories on this host, with care."),
    "_commands": Folder(
        "Starts programs, here and on the Barman host, quotes their words, and judges their exit codes."
    ),
    "_formats": Folder("Reads and writes PostgreSQL's own file formats and notations; pure."),
    "_pgdata": Folder(
        "What a data directory and the state directory beside it hold, and careful changes of both.",
        ("_files", "_formats"),
    ),
    "_backup": Folder(
        "Which files a backup has, which of them a clone takes, and which are here already.",
        ("_files", "_commands", "_formats"),
    ),
    "_barman": Folder("Asks Barman: its versions, its answers, and which backup is chosen.", ("_commands",)),
    "_repmgr": Folder("Turns a repmgr.conf into inputs of the role.", ("_files", "_formats")),
    "_barman_host": Folder(
        "Keeps a backup against retention, or stages it, on the Barman host, for all hosts that copy it.",
        ("_files", "_commands", "_barman"),
    ),
    "_postgres": Folder(
        "Asks PostgreSQL servers and their programs: the standby's own, and the upstream.",
        ("_files", "_commands", "_formats", "_pgdata"),
    ),
    "_server": Folder(
        "Starts, stops, restarts and proves the server of one data directory, by its unit or by pg_ctl.",
        ("_files", "_commands", "_formats", "_pgdata", "_postgres"),
    ),
    "_transfer": Folder(
        "Pulls a backup's bytes in parallel, by rsync or as tars.",
        ("_commands", "_formats", "_pgdata", "_backup"),
    ),
    "_recovery": Folder(
        "Makes a directory a standby: the recovery settings and restore_command.",
        ("_files", "_commands", "_formats", "_pgdata", "_postgres"),
    ),
    "_rehearsal": Folder(
        "Tries the start of a standby's server with a scratch cluster, of which nothing stays.",
        ("_files", "_commands", "_formats", "_backup", "_postgres", "_server", "_recovery"),
    ),
    "_starter": Folder(
        "Whether what is to start the server starts it on this data directory, and again after a reboot.",
        ("_files", "_commands", "_formats", "_server", "_recovery"),
    ),
    "_rewind": Folder(
        "Rewinds a diverged cluster to the upstream's history by pg_rewind.",
        ("_files", "_commands", "_formats", "_pgdata", "_postgres", "_recovery"),
    ),
    "_clone": Folder(
        "Fills a data directory, whatever brings the files: no server starts on it before all is verified and synced.",
        ("_files", "_commands", "_formats", "_pgdata", "_backup", "_recovery"),
    ),
    "_wal_feed": Folder(
        "Brings WAL from Barman's archive ahead of a server that catches up, into a spool of whole segments.",
        ("_files", "_commands", "_formats", "_pgdata", "_backup", "_transfer", "_recovery", "_clone"),
    ),
    "_methods": Folder(
        "Brings the files: one file for each value of standby_from_barman_method, and its parts.",
        (
            *("_files", "_commands", "_formats", "_pgdata", "_backup", "_barman", "_barman_host"),
            *("_postgres", "_transfer", "_clone"),
        ),
    ),
    "_checks": Folder(
        "Asks one question each before anything changes: x_facts looks, x judges.",
        (
            *("_files", "_commands", "_formats", "_pgdata", "_backup", "_barman"),
            *("_postgres", "_recovery", "_clone"),
        ),
    ),
    "_preflight": Folder(
        "Asks all checks, and plans the smallest change that makes the host a standby.",
        (
            *("_files", "_formats", "_pgdata", "_backup", "_barman"),
            *("_postgres", "_transfer", "_recovery", "_rehearsal", "_starter", "_rewind", "_clone", "_checks"),
        ),
    ),
    "_argspec": Folder("Declares the options of modules."),
    "_module": Folder(
        "Leads from a module's options to the work, and is the one place where a module ends.",
        ("_commands", "_formats", "_pgdata", "_backup", "_barman", "_recovery", "_clone"),
    ),
}

# The modules' own side.
MODULE_SIDE = ("_argspec", "_module")
BELOW_MODULES = tuple(name for name in (*GROUND, *FOLDERS) if name not in MODULE_SIDE)
# The files that have the functions which run on the Barman host, and all that comes with them.
SENT = (
    *("_barman.cli", "_barman.parse", "_barman.versions"),
    *("_barman_host.claim_records", "_barman_host.claims", "_barman_host.keep_backup"),
    *("_barman_host.restore_options", "_barman_host.restored_files", "_barman_host.stage_backup"),
    *(
        "_commands.command",
        "_commands.exit_codes",
        "_commands.failure_words",
        "_commands.processes",
        "_commands.program_group",
    ),
    "_commands.quoting",
    *("_errors", "_files", "_model", "_times"),
)
# The only files that know the driver of PostgreSQL.
ASKS_SERVERS = ("_postgres.connect", "_postgres.libpq", "_postgres.upstream_facts", "_postgres.walsender")

STARTS_PROGRAMS = "_commands.program_group"
MAKES_HOSTS = "_commands.barman_host"


def _as_path(unit: str) -> str:
    return f"`{unit.replace('.', '/')}`"


@dataclass(frozen=True)
class Never:
    """A rule that no change of the table lifts, and the test that checks it. ``who`` never imports ``whom``."""

    sentence: str
    checked_by: str = "test_strangers_stay_strangers"
    who: tuple[str, ...] = ()
    whom: tuple[str, ...] = ()


NEVERS = (
    Never(
        "Nothing below the modules imports `_argspec`, `_module` or anything of Ansible.",
        checked_by="test_a_unit_knows_nothing_of_ansible",
    ),
    Never("`_formats` never acts: every file in it is pure.", checked_by="test_formats_are_pure"),
    Never(
        "`_commands` knows no backup, no cluster and no Barman.",
        who=("_commands",),
        whom=tuple(name for name in FOLDERS if name != "_commands"),
    ),
    Never(
        f"What runs on the Barman host knows nothing of the standby: only {', '.join(map(_as_path, SENT))} are sent"
        " there.",
        checked_by="test_what_is_sent_to_the_barman_host_is_known",
    ),
    Never(
        "`_clone` knows no method, no transfer and no Barman: what brings the files is handed in.",
        who=("_clone",),
        whom=("_methods", "_transfer", "_barman", "_barman_host"),
    ),
    Never("`_methods` never know a check or the preflight.", who=("_methods",), whom=("_checks", "_preflight")),
    Never("`_checks` never know a method or the preflight.", who=("_checks",), whom=("_methods", "_preflight")),
    Never(
        "`_pgdata` never asks a server and knows no recovery setting.",
        who=("_pgdata",),
        whom=("_postgres", "_recovery"),
    ),
    Never("`_postgres` never knows a clone.", who=("_postgres",), whom=("_clone", "_methods")),
    Never(
        "`_server` never changes what is in a data directory.",
        who=("_server",),
        whom=("_recovery", "_rewind", "_clone", "_methods"),
    ),
    Never(
        "`_wal_feed` never asks a server and knows no method, no check and no Barman.",
        who=("_wal_feed",),
        whom=("_postgres", "_server", "_methods", "_checks", "_preflight", "_barman", "_barman_host"),
    ),
    Never(
        "`_rehearsal` never knows a clone, a method or a check.",
        who=("_rehearsal",),
        whom=("_clone", "_methods", "_checks", "_preflight"),
    ),
    Never("`_backup` never knows Barman or repmgr.", who=("_backup",), whom=("_barman", "_barman_host", "_repmgr")),
    Never("`_barman` never knows a backup's files or repmgr.", who=("_barman",), whom=("_backup", "_repmgr")),
    Never("`_repmgr` never knows Barman or a backup.", who=("_repmgr",), whom=("_barman", "_barman_host", "_backup")),
    Never(
        f"Only {', '.join(map(_as_path, ASKS_SERVERS))} import psycopg2.",
        checked_by="test_psycopg2_is_known_to_those_who_ask_servers",
    ),
    Never(
        f"Only {_as_path(STARTS_PROGRAMS)} starts programs.",
        checked_by="test_programs_are_started_in_one_file",
    ),
    Never(
        f"Only {_as_path(MAKES_HOSTS)} makes a Barman host, or a shell that reaches it by ssh, and each in one place.",
        checked_by="test_a_barman_host_is_made_in_one_place",
    ),
    Never("No file runs a shell.", checked_by="test_no_unit_runs_a_shell"),
    Never(
        "Only `_module` ends a module, and a module's `main()` calls it once.",
        checked_by="test_a_module_ends_in_one_place",
    ),
    Never(
        "A module opens no file and starts no program itself.",
        checked_by="test_a_module_acts_only_through_its_units",
    ),
    Never(
        "No file offers in `__all__` what no other file uses.",
        checked_by="test_what_is_offered_is_used_by_another_file",
    ),
)
