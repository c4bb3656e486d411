# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a systemd unit starts, by what ``systemctl show`` tells of it. Pure. Private to the collection."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "PROPERTIES",
    "RUNTIME",
    "DebianCluster",
    "StartUnit",
    "Starter",
    "environment_of",
    "parse_start_unit",
    "start_unit",
]

# What `systemctl show` is asked for (org.freedesktop.systemd1(5)); an older systemd leaves out what it does not know.
PROPERTIES = (
    *("LoadState", "Type", "ExecStart", "Environment", "EnvironmentFiles", "TimeoutStartUSec", "User"),
    *("UnitFileState", "WantedBy", "RequiredBy", "FragmentPath", "DropInPaths"),
)

_ARGV = re.compile(r"argv\[\]=(.*?) ; ignore_errors=")

_FILE = re.compile(r"(\S.*?) \(ignore_errors=(?:yes|no)\)")

_SPAN = re.compile(r"([\d.]+)(y|month|w|d|h|min|s|ms|us)\b")

_SECONDS = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001}
_SECONDS.update({"y": 31557600.0, "month": 2629800.0, "w": 604800.0, "d": 86400.0})

# `-c name=value` and `--name=value`, of postgres itself or in pg_ctl's -o. systemd prints words without their quotes.
_SETTING = re.compile(r"(?:^|[\s'\"])(?:-c\s*['\"]?|--)([A-Za-z_][\w.-]*)\s*=\s*('[^']*'|[^\s'\"]*)")

_DIRECTORY = re.compile(r"(?:^|\s)(?:-D\s*|--pgdata[= ]\s*)(\S+)")

_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")

# The words of systemctl(1), is-enabled. What is enabled for the running system only is gone after a reboot.
_AT_BOOT = ("enabled", "alias", "generated")
RUNTIME = "enabled-runtime"


@dataclass(frozen=True)
class StartUnit:
    """A unit as systemd has loaded it.

    ``load`` and ``kind`` (its Type) are systemd's words, ``command`` the words of its ExecStart, without quotes.
    ``start_limit`` is for how many seconds a start may last, None for ever. ``user`` is empty for root.
    ``wanted_by`` are the units that start it along. ``files`` are those that it was made of, ``environment_files``
    those that it reads.
    """

    name: str
    load: str = "loaded"
    kind: str = "simple"
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    environment_files: tuple[str, ...] = ()
    start_limit: float | None = None
    user: str = ""
    file_state: str = ""
    wanted_by: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def stands_for_others(self) -> bool:
        """Whether it starts nothing itself, as Debian's postgresql.service, which other units are a part of."""
        words = self.command.split()
        return self.kind == "oneshot" and len(words) == 1 and words[0].rpartition("/")[2] == "true"

    @property
    def at_boot(self) -> bool:
        """Whether it is started at every boot, or by another unit. Of Debian's clusters their start.conf tells."""
        return self.file_state in _AT_BOOT or (self.file_state != RUNTIME and bool(self.wanted_by))

    @property
    def can_be_enabled(self) -> bool:
        """Whether it says by what it would be wanted; ``systemctl enable`` does nothing for one that does not."""
        return self.file_state != "static"

    def directory(self) -> str | None:
        """The directory that its server is given: by -D, or by PGDATA; None if that is not told."""
        given = _DIRECTORY.search(self.command)
        named = self._expanded(given.group(1)) if given is not None else self.environment.get("PGDATA", "")
        return named if named.startswith("/") else None

    def settings(self) -> dict[str, str]:
        """What its command line sets, which wins over every file."""
        return _command_line_settings(self._expanded(self.command))

    def _expanded(self, text: str) -> str:
        return _VARIABLE.sub(lambda found: self.environment.get(found.group(1) or found.group(2), ""), text)


@dataclass(frozen=True)
class DebianCluster:
    """What the packaging has in the directory of a cluster's configuration.

    ``start`` is the word of start.conf, ``options`` those of pg_ctl.conf. ``umbrella_at_boot``: postgresql.service,
    which starts the cluster along, is started at boot. ``environment`` is what the file of that name sets, the
    server's whole environment. ``mistakes`` are lines with which pg_ctlcluster ends, as FILE:LINE.
    """

    directory: str
    start: str
    options: str
    umbrella_at_boot: bool
    environment: Mapping[str, str] = field(default_factory=dict)
    mistakes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Starter:
    """The unit. ``real`` is the real path of the directory that it gives to its server, None if it does not tell.

    ``cluster`` is None unless the unit is one of Debian's packaging.
    """

    unit: StartUnit
    real: str | None = None
    cluster: DebianCluster | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What the server finds in its environment, beside what systemd gives to every unit."""
        return self.unit.environment if self.cluster is None else self.cluster.environment

    @property
    def settings(self) -> dict[str, str]:
        """What is set on the server's command line, by the unit or by Debian's packaging."""
        options = self.cluster.options if self.cluster is not None else ""
        return {**self.unit.settings(), **_command_line_settings(options)}


def parse_start_unit(name: str, text: str) -> StartUnit:
    """A unit from what ``systemctl show`` has printed, a line ``NAME=value`` for each property."""
    return start_unit(name, dict(line.split("=", 1) for line in text.splitlines() if "=" in line))


def start_unit(name: str, values: Mapping[str, str]) -> StartUnit:
    """A unit from its properties as ``systemctl show`` names and writes them."""
    command = _ARGV.search(values.get("ExecStart", ""))
    fragment = values.get("FragmentPath", "")
    return StartUnit(
        name,
        load=values.get("LoadState", "not-found"),
        kind=values.get("Type", ""),
        command=command.group(1) if command is not None else "",
        environment=environment_of(values.get("Environment", "")),
        environment_files=tuple(_FILE.findall(values.get("EnvironmentFiles", ""))),
        start_limit=_seconds(values.get("TimeoutStartUSec", "infinity")),
        user=values.get("User", ""),
        file_state=values.get("UnitFileState", ""),
        wanted_by=(*values.get("WantedBy", "").split(), *values.get("RequiredBy", "").split()),
        files=(*([fragment] if fragment else []), *values.get("DropInPaths", "").split()),
    )


def environment_of(text: str) -> dict[str, str]:
    """``A=1 "B=two words"`` as systemd prints it, or the lines of a file of such assignments."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a quote that has no end: systemd takes that line for nothing, too
            continue
        pairs = (word.partition("=") for word in words)
        found.update({name: value for name, equals, value in pairs if equals})
    return found


def _command_line_settings(text: str) -> dict[str, str]:
    """The settings in a server's or pg_ctl's options, by their names as the server has them."""
    found = _SETTING.findall(text)
    return {name.replace("-", "_").lower(): value.strip("'") for name, value in found if name != "pgdata"}


def _seconds(text: str) -> float | None:
    """A span such as ``1min 30s``; None for ``infinity``."""
    spans = _SPAN.findall(text)
    return sum(float(number) * _SECONDS[unit] for number, unit in spans) if spans else None
