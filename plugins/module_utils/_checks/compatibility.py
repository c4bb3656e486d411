# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this host and this upstream suit each other: one function per question, over what was seen. Pure.

Every function returns verdicts and raises nothing. What could not be seen is no problem by itself: ``sql_denied``
says once what remains unproven. Private to the collection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import (
    Clock,
    Collation,
    Database,
    HostPlace,
    Sender,
    UpstreamFacts,
    library_name,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem, warning

__all__ = [
    "application_name",
    "architecture",
    "block_sizes",
    "clocks",
    "collations",
    "confined",
    "inodes",
    "locales",
    "ownership",
    "preload",
    "selinux",
    "sql_denied",
    "walsenders",
]

_SKEW_SECONDS = 5

_SELINUX_TYPE = "postgresql_db_t"

# 64 bits, little-endian: they read each other's pages.
_ALIKE = frozenset({"x86_64", "amd64", "aarch64", "arm64", "ppc64le", "powerpc64le", "riscv64", "loongarch64"})

_SAME = {"amd64": "x86_64", "arm64": "aarch64", "powerpc64le": "ppc64le"}

_NAMED = 5


# --- the upstream's senders -------------------------------------------------
def walsenders(host: str, facts: UpstreamFacts, name: str, ours: bool, needed: int = 1) -> list[Verdict]:
    """Whether so many WAL senders are free. ``ours``: the one of that name is this very standby's already."""
    limit, senders = facts.max_wal_senders, facts.senders
    if limit is None or senders is None:
        return []
    free = limit - len(senders)
    if free >= needed or (ours and _of_name(senders, name)):
        return [Verdict("walsenders", "ok", f"{max(0, free)} of {limit} WAL senders are free")]
    said = f"All {limit} WAL senders of {host} are in use (max_wal_senders)."
    if free > 0:
        said = f"Of the {limit} WAL senders of {host} (max_wal_senders) {free} is free, pg_basebackup needs {needed}."
    return [
        problem(
            "walsenders", Refusal("walsenders_exhausted", said, "end one, or raise max_wal_senders there and restart")
        )
    ]


def application_name(host: str, name: str, facts: UpstreamFacts, ours: bool) -> list[Verdict]:
    """Whether another client uses that name: allowed, but synchronous_standby_names cannot tell the two apart."""
    if facts.senders is None:
        return []
    taken = _of_name(facts.senders, name)
    if len(taken) <= (1 if ours else 0):
        return [Verdict("application_name", "ok", f"{name} is {'this standby' if taken else 'not taken'}")]
    at = " and ".join(sender.client_addr or f"process {sender.pid}" for sender in taken)
    return [
        warning(
            "application_name",
            Refusal(
                "application_name_taken",
                f"{len(taken)} clients already receive from {host} as application_name {name}: {at}."
                " synchronous_standby_names and monitoring cannot tell them from this standby.",
                "give every standby an application_name of its own",
            ),
        )
    ]


def _of_name(senders: Iterable[Sender], name: str) -> list[Sender]:
    return [sender for sender in senders if sender.application_name == name]


def sql_denied(host: str, reason: str, slot_name: str | None, facts: UpstreamFacts) -> list[Verdict]:
    """One warning for all that an ordinary login would have proven. ``facts`` are what is known without it."""
    unproven = []
    if slot_name and (facts.slot is None or facts.slot.kind == "physical"):
        unproven = [f"that slot {slot_name} is {'' if facts.slot else 'there and '}not in use"]
    unproven += [
        "a free WAL sender and slot",
        "a free application_name",
        "the databases' locales and collation versions",
        "the libraries that the upstream preloads",
        "block sizes",
        "its clock",
    ]
    return [
        warning(
            "upstream_sql",
            Refusal(
                "upstream_sql_denied",
                f"The replication user may not log in to a database of {host} ({reason.rstrip('.')})."
                f" So these are not proven: {', '.join(unproven)}.",
                "nothing, if you know them; else let that user connect to database postgres (pg_hba.conf)",
            ),
        )
    ]


# --- how strings are sorted -----------------------------------------------------------
def collations(
    host: str, used: Sequence[Collation] | None, here: Mapping[tuple[str, str], str | None]
) -> list[Verdict]:
    """Whether strings are sorted here as the indexes were built. ``here`` is by (provider, locale).

    An index that was built by another order gives wrong answers without an error (PostgreSQL manual, 24.2.2.3).
    """
    if used is None:
        return []
    found: dict[tuple[str, str, str], list[str]] = {}
    for collation in used:
        there = collation.recorded or collation.actual
        mine = here.get((collation.provider, collation.locale))
        if there and mine and there != mine:
            kind = "ICU" if collation.provider == "i" else "libc"
            found.setdefault((f"{kind} {collation.locale}", there, mine), []).append(collation.owner)
    if not found:
        return [Verdict("collation", "ok", _compared(used, here))]
    return [
        warning(
            "collation",
            Refusal(
                "collation_version_differs",
                f"{_some(owners)}: collation {name} is of version {there} on {host} and of {mine} here. Indexes on text"
                " may give wrong answers on this standby, and after a promotion accept what they should refuse.",
                "use the same OS release, or be ready to rebuild these indexes (REINDEX) once it is promoted",
            ),
        )
        for (name, there, mine), owners in found.items()
    ]


def _compared(used: Sequence[Collation], here: Mapping[tuple[str, str], str | None]) -> str:
    if not used:
        return "no collation depends on a library"
    unknown = [c for c in used if not (c.recorded or c.actual) or not here.get((c.provider, c.locale))]
    if unknown:
        return f"not all collation versions are told: not of {_some([collation.owner for collation in unknown])}"
    return "the collation versions are the same"


def locales(databases: Iterable[Database] | None, missing: Collection[str]) -> list[Verdict]:
    """Whether the locales of the databases are on this host. The server refuses connections to a database without."""
    if databases is None:
        return []
    lacking: dict[str, list[str]] = {}
    for database in databases:
        for locale in sorted({database.collate, database.ctype} & set(missing)):
            lacking.setdefault(locale, []).append(database.name)
    if not lacking:
        return [Verdict("locale", "ok", "the locales of all databases are here")]
    return [
        problem(
            "locale",
            Refusal(
                "locale_missing",
                f"Locale {locale} of database {_some(names)} is not on this host: the server here would refuse"
                " connections to it.",
                "generate it (locale-gen, or the distribution's language package)",
            ),
        )
        for locale, names in lacking.items()
    ]


# --- programs and libraries -----------------------------------------------------------
def preload(
    host: str, directory: str, configured: Sequence[str], upstream: Sequence[str] | None, missing: Collection[str]
) -> list[Verdict]:
    """Whether the libraries that are to be preloaded are here, at a server's start or at each login.

    ``directory`` was searched; ``missing`` are the names of both lists that were not found there.
    """
    absent = [name for name in configured if name in missing]
    if absent:
        said = (
            f"The configuration preloads {', '.join(absent)}, not found in {directory}: no server starts so, or lets"
            " anybody in."
        )
        return [
            problem("preload", Refusal("preload_library_missing", said, "install the package, or correct the setting"))
        ]
    known = {library_name(name) for name in configured}
    only_there = [name for name in upstream or () if name in missing and library_name(name) not in known]
    if only_there:
        said = f"{host} preloads {', '.join(only_there)}, which is neither configured here nor in {directory}."
        step = "install it where its functions are needed, and before this standby is promoted"
        return [warning("preload", Refusal("preload_library_missing", said, step))]
    return [Verdict("preload", "ok", f"preloaded here: {', '.join(configured) or 'nothing'}")]


def architecture(host: str, here: str, there: str | None) -> list[Verdict]:
    """Whether the two machines are of one kind, as streaming wants it (PostgreSQL manual, 27.2.1 "Planning")."""
    if there is None:
        return []
    kinds = [_SAME.get(name, name) for name in (here, there)]
    if kinds[0] == kinds[1]:
        return [Verdict("architecture", "ok", f"both are {here}")]
    said = f"This host is {here}, {host} is {there}."
    if set(kinds) <= _ALIKE:
        said += " PostgreSQL promises replication between equal machines only."
        step = "use the same kind of machine, or test indexes on text (pg_trgm) before you rely on it"
        return [warning("architecture", Refusal("architecture_differs", said, step))]
    said += " Their data files differ."
    return [problem("architecture", Refusal("architecture_differs", said, "use a host of the upstream's kind"))]


def block_sizes(here: Mapping[str, int], there: Mapping[str, int]) -> list[Verdict]:
    """Whether the programs here were compiled for such files. ``there``: of the backup's pg_control, or the upstream.

    wal_segment_size is no matter of programs since PostgreSQL 11: it comes with the cluster.
    """
    wrong = [name for name, size in there.items() if name in here and here[name] != size]
    if not wrong:
        return [Verdict("block_size", "ok", "the programs here use the same block sizes")]
    said = ", ".join(f"{name} is {there[name]} there and {here[name]} here" for name in wrong)
    said = f"The server programs here were compiled for other files: {said}."
    return [
        problem(
            "block_size", Refusal("block_size_differs", said, "install the upstream's build, or name it in pg_bindir")
        )
    ]


# --- places ---------------------------------------------------------------------------
def ownership(places: Iterable[HostPlace], kept: bool, major: int | None) -> list[Verdict]:
    """Whether the server accepts its directory, and all places can be written.

    ``kept``: the data directory stays as it is. A copy gives it the mode that it needs; its owner only root can
    change. From PostgreSQL 11 on the server accepts 0700 and 0750, before that 0700 only (manual, 19.2).
    """
    found = [verdict for place in places for verdict in _judged(place, kept, major)]
    return found or [Verdict("ownership", "ok", "all places belong to the database's OS user or can be written")]


def _judged(place: HostPlace, kept: bool, major: int | None) -> list[Verdict]:
    data = place.role == "data_directory" and place.exists
    if data and not place.ours:
        said = f"{place.path} belongs to {place.owner}, not to {place.user}: the server refuses to start there."
        return [problem("ownership", Refusal("data_directory_owner", said, f"chown {place.user} {place.path}"))]
    refused = 0o027 if major is None or major >= 11 else 0o077
    if data and kept and place.mode & refused:
        said = f"{place.path} has mode {place.mode:04o}, with which the server refuses to start."
        return [problem("ownership", Refusal("data_directory_mode", said, f"chmod 0700 {place.path}"))]
    mended = data and not kept and not place.read_only and place.mode & 0o300 != 0o300
    if place.writable or mended:
        return []
    why = "the file system is read-only" if place.read_only else f"owner {place.owner}, mode {place.mode:04o}"
    what = f"{place.role} {place.path} cannot be written by {place.user}"
    if not place.exists:
        what = f"{place.role} {place.path} cannot be made by {place.user} in {place.existing}"
    step = f"create it, owned by {place.user}"
    return [problem("ownership", Refusal("directory_not_writable", f"{what} ({why}).", step))]


def selinux(enforcing: bool, places: Iterable[HostPlace]) -> list[Verdict]:
    """Whether SELinux lets a confined server write its files. A new directory gets the label of the one above it."""
    wrong = [place for place in places if place.selinux_type not in (None, _SELINUX_TYPE)]
    if not enforcing or not wrong:
        return [Verdict("selinux", "ok", "SELinux is not enforcing" if not enforcing else "labels are as expected")]
    said = ", ".join(f"{place.existing} ({place.selinux_type})" for place in wrong)
    paths = " ".join(place.path for place in wrong)
    return [
        warning(
            "selinux",
            Refusal(
                "selinux_context",
                f"SELinux is enforcing, and these are not labelled {_SELINUX_TYPE}: {said}. A confined server cannot"
                " write there.",
                f"semanage fcontext -a -t {_SELINUX_TYPE} for each of them with what is below, then restorecon -R"
                f" {paths}",
            ),
        )
    ]


def confined(enforcing: bool, restore_command: str | None) -> list[str]:
    """What no check shows of restore_command: whether the server may run it in its own SELinux domain.

    The targeted policy starts the server in ``postgresql_t`` (init_daemon_domain in selinux-policy's postgresql.te);
    what Ansible runs here is not in it.
    """
    if not enforcing or not restore_command:
        return []
    return [
        "whether SELinux, which is enforcing here, lets the server run restore_command, for the trial of it is not"
        " confined as the server may be (once the standby runs, `ausearch -m avc -ts recent` as root shows what was"
        " denied)"
    ]


def inodes(needed: Mapping[str, int], free: Mapping[str, int | None]) -> list[Verdict]:
    """Whether so many files fit, per file system, each named by a path on it; None is no limit."""
    found = []
    for place, count in needed.items():
        left = free.get(place)
        if left is not None and count > left:
            said = f"The file system of {place} can take {left} more files, the clone needs {count}."
            step = "remove small files, or use a file system with more inodes (df -i)"
            found.append(problem("inodes", Refusal("inodes_missing", said, step)))
    return found or [Verdict("inodes", "ok", "there are inodes enough")]


# --- clocks ---------------------------------------------------------------------------
def clocks(others: Mapping[str, Clock | None]) -> list[Verdict]:
    """Whether the clocks agree, as far as half a round trip lets it be seen. ``others`` is by the hosts' names."""
    found = []
    for host, clock in others.items():
        if clock is not None and abs(clock.offset) - clock.round_trip / 2 > _SKEW_SECONDS:
            way = "ahead of" if clock.offset > 0 else "behind"
            said = f"The clock of {host} is {abs(clock.offset):.0f} s {way} this host's."
            said += " Delays, recovery_min_apply_delay and the times in logs will be wrong by that."
            found.append(
                warning("clock", Refusal("clock_skew", said, "let all hosts follow one time source (chrony, NTP)"))
            )
    return found or [Verdict("clock", "ok", f"clocks differ by less than {_SKEW_SECONDS} s")]


# --- words ----------------------------------------------------------------------------
def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
