"""Names that a shell would execute, or a listing would break at."""

from __future__ import annotations

import json
from typing import Any

import pytest
from clone_on_host import FAST, Clone
from first_and_second import TOP, compare, oid
from lab import Lab
from small_cluster import SMALL_AT_BARMAN
from standby_host import DATA

PWNED = "pwned-by-a-name"
NAMES = [
    b" leading and trailing ",
    b"it's",
    b'quo"te',
    f"$(touch {PWNED})".encode(),
    f"`touch {PWNED}`".encode(),
    f"; touch {PWNED};".encode(),
    b"#comment",
    b";comment",
    b"-rf",
    b"--delete",
    b"new\nline",
    b"carriage\rreturn",
    b"tab\t",
    b"back\\slash",
    b"\\",
    rb"\#012",
    rb"\#134",
    b"100%s %1",
    b"*",
    b"[a-z]?",
    b"{a,b}",
    b"~",
    b"!history",
    b"host:path",
    b"::module",
    "Übergröße".encode(),
    b"caf\xe9",
    b"\x01\x7f\xff",
    b"x" * 255,
    "ü".encode() * 127,
]

# On the Barman host: adds files and directories of these names to a backup, or changes those that are there.
LITTER = """
import json, os, sys
top, tree, change, *names = json.load(sys.stdin)
places = [os.path.join(os.fsencode(top), b"data/base/1"), os.path.join(os.fsencode(top), os.fsencode(tree))]
for number, name in enumerate(map(bytes.fromhex, names)):
    for place in places:
        for parent in (place, os.path.join(place, b"odd", name)):
            os.makedirs(parent, exist_ok=True)
            with open(os.path.join(parent, name), "ab") as file:
                file.write(b"content of " + name * (1 if number % 2 else 50) + change.encode())
"""


def litter(lab: Lab, backup: dict[str, Any], change: str = "") -> None:
    tree = lab.barman.run(["sh", "-c", f'cd "$0" && echo {oid(backup)}/PG_*/1', backup["directory"]]).stdout.strip()
    given = json.dumps([backup["directory"], tree, change, *(name.hex() for name in NAMES)])
    lab.barman.run(["python3", "-c", LITTER], user="barman", input=given)


PLACES = {"data": DATA, "fast": FAST, "wal": f"{TOP}/wal"}
ODD = f'{TOP}/it\'s "odd" $(touch {PWNED}) `touch {PWNED}`; # -\t\\ % * ü'
ODD_PLACES = {name: f"{ODD}/-{name} #" for name in PLACES}


@pytest.mark.parametrize("places", [PLACES, ODD_PLACES], ids=["plain places", "odd places"])
def test_every_name_arrives_and_is_brought_up_to_date(lab: Lab, second: Clone, places: dict[str, str]) -> None:
    second.host.run(["install", "--directory", "--mode=700", "--owner=postgres", ODD, *places.values()])
    directory = f"{SMALL_AT_BARMAN}/it's $(touch {PWNED}) #1" if places is ODD_PLACES else f"{SMALL_AT_BARMAN}/odd"
    backup = {**second.options["backup"], "directory": directory}
    lab.barman.run(["cp", "-a", second.options["backup"]["directory"], directory])
    options = {
        "data_directory": places["data"],
        "tablespace_mapping": {FAST: places["fast"]},
        "waldir": places["wal"],
        "verify": "checksum",
    }
    try:
        litter(lab, backup)
        cloned = second.run(**options, backup=backup)
        assert (cloned.get("action"), cloned.get("verified")) == ("clone", "checksum"), cloned
        compare(second, backup, places["data"], places["fast"])

        litter(lab, backup, "changed")
        newer = {**backup, "backup_id": "newer"}
        delta = second.run(**options, backup=newer, overwrite="same_cluster")
        assert (delta.get("action"), delta.get("verified")) == ("delta", "checksum"), delta
        compare(second, backup, places["data"], places["fast"])
        assert delta["bytes_sent"] < delta["bytes"] / 2
        assert second.run(**options, backup=newer)["action"] == "none"
    finally:
        lab.barman.run(["rm", "-rf", directory])
    for host in (second.host, lab.barman):
        found = host.run(["find", "/", "/tmp", "/run", "-xdev", "-name", PWNED]).stdout
        assert found == "", host.name
