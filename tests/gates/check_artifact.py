"""Check that the built collection holds what a user needs, all of it, and nothing else.

usage: check_artifact.py TARBALL
"""

from __future__ import annotations

import re
import sys
import tarfile

ALLOWED = re.compile(
    r"""
      (README|CHANGELOG)\.md | COPYING | MANIFEST\.json | FILES\.json
    | meta/(runtime|execution-environment)\.yml | meta/ee-(requirements|bindep)\.txt
    | changelogs/(changelog|config)\.yaml
    | docs/[\w./-]+\.(md|rst|yml|json)
    | playbooks/\w+\.yml
    | plugins/(action|doc_fragments|filter|modules|plugin_utils)/\w+\.(py|yml)
    | plugins/module_utils/(_\w+/)?\w+\.py
    | roles/\w+/(README\.md | files/\w+\.py | [\w./-]+\.(yml|j2))
    """,
    re.VERBOSE,
)
REQUIRED = {"README.md", "CHANGELOG.md", "COPYING", "meta/runtime.yml", "meta/execution-environment.yml"}


def main(tarball: str) -> None:
    with tarfile.open(tarball) as archive:
        members = [member for member in archive if not member.isdir()]
    problems = [f"not a regular file: {member.name}" for member in members if not member.isfile()]
    names = {member.name for member in members}
    problems += [f"does not belong there: {name}" for name in sorted(names) if not ALLOWED.fullmatch(name)]
    problems += [f"missing: {name}" for name in sorted(REQUIRED - names)]
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(names)} files, all expected")


if __name__ == "__main__":
    main(*sys.argv[1:])
