"""The standby that a test works on, and where things are there."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = "/var/lib/postgresql/15/main"
STATE = "/var/lib/postgresql/15/.main.standby"
BINDIR = "/usr/lib/postgresql/15/bin"
# Three tests run side by side, each on a standby of the lab: much of their time is waiting.
HOST = os.environ.get("LAB_TEST_HOST", {"gw1": "n2", "gw2": "n3"}.get(os.environ.get("PYTEST_XDIST_WORKER", ""), "n1"))
