# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a server can be started with its configuration, and be a standby with it: the verdicts. Pure.

Private to the collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal
from ansible_collections.pgfleet.standby.plugins.module_utils._verdict import Verdict, problem

__all__ = ["configuration", "hot_standby", "lets_in", "not_copied", "settings_to_raise", "starter"]


def starter(service: str | None, places: Iterable[str]) -> list[Verdict]:
    """Whether the server can be started at these places. Without a service pg_ctl does, by a shell's command line
    in which it puts paths between double quotes (PostgreSQL's pg_ctl.c, start_postmaster)."""
    unfit = [place for place in places if set('"$`\\\n') & set(place)]
    if service:
        return []  # the unit is judged by itself
    if not unfit:
        return [Verdict("service", "ok", "pg_ctl")]
    return [
        problem(
            "service",
            Refusal(
                "path_unfit_for_pg_ctl",
                f"pg_ctl cannot start a server at {unfit[0]!r}: it would pass the path through a shell.",
                "name a systemd unit in service, or choose a path without quotes, dollars and backslashes",
            ),
        )
    ]


def settings_to_raise(effective: Mapping[str, int], *needed: Mapping[str, int]) -> dict[str, int]:
    """The settings that are too low here, with the value they need."""
    wanted = {name: max(int(source.get(name, 0)) for source in needed) for name in effective}
    return {name: value for name, value in wanted.items() if effective[name] < value}


def hot_standby(effective: Mapping[str, int], to_raise: Mapping[str, int], policy: str) -> list[Verdict]:
    """Whether the server would start as a hot standby; ``policy`` is ``raise`` or ``refuse``."""
    if not to_raise:
        return [Verdict("hot_standby_settings", "ok", "the settings here are not below the primary's")]
    said = ", ".join(f"{name} {effective[name]} (needs {value})" for name, value in sorted(to_raise.items()))
    if policy == "raise":
        return [Verdict("hot_standby_settings", "warning", f"Raised in postgresql.auto.conf of the standby: {said}.")]
    return [
        problem(
            "hot_standby_settings",
            Refusal(
                "hot_standby_settings",
                f"A standby does not start with settings below the primary's: {said}.",
                "raise them in this host's configuration, or allow it with hot_standby_settings=raise",
            ),
        )
    ]


def lets_in(on: bool, policy: str) -> list[Verdict]:
    """Whether the standby takes connections, without which it cannot be proven that it streams; ``policy`` as above."""
    if on:
        return []
    said = "hot_standby is off in the configuration that the standby will have: it would let nobody in"
    if policy == "raise":
        return [Verdict("hot_standby", "warning", f"{said}. It is set to on in postgresql.auto.conf of the standby.")]
    step = "set hot_standby=on in this host's configuration, or allow it with hot_standby_settings=raise"
    return [problem("hot_standby", Refusal("hot_standby_off", f"{said}.", step))]


def not_copied(data_directory: str, elsewhere: str) -> Verdict:
    """That a copy of the upstream brings no configuration: the upstream's is in ``elsewhere``."""
    return problem(
        "configuration",
        Refusal(
            "configuration_missing",
            f"There will be no {data_directory}/postgresql.conf: the upstream has its configuration in {elsewhere},"
            " which pg_basebackup does not copy.",
            "put the standby's postgresql.conf into a directory here, and name that in config_directory",
        ),
    )


def configuration(config_file: str, exists: bool, names_directory: str | None, data_directory: str) -> list[Verdict]:
    """Whether the server will find a configuration, and whether that speaks of this data directory."""
    if not exists:
        return [
            problem(
                "configuration",
                Refusal(
                    "configuration_missing",
                    f"There will be no {config_file}: the backup carries none and none is here.",
                    "put the standby's postgresql.conf there, or name its directory in config_directory",
                ),
            )
        ]
    if names_directory is not None and names_directory.rstrip("/") != data_directory.rstrip("/"):
        return [
            problem(
                "configuration",
                Refusal(
                    "configuration_other_directory",
                    f"{config_file} sets data_directory to {names_directory}, not to {data_directory}.",
                    "correct it, or correct data_directory or service",
                ),
            )
        ]
    return [Verdict("configuration", "ok", f"{config_file} is used")]
