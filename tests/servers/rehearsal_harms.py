"""Configurations for rehearsals: with which servers do not start and what they say then, and with which they do."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ansible_collections.pgfleet.standby.tests.waiting import BOUND

MAJORS = (10, 13, 15, 17, 18)
IN_QUICK_RUNS = (18,)

_HEALTHY = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = '{top}/sockets'
shared_buffers = 16MB
"""
_HBA = "local all all peer\n"


@cache
def _identity() -> dict[str, str]:
    """A certificate for nobody and its key, by the words that stand for them."""
    with tempfile.TemporaryDirectory() as scratch:
        key, certificate = Path(scratch, "key"), Path(scratch, "certificate")
        argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=nobody", "-days", "36500"]
        subprocess.run([*argv, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=BOUND)
        return {"{key}": key.read_text(), "{certificate}": certificate.read_text()}


@dataclass(frozen=True)
class Files:
    """What a configuration consists of: ``conf`` is added to a healthy postgresql.conf.

    ``more`` are other files, None for one that is missing; ``modes`` are theirs. In all of them ``{top}`` stands for
    the host's directory, ``{certificate}`` and ``{key}`` for those of a server.
    """

    conf: str = ""
    more: Mapping[str, str | None] = field(default_factory=dict)
    modes: Mapping[str, int] = field(default_factory=dict)

    def write(self, directory: Path, top: Path) -> None:
        texts: dict[str, str | None] = {
            "postgresql.conf": _HEALTHY + self.conf,
            "pg_hba.conf": _HBA,
            "pg_ident.conf": "",
            **self.more,
        }
        for name, text in texts.items():
            if text is not None:
                file = directory / name
                file.parent.mkdir(parents=True, exist_ok=True)
                text = text.replace("{top}", str(top))
                for name_of, content in _identity().items() if "{" in text else ():
                    text = text.replace(name_of, content)
                file.write_text(text, encoding="utf-8")
                file.chmod(self.modes.get(name, 0o600))


@dataclass(frozen=True)
class Harm:
    """A configuration for servers of these versions, and parts of what is told of it."""

    name: str
    files: Files
    words: tuple[str, ...] = ()
    majors: tuple[int, ...] = MAJORS


def _since(first: int) -> tuple[int, ...]:
    return tuple(major for major in MAJORS if major >= first)


_TLS = {"server.crt": "{certificate}", "server.key": "{key}"}
_INVALID = ("invalid value for parameter", "FATAL: configuration file", "contains errors")
_HBA_FAILS = ("FATAL: could not load", "/srv/main/pg_hba.conf")

HARMS = (
    # The files themselves.
    Harm(
        "an unknown setting", Files("no_such = 1\n"), ("unrecognized", "no_such", '/srv/main/postgresql.conf" line 4')
    ),
    Harm("a value that is none", Files("work_mem = plenty\n"), (*_INVALID, "work_mem", "plenty")),
    Harm("a value out of range", Files("max_connections = 9999999\n"), ("9999999", "max_connections")),
    Harm("a line that is none", Files("work_mem 4MB 5MB\n"), ("syntax error", "line 4", "5MB")),
    Harm(
        "an include of a directory", Files("include 'conf.d'\n", {"conf.d/a.conf": ""}), ("FATAL", "/srv/main/conf.d")
    ),
    Harm(
        "a mistake in an included file",
        Files("include_dir 'conf.d'\n", {"conf.d/a.conf": "\nno_such = 1\n"}),
        ("no_such", '/srv/main/conf.d/a.conf" line 2'),
    ),
    Harm(
        "a mistake in postgresql.auto.conf",
        Files(more={"postgresql.auto.conf": "work_mem = 'plenty'\n"}),
        (*_INVALID, "postgresql.auto.conf"),
    ),
    Harm("a setting of an older version", Files("wal_keep_segments = 3\n"), ("wal_keep_segments",), _since(13)),
    Harm("a setting that has gone", Files("stats_temp_directory = 'x'\n"), ("stats_temp_directory",), _since(15)),
    Harm("a setting of a later version", Files("wal_keep_size = 64MB\n"), ("wal_keep_size",), (10,)),
    # Who may log in.
    Harm("no pg_hba.conf", Files(more={"pg_hba.conf": None}), (*_HBA_FAILS, "No such file")),
    Harm("nothing in pg_hba.conf", Files(more={"pg_hba.conf": "# none\n"}), (*_HBA_FAILS, "contains no entries")),
    Harm(
        "an unfinished line of pg_hba.conf",
        Files(more={"pg_hba.conf": "local all all peer\nhost all all nowhere\n"}),
        (*_HBA_FAILS, "end-of-line", "line 2"),
    ),
    Harm(
        "an unknown method in pg_hba.conf",
        Files(more={"pg_hba.conf": "local all all trust_me\n"}),
        (*_HBA_FAILS, "trust_me", "line 1"),
    ),
    # Where it listens.
    Harm("an address of another host", Files("listen_addresses = '203.0.113.7'\n"), ("203.0.113.7", "Cannot assign")),
    Harm(
        "a name of no host", Files("listen_addresses = 'no-such.invalid'\n"), ("no-such.invalid", "could not translate")
    ),
    Harm(
        "a missing directory for sockets",
        Files("unix_socket_directories = '{top}/nowhere'\n"),
        ("could not create lock file", "/nowhere/", "No such file"),
    ),
    Harm(
        "a closed directory for sockets",
        Files("unix_socket_directories = '{top}/closed'\n"),
        ("could not create lock file", "/closed/", "Permission denied"),
    ),
    Harm("a long name for sockets", Files(f"unix_socket_directories = '/tmp/{'x' * 120}'\n"), ("is too long",)),
    Harm("an unknown group for sockets", Files("unix_socket_group = 'no-such-group'\n"), ("no-such-group",)),
    # TLS.
    Harm("no certificate", Files("ssl = on\n"), ("could not load server certificate file",)),
    Harm("no key", Files("ssl = on\n", {"server.crt": "{certificate}"}), ("could not access private key file",)),
    Harm(
        "a key that others read", Files("ssl = on\n", _TLS, {"server.key": 0o644}), ("private key file", "permissions")
    ),
    Harm(
        "a key that is none", Files("ssl = on\n", {**_TLS, "server.key": "key"}), ("could not load private key file",)
    ),
    Harm(
        "ciphers that are none",
        Files("ssl = on\nssl_ciphers = 'NONE-SUCH'\n", _TLS),
        ("could not set the cipher list",),
        (10,),
    ),
    Harm(
        "no list of authorities",
        Files("ssl = on\nssl_ca_file = 'ca.crt'\n", _TLS),
        ("could not load root certificate",),
    ),
    # Libraries and memory.
    Harm(
        "a missing library",
        Files("shared_preload_libraries = 'no_such_library'\n"),
        ("could not access file", "no_such_"),
    ),
    Harm("more memory than there is", Files("shared_buffers = 7TB\nhuge_pages = off\n"), ("could not map anonymous",)),
    Harm(
        "huge pages that are not there", Files("shared_buffers = 2TB\nhuge_pages = on\n"), ("could not map anonymous",)
    ),
    Harm(
        "an unknown kind of shared memory",
        Files("dynamic_shared_memory_type = windows\n"),
        (*_INVALID, "Available values"),
    ),
    Harm(
        "io_uring in programs without it",
        Files("io_method = io_uring\n"),
        (*_INVALID, "io_method", "sync, worker"),
        (18,),
    ),
    # WAL, and settings that have to suit each other.
    Harm("too small a min_wal_size", Files("min_wal_size = 2\n"), ("min_wal_size",), _since(13)),
    Harm(
        "no connections left",
        Files("max_connections = 3\nmax_wal_senders = 0\nsuperuser_reserved_connections = 3\n"),
        ("superuser_reserved_connections", "less than", "max_connections"),
    ),
    Harm("no WAL for senders", Files("wal_level = minimal\n"), ("WAL streaming", "max_wal_senders")),
    Harm(
        "no WAL for the archive",
        Files("wal_level = minimal\nmax_wal_senders = 0\narchive_mode = on\n"),
        ("WAL archival", "minimal"),
    ),
    # Words, times and places.
    Harm("an unknown time zone", Files("timezone = 'Mars/Olympus'\n"), (*_INVALID, "Mars/Olympus")),
    Harm("an unknown locale for messages", Files("lc_messages = 'xx_XX'\n"), (*_INVALID, "lc_messages")),
    Harm("an unknown locale for numbers", Files("lc_numeric = 'xx_XX'\n"), (*_INVALID, "lc_numeric")),
    Harm("a date style that is none", Files("datestyle = 'martian'\n"), (*_INVALID, "DateStyle")),
    Harm(
        "synchronous standbys that are none",
        Files("synchronous_standby_names = 'ANY ('\n"),
        (*_INVALID, "synchronous_standby_names"),
    ),
    Harm(
        "a closed directory for the log",
        Files("logging_collector = on\nlog_directory = '{top}/closed'\n"),
        ("logging_collector", "/closed"),
    ),
)

# What needs no cluster to be seen: the settings by themselves, and what the server makes before it opens a file.
WITHOUT_CLUSTER = (
    "an unknown setting",
    "a mistake in an included file",
    "a mistake in postgresql.auto.conf",
    "more memory than there is",
    "huge pages that are not there",
    "io_uring in programs without it",
)

# Whatever is mended before the start, or is no matter of the start.
HARMLESS = (
    Harm("an include of a missing file, which the recovery step leaves out", Files("include 'more.conf'\n")),
    Harm("places of another host", Files("data_directory = '/other'\nhba_file = '/other/pg_hba.conf'\n")),
    Harm("two recovery targets", Files("recovery_target_xid = '5'\nrecovery_target_name = 'x'\n"), majors=_since(13)),
    Harm("a timeline of its own", Files("recovery_target_timeline = '7'\n"), majors=_since(13)),
    Harm("an upstream of another node", Files("primary_conninfo = 'host=127.0.0.1 port=1'\n"), majors=_since(13)),
    Harm("no pg_ident.conf", Files(more={"pg_ident.conf": None})),
    Harm(
        "a log in the data directory",
        Files("logging_collector = on\nlog_destination = csvlog\nlog_min_messages = panic\n"),
    ),
    Harm("an archive", Files("archive_mode = on\narchive_command = 'touch {top}/sockets/archived'\n")),
    Harm("a certificate by its absolute path", Files("ssl = on\nssl_cert_file = '{top}/srv/main/server.crt'\n", _TLS)),
    Harm(
        "includes by absolute paths",
        Files("include_dir '{top}/srv/main/conf.d'\n", {"conf.d/a.conf": "work_mem = 5MB\n"}),
    ),
    Harm(
        "one address of several",
        Files("listen_addresses = '127.0.0.1, 203.0.113.7'\n"),
        ("not listen everywhere", "203.0.113.7"),
    ),
    Harm(
        "a missing library that is loaded at a login",
        Files("session_preload_libraries = 'no_such_library'\nlocal_preload_libraries = 'nor_this'\n"),
        ("session_preload_libraries (no_such_library)", "local_preload_libraries (nor_this)"),
    ),
    Harm("libraries that are there", Files("shared_preload_libraries = 'auto_explain'\n")),
)

_OWN_HBA = "hba_file = '{top}/etc/pg_hba.conf'\nident_file = '{top}/etc/pg_ident.conf'\n"

# A configuration of the host's own, in a directory beside the data directory.
OF_HOST = (
    Harm("that starts", Files(_OWN_HBA)),
    Harm("with an include of a missing file", Files(f"{_OWN_HBA}include 'more.conf'\n"), ("more.conf", "No such file")),
    Harm("with a missing file that need not be there", Files(f"{_OWN_HBA}include_if_exists 'more.conf'\n")),
    Harm("that names no pg_hba.conf", Files(), ("FATAL: could not load", "/srv/main/pg_hba.conf")),
    Harm(
        "that names files of the backup",
        Files("hba_file = '{top}/srv/main/pg_hba.conf'\nident_file = '{top}/srv/main/pg_ident.conf'\n"),
    ),
    Harm(
        "with a mistake in a directory",
        Files(f"{_OWN_HBA}include_dir 'conf.d'\n", {"conf.d/a.conf": "no_such = 1\n"}),
        ("/etc/conf.d/a.conf", "line 1"),
    ),
)
