"""The tables in docs, made from what the tests of releases, of kinds of backups and of servers have found.

usage: versions.py [--write] releases|kinds|servers RECORDS DOCUMENT

Without --write every line that the records make has to be there already; figures may differ, because the packages of
a release change from day to day.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

COLUMNS = {"postgresql": "PostgreSQL", "barman": "Barman", "rsync": "rsync", "openssh": "OpenSSH", "python": "Python"}
RELEASE_PROOFS = {
    "plan": "plan",
    "clone": "clone",
    "second run": "second run",
    "primary_conninfo": "wrong `primary_conninfo`",
    "restore_command": "`restore_command` gone",
    "start": "stopped",
}
BARMAN_COLUMNS = {"barman": "Barman", "from": "from", "postgresql": "PostgreSQL"}
BARMAN_COLUMNS |= {"keep": "`barman keep`", "basebackup": "`pg_basebackup`"}
SERVER_PROOFS = {
    "settings": "settings in",
    "streams": "streams",
    "second run": "second run",
    "primary_conninfo": "`primary_conninfo`",
    "restore_command": "`restore_command`",
    "recovery_min_apply_delay": "`recovery_min_apply_delay`",
    "hot_standby_feedback": "`hot_standby_feedback`",
}
END = "\n<!-- end -->\n"


def begin(kind: str) -> str:
    return f"<!-- {kind}: made by `make versions` -->\n\n"


def of_releases(records: list[dict[str, Any]]) -> str:
    """With the controller's version below."""
    heads = ["Debian", *COLUMNS.values(), "started by", *RELEASE_PROOFS.values()]
    controllers = sorted({record["controller"] for record in records})
    return table(heads, map(release, records)) + f"\nControlled by {', '.join(controllers)}.\n"


def release(record: dict[str, Any]) -> list[str]:
    versions = [record["versions"][name] for name in COLUMNS]
    return [record["debian"], *versions, record["started_by"], *proofs(record, RELEASE_PROOFS)]


def of_kinds(records: list[dict[str, Any]]) -> str:
    """Each kind by each method and Barman; then the Barmans; then what was said where it does not work."""
    versions = [f"Barman {record['barman']}" for record in records]
    rows = (
        [f"`{kind}`", f"`{method}`", *(record["kinds"][kind]["cells"][method] for record in records)]
        for kind, found in records[0]["kinds"].items()
        for method in found["cells"]
    )
    cells = table(["kind", "method", *versions], rows)
    about = table(list(BARMAN_COLUMNS.values()), ([record[name] for name in BARMAN_COLUMNS] for record in records))
    return f"{cells}\n{about}\n{''.join(sayings(records))}"


def sayings(records: list[dict[str, Any]]) -> list[str]:
    said: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for kind, found in record["kinds"].items():
            text = re.sub(r"\b\d{8}T\d{6}\b", "ID", found["said"])
            if text:
                said.setdefault((kind, text), []).append(record["barman"])
    return [f"- `{kind}`, Barman {', '.join(barmans)}: {text}\n" for (kind, text), barmans in sorted(said.items())]


def of_servers(records: list[dict[str, Any]]) -> str:
    rows = ([record["postgresql"], *proofs(record, SERVER_PROOFS)] for record in records)
    return table(["PostgreSQL", *SERVER_PROOFS.values()], rows)


def proofs(record: dict[str, Any], names: Iterable[str]) -> list[str]:
    return [record["proven"].get(name, "**no**") for name in names]


def table(heads: list[str], rows: Iterable[list[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in [heads, ["---"] * len(heads), *rows])


def age(record: dict[str, Any]) -> list[int]:
    """The version that a record is of, to be ordered by."""
    version = record.get("barman") or record.get("postgresql") or record["versions"]["postgresql"]
    return [int(part) for part in version.split(".")]


TABLES = {"releases": of_releases, "kinds": of_kinds, "servers": of_servers}


def without_figures(text: str) -> list[str]:
    return re.sub(r"\d+([.p]\d+)*", "N", text).splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("kind", choices=TABLES)
    parser.add_argument("records", type=Path)
    parser.add_argument("document", type=Path)
    options = parser.parse_args()
    records = [json.loads(path.read_text(encoding="utf-8")) for path in options.records.glob("*.json")]
    fresh = TABLES[options.kind](sorted(records, key=age))
    start = begin(options.kind)
    before, _begin, rest = options.document.read_text(encoding="utf-8").partition(start)
    old, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{options.document}: no place for the table")
    if options.write:
        options.document.write_text(before + start + fresh + END + after, encoding="utf-8")
        return 0
    documented = set(without_figures(old))
    missing = [line for line in without_figures(fresh) if line not in documented]
    print("\n".join([f"{options.document} does not say:", *missing, "Next: make versions."]) if missing else fresh)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
