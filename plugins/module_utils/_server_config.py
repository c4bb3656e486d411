# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server that does not run yet would do: its own program is asked. Private to the collection."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ansible_collections.pgfleet.standby.plugins.module_utils._command import LocalShell
from ansible_collections.pgfleet.standby.plugins.module_utils._diagnosis import first_line
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError

__all__ = ["configured_data_directory", "effective", "server_version"]


def server_version(bindir: str) -> str:
    """What ``postgres --version`` prints. Raises StandbyError."""
    done = LocalShell().run([os.path.join(bindir, "postgres"), "--version"])
    if done.rc != 0:
        raise StandbyError(
            f"{bindir}/postgres does not run: {first_line(done.err)}."
            " Next: install the server package, or correct pg_bindir.",
            "postgresql_not_installed",
        )
    return done.out.strip()


def effective(bindir: str, config_file: str, data_directory: str, names: Iterable[str]) -> dict[str, str]:
    """The values that a start with this configuration file and this directory's postgresql.auto.conf would use.

    Raises StandbyError when the server's own parser refuses the configuration.
    """
    # The server wants to know these two files before it answers, though it does not read them.
    places = [
        f"config_file={config_file}",
        f"data_directory={data_directory}",
        "hba_file=/dev/null",
        "ident_file=/dev/null",
    ]
    settings = [word for place in places for word in ("-c", place)]
    values = {}
    for name in names:
        done = LocalShell().run([os.path.join(bindir, "postgres"), "-C", name, *settings])
        if done.rc != 0:
            raise StandbyError(
                f"The server refuses its configuration {config_file}: {first_line(done.err)}. Next: mend that file.",
                "configuration_invalid",
                stderr=done.err,
            )
        values[name] = done.out.strip()
    return values


def configured_data_directory(bindir: str, config_file: str) -> str | None:
    """The data directory that a configuration file names, or None when it names none."""
    # The two other files as above: where the configuration does not name them, the server gives no answer.
    places = [f"config_file={config_file}", "hba_file=/dev/null", "ident_file=/dev/null"]
    settings = [word for place in places for word in ("-c", place)]
    done = LocalShell().run([os.path.join(bindir, "postgres"), "-C", "data_directory", *settings])
    return done.out.strip() or None if done.rc == 0 else None
