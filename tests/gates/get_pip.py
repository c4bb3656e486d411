"""Stand-in for get-pip.py, so that `ansible-test --venv` needs a package index and nothing else.

ansible-test makes its environments without pip and fetches get-pip.py from a server of its own, unless its cache
holds that script already. With --into this file puts itself there, under the name that the installed ansible-core
looks for; without, it does get-pip's work: pip from the standard library, then whatever the arguments ask for.

usage: get_pip.py --into CACHE_DIRECTORY | get_pip.py [PIP ARGUMENTS]
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def cache_name() -> str:
    """The name under which the installed ansible-core caches get-pip.py; it carries the release of pip it wants."""
    import ansible_test

    source = Path(next(iter(ansible_test.__path__)), "_internal/python_requirements.py").read_text(encoding="utf-8")
    version = re.search(r"""^ +pip=['"]([\d.]+)['"],$""", source, re.MULTILINE)
    if not version:
        sys.exit("cannot tell which pip ansible-test bootstraps: ansible_test/_internal/python_requirements.py changed")
    return f"get_pip_{version[1].replace('.', '_')}.py"


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--into"]:
        cache = Path(arguments[1])
        cache.mkdir(parents=True, exist_ok=True)
        (cache / cache_name()).write_bytes(Path(__file__).read_bytes())
        return

    # In a process of its own: ensurepip switches pip's configuration off for the process it runs in.
    subprocess.run([sys.executable, "-m", "ensurepip"], check=True)
    rest = [argument for argument in arguments if argument not in ("--no-setuptools", "--no-wheel")]
    subprocess.run([sys.executable, "-m", "pip", "install", *rest], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
