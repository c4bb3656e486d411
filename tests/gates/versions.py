"""The table of releases in docs/versions.md, made from what the tests of the releases have found.

usage: versions.py [--write] RECORDS DOCUMENT

Without --write every line that the records make has to be there already; figures may differ, because the packages of
a release change from day to day.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

COLUMNS = {"postgresql": "PostgreSQL", "barman": "Barman", "rsync": "rsync", "openssh": "OpenSSH", "python": "Python"}
PROOFS = {
    "plan": "plan",
    "clone": "clone",
    "second run": "second run",
    "primary_conninfo": "wrong `primary_conninfo`",
    "restore_command": "`restore_command` gone",
    "start": "stopped",
}
BEGIN, END = "<!-- made by `make versions` -->\n\n", "\n<!-- end -->\n"


def table(records: list[dict[str, Any]]) -> str:
    """Oldest PostgreSQL first, with the controller's version below."""
    heads = ["Debian", *COLUMNS.values(), "started by", *PROOFS.values()]
    lines = [heads, ["---"] * len(heads), *(row(record) for record in records)]
    controllers = sorted({record["controller"] for record in records})
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\nControlled by {', '.join(controllers)}.\n"


def row(record: dict[str, Any]) -> list[str]:
    versions = [record["versions"][name] for name in COLUMNS]
    proofs = [record["proven"].get(name, "**no**") for name in PROOFS]
    return [record["debian"], *versions, record["started_by"], *proofs]


def without_figures(text: str) -> list[str]:
    return re.sub(r"\d+([.p]\d+)*", "N", text).splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("records", type=Path)
    parser.add_argument("document", type=Path)
    options = parser.parse_args()
    records = [json.loads(path.read_text(encoding="utf-8")) for path in options.records.glob("*.json")]
    fresh = table(sorted(records, key=lambda record: float(record["versions"]["postgresql"])))
    before, _begin, rest = options.document.read_text(encoding="utf-8").partition(BEGIN)
    old, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{options.document}: no place for the table")
    if options.write:
        options.document.write_text(before + BEGIN + fresh + END + after, encoding="utf-8")
        return 0
    documented = set(without_figures(old))
    missing = [line for line in without_figures(fresh) if line not in documented]
    print("\n".join([f"{options.document} does not say:", *missing, "Next: make versions."]) if missing else fresh)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
