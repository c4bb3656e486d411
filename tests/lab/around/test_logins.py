"""How often a module logs in at the Barman host: a real sshd's own words, and what is left on the standby."""

from __future__ import annotations

from typing import Any

import pytest
from clone_on_host import Clone
from lab import Lab
from standby_host import DATA, HOST

# One sshd serves all hosts of the lab; those who log in meanwhile have other addresses.
LOGINS = "journalctl --unit=ssh --output=cat --no-pager | grep --count 'Accepted publickey for barman from {} '"
LEFT = "ls -d /tmp/pgfleet.* 2>/dev/null; pgrep --list-full --uid postgres ssh"


@pytest.fixture(scope="module")
def clone(lab: Lab) -> Clone:
    lab.reset(HOST)
    return Clone.on(lab)


def logins(clone: Clone) -> int:
    clone.lab.barman.run(["journalctl", "--sync"])
    return int(clone.lab.barman.run(["sh", "-c", LOGINS.format(clone.host.address)], check=False).stdout)


@pytest.mark.parametrize(
    ("module", "options", "expected"),
    [
        pytest.param("barman_server_info", {}, 1, id="what Barman says of the server"),
        pytest.param("barman_backup_info", {"backup_id": "latest", "check": True}, 1, id="the choice of a backup"),
        pytest.param(
            "standby_preflight",
            {"data_directory": DATA, "upstream_conninfo": "host=primary user=replicator", "application_name": HOST},
            2,
            id="every check of a copy, and restore_command as the server runs it",
        ),
    ],
)
def test_a_module_logs_in_once_and_leaves_nothing(
    clone: Clone, module: str, options: dict[str, Any], expected: int
) -> None:
    if module == "standby_preflight":
        options = {**options, "backup": clone.options["backup"]}
    before = logins(clone)
    said = clone.module(module, barman_host="barman@barman", barman_server="pg", **options)
    assert "error_code" not in said, said
    assert logins(clone) - before == expected
    assert clone.host.run(["sh", "-c", LEFT], check=False).stdout == ""
