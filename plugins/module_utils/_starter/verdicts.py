# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a unit starts the server of this data directory, and again after a reboot: the verdicts. Pure.

Private to the collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.guc import truth
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.settings import LEFTOVERS, PLACES
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.reboot import after_reboot
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit import (
    DebianCluster,
    Starter,
    StartUnit,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem, warning

__all__ = ["WantedServer", "is_template", "starts", "template", "unasked"]

_CHECK = "service"

# Bytes of WAL that a standby replays in a second, at the least: an archive that sends a segment in about a second.
_REPLAYED = 16 << 20

# A systemd whose unit says nothing ends a start after 90 seconds; these are the types whose start lasts until the
# server takes connections.
_WAITS = ("notify", "forking", "dbus", "notify-reload")


@dataclass(frozen=True)
class WantedServer:
    """The server that is to be started. ``real`` is the real path of ``data_directory``.

    ``os_user`` and ``uid`` are those of its owner. ``config_directory`` is None if the data directory holds the
    configuration. ``wal_to_replay`` are the bytes before it takes connections. ``limits`` are what it needs at the
    least of a hot standby's settings, ``settings`` what is to be set.
    """

    data_directory: str
    real: str
    os_user: str
    uid: int
    config_directory: str | None = None
    wal_to_replay: int = 0
    limits: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


def is_template(service: str) -> bool:
    """Whether this is a template's name without an instance, of which systemd tells nothing."""
    return service.endswith(("@", "@.service"))


def template(service: str) -> Verdict:
    """That such a unit starts nothing."""
    return problem(
        _CHECK,
        Refusal(
            "service_template",
            f"{service} is a template of units, which starts nothing by itself.",
            "name an instance in service, such as postgresql@15-main",
        ),
    )


def unasked(service: str, user: str) -> Verdict:
    """That it is not known what the unit starts. It is judged again by root, before the server is started."""
    return Verdict(_CHECK, "ok", f"{service}, of which systemd tells {user} nothing here (there is no D-Bus)")


def starts(seen: Starter, wanted: WantedServer) -> list[Verdict]:
    """Everything that keeps this unit from starting this server. What follows from a wrong unit is not told as well."""
    unit, cluster = seen.unit, seen.cluster
    refusal = _no_unit(unit) or _other(seen, wanted)
    if refusal is not None:
        return [problem(_CHECK, refusal)]
    found = [_user(unit, wanted), _overridden(seen.settings, wanted), _disabled(cluster), _mistaken(cluster)]
    problems = [problem(_CHECK, one) for one in found if one is not None]
    warnings = [warning(_CHECK, one) for one in (_too_short(unit, wanted), _down_after_boot(seen)) if one is not None]
    return [*problems, *warnings] or [Verdict(_CHECK, "ok", f"{unit.name}, {_boot(seen)}")]


def _no_unit(unit: StartUnit) -> Refusal | None:
    if unit.load == "masked":
        return Refusal(
            "service_masked",
            f"The unit {unit.name} is masked: systemd refuses to start it.",
            f"unmask it (systemctl unmask {unit.name}), or correct service",
        )
    if unit.load != "loaded":
        return Refusal(
            "service_unknown",
            f"systemd does not know a unit {unit.name} that it may start: its state is {unit.load}.",
            "correct service, or install the package that brings the unit",
        )
    if unit.stands_for_others:
        return Refusal(
            "service_umbrella",
            f"The unit {unit.name} starts nothing itself: it runs {unit.command} and stands for other units.",
            "name the cluster's own unit in service, such as postgresql@15-main",
        )
    return None


def _other(seen: Starter, wanted: WantedServer) -> Refusal | None:
    """A directory that holds the configuration may be given to a server in place of its data directory."""
    unit = seen.unit
    if seen.cluster is not None:
        place, own = seen.cluster.directory, wanted.config_directory
        if own is None or own.rstrip("/") != place:
            return _reads_other(unit, place, own or wanted.data_directory)
        return None
    configured = wanted.config_directory or wanted.data_directory
    if seen.real is not None and seen.real != wanted.real and unit.directory() != configured.rstrip("/"):
        return Refusal(
            "service_other_server",
            f"The unit {unit.name} is not that of the server of {wanted.data_directory}: it starts one on"
            f" {unit.directory()}.",
            "name the unit of this data directory in service, or correct data_directory or the unit's PGDATA",
        )
    file = seen.settings.get("config_file")
    if file is not None and file.rpartition("/")[0] != configured.rstrip("/"):
        return _reads_other(unit, file.rpartition("/")[0], configured)
    return None


def _reads_other(unit: StartUnit, place: str, wanted: str) -> Refusal:
    return Refusal(
        "service_other_configuration",
        f"The server that the unit {unit.name} starts reads its configuration in {place}, not in {wanted}.",
        "name that directory in config_directory, or another unit in service",
    )


def _user(unit: StartUnit, wanted: WantedServer) -> Refusal | None:
    if unit.user in ("", wanted.os_user, str(wanted.uid)):
        return None
    return Refusal(
        "service_other_user",
        f"The unit {unit.name} starts the server as {unit.user}, and {wanted.data_directory} belongs to"
        f" {wanted.os_user}: a server refuses a data directory of another user.",
        "name the user in os_user, or correct User in the unit",
    )


def _overridden(given: Mapping[str, str], wanted: WantedServer) -> Refusal | None:
    """What is set on the command line wins over every file that is written here."""
    ours = [name for name in given if (name in LEFTOVERS and name not in PLACES) or name in wanted.settings]
    closed = [name for name, value in given.items() if name == "hot_standby" and truth(value) is False]
    low = [name for name, least in wanted.limits.items() if name in given and _below(given[name], least)]
    names = sorted({*ours, *closed, *low})
    if not names:
        return None
    said = ", ".join(names)
    return Refusal(
        "setting_overridden",
        f"The command line by which the server is started sets {said}, which no file can change.",
        "take that out of the unit's ExecStart, of its environment or of pg_ctl.conf",
    )


def _below(value: str, least: int) -> bool:
    return value.isdigit() and int(value) < least


def _disabled(cluster: DebianCluster | None) -> Refusal | None:
    if cluster is None or cluster.start != "disabled":
        return None
    return Refusal(
        "service_start_disabled",
        f"{cluster.directory}/start.conf says disabled: Debian's packaging refuses to start this cluster.",
        "write auto there, or manual",
    )


def _mistaken(cluster: DebianCluster | None) -> Refusal | None:
    if cluster is None or not cluster.mistakes:
        return None
    places = " and ".join(cluster.mistakes)
    return Refusal(
        "service_file_invalid",
        f"Debian's packaging does not start this cluster, for it does not take the line {places}.",
        "write NAME = 'VALUE' there, with quotes if the value begins with another character than a letter or a digit",
    )


def _too_short(unit: StartUnit, wanted: WantedServer) -> Refusal | None:
    seconds = wanted.wal_to_replay / _REPLAYED
    if unit.start_limit is None or unit.kind not in _WAITS or unit.start_limit >= seconds:
        return None
    return Refusal(
        "service_timeout_short",
        f"The unit {unit.name} gives a start {unit.start_limit:g} seconds, and {wanted.wal_to_replay} bytes of WAL are"
        f" to be replayed, which may take more than {seconds:.0f}: systemd would end the server in the middle.",
        "set TimeoutStartSec=infinity in a drop-in of the unit (systemctl edit)",
    )


def _down_after_boot(seen: Starter) -> Refusal | None:
    """One that can be enabled is no matter: that is done when the server is started. What is disabled starts never."""
    told, cluster = after_reboot(seen), seen.cluster
    if told.starts is not False or (seen.unit.can_be_enabled if cluster is None else cluster.start == "disabled"):
        return None
    found = f"After a reboot the unit {seen.unit.name} is not started: {told.why}."
    return Refusal("service_not_at_boot", found, f"{told.step}, if the standby is to come back by itself")


def _boot(seen: Starter) -> str:
    if after_reboot(seen).starts:
        return "which a reboot starts again"
    return f"which a reboot starts again once it is enabled, and it is {seen.unit.file_state or 'not'} now"
