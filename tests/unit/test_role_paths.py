# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""However a data directory is spelled, the role and the modules mean the same places."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.paths import written_once
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory
from ansible_collections.pgfleet.standby.tests.waiting import BOUND

ROLE = Path(__file__).parents[2] / "roles/standby_from_barman"
SPELLED = (
    "/srv/main",
    "/srv/main/",
    "/srv/main//",
    "//srv///main",
    "/srv/./main/.",
    "/srv/././main/./",
    "/srv/two words/",
    "/srv/.hidden/",
    "/srv/a.b/..c/",
    "/srv/../main/",
)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """What the role makes of each, in one play."""
    top = tmp_path_factory.mktemp("play")
    names = ("data_directory", "state_directory", "owner")
    told = {name: f"{{{{ __standby_from_barman_{name} }}}}" for name in names}
    book = {
        "hosts": "n1",
        "gather_facts": False,
        "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
        "tasks": [
            {
                "ansible.builtin.debug": {"msg": "{{ 'told ' ~ told | to_json }}"},
                "vars": {"told": told, "standby_from_barman_data_directory": "{{ item }}"},
                "loop": list(SPELLED),
            }
        ],
    }
    (top / "play.yml").write_text(yaml.safe_dump([book], sort_keys=False), encoding="utf-8")
    done = subprocess.run(
        ["ansible-playbook", "-i", "n1,", "-c", "local", "play.yml"],
        cwd=top,
        env={**os.environ, "HOME": str(top), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0"},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=True,
    )
    lines = (line.strip() for line in done.stdout.splitlines())
    found = [json.loads(json.loads(line.partition(": ")[2])[5:]) for line in lines if line.startswith('"msg": "told ')]
    return dict(zip(SPELLED, found, strict=True))


@pytest.mark.parametrize("spelled", [path for path in SPELLED if ".." not in path.split("/")])
def test_the_role_and_the_modules_mean_the_same_places(rendered, spelled):
    plain = written_once(spelled)
    assert rendered[spelled] == {
        "data_directory": plain,
        "state_directory": default_state_directory(plain),
        "owner": f"n1:{plain}",
    }


def test_what_may_lead_elsewhere_is_left_for_the_modules_to_refuse(rendered):
    assert ".." in rendered["/srv/../main/"]["data_directory"].split("/")
