# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``systemctl show`` has printed, of three versions of systemd: Debian 11, 12 and 13.

postgresql-15.service is the PGDG's unit for Red Hat. postgresql-16.service is the same without its time-outs, with
options on the command line and a drop-in. pg-static.service has no [Install] section. The clusters ``main``, ``spare``
(whose start.conf says manual) and ``none`` (which is not there) are Debian's, ``gone`` is masked.
"""

from __future__ import annotations

import re
from pathlib import Path

_FIXTURES = Path(__file__).parents[1] / "fixtures" / "systemd"

VERSIONS = {path.stem.rpartition("_")[2]: path for path in sorted(_FIXTURES.glob("systemd_*.txt"))}


def shown(version: str) -> dict[str, str]:
    """What was printed, by unit. The clusters are called as in Debian 12, whatever their version was."""
    text = re.sub(r"\b1[37]([-/](?:main|spare|none))", r"15\1", VERSIONS[version].read_text(encoding="utf-8"))
    parts = [part.partition("\n") for part in text.split("### ")[1:]]
    return {name.removesuffix(".service"): rest for name, _newline, rest in parts}
