# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a module as Ansible does, up to the JSON that it prints."""

    def module(name, check_mode=False, **options):
        # On a host every module has a process of its own: it does not tell what another one was warned of.
        monkeypatch.setattr(warnings, "_global_warnings", {})
        monkeypatch.setattr(warnings, "_global_deprecations", {})
        main = __import__(f"ansible_collections.pgfleet.standby.plugins.modules.{name}", fromlist=["main"]).main
        with patch_module_args({**options, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit):
            main()
        return json.loads(capsys.readouterr().out)

    return module
