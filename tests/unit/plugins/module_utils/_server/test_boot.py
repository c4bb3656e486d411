# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a unit is enabled as it is wanted, from what systemctl says to who is not root."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._server import boot as _boot
from ansible_collections.pgfleet.standby.plugins.module_utils._server.boot import decided_by_packaging, is_as_wanted

# systemd 252 on a Debian 12 without dbus says this of every unit over the bus.
NO_BUS = 'echo "Failed to connect to bus: No such file or directory" >&2; exit 1'
SYSTEMCTL = """\
#!/bin/sh
case $1 in
show) {show} ;;
--root=/) {files} ;;
esac
"""


@pytest.mark.parametrize(
    ("show", "files", "enabled", "disabled"),
    [
        ("echo enabled", "exit 9", True, False),
        ("echo disabled", "exit 9", False, True),
        # Nothing that can be enabled or disabled.
        ("echo static", "exit 9", True, True),
        ("echo masked", "exit 9", False, True),
        # Until the next reboot only.
        (NO_BUS, "echo enabled-runtime", False, True),
        (NO_BUS, "echo disabled; exit 1", False, True),
        # A unit that systemd does not know has no state over the bus, and no file.
        ("echo", 'echo "Failed to get unit file state for u.service: No such file" >&2; exit 1', None, None),
        (NO_BUS, NO_BUS, None, None),
    ],
)
def test_what_systemctl_says(host, show, files, enabled, disabled):
    host.program("systemctl", SYSTEMCTL.format(show=show, files=files))
    assert (is_as_wanted("u", True), is_as_wanted("u", False)) == (enabled, disabled)


def test_debians_clusters_have_a_start_conf(tmp_path, monkeypatch):
    monkeypatch.setattr(_boot, "debian_directory", lambda service: str(tmp_path) if "@" in service else None)
    assert not decided_by_packaging("postgresql@15-main")
    (tmp_path / "start.conf").write_text("auto\n")
    assert decided_by_packaging("postgresql@15-main")
    assert not decided_by_packaging("postgresql-15")
