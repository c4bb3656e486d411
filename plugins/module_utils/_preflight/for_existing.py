# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preflight asks if the cluster that is there goes on: by its start, its settings or pg_rewind.

Private to the collection.
"""

from __future__ import annotations

from ansible_collections.pgfleet.standby.plugins.module_utils._checks import configuration_facts as _configuration_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._model import ControlData, DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import find_bindir
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight import for_every_standby as _for_every_standby
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.case import Case
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.findings import Findings, ask, merged
from ansible_collections.pgfleet.standby.plugins.module_utils._preflight.questions import Questions

__all__ = ["examine"]


def examine(case: Case, pgdata: DataDir, control: ControlData, questions: Questions) -> Findings:
    """That the cluster finds its WAL, and suits its programs, its configuration, this host and the upstream.

    ``pgdata`` is the cluster's directory, ``control`` its pg_control.
    """
    of_wal = Findings(case.proof.verdicts if case.proof is not None else ())
    bindir, missing = ask("version", lambda: find_bindir(pgdata.major, case.request.bindir))
    if bindir is None:
        return merged(of_wal, missing)
    places = case.configuration_places(bindir)
    read, invalid = ask("configuration", lambda: _configuration_facts.of_directory(control, places))
    return merged(
        of_wal,
        invalid,
        _for_every_standby.check_configuration(case, read),
        _for_every_standby.check_compatibility(case, questions, bindir, pgdata.major, read),
    )
