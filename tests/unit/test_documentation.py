# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of options: what messages tell to change exists, and what modules share is documented as it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.pgfleet.standby.plugins.doc_fragments import (
    _barman,
    _basebackup,
    _claim,
    _clone,
    _fill,
    _follow,
    _login,
    _look,
    _recovery,
    _restore,
    _server,
    _target,
    _upstream,
)
from ansible_collections.pgfleet.standby.plugins.module_utils import _argspec

ROOT = Path(__file__).parents[2]
ROLE = "standby_from_barman"

# Words with an underscore in messages that name something else than an option.
NO_OPTIONS = {
    # values of options
    "from_backup",
    "keep_local",
    # return values and modules
    "barman_backup_info",
    # files
    "backup_label",
    "backup_manifest",
    "known_hosts",
    "pg_amcheck",
    "pg_basebackup",
    "pg_combinebackup",
    "pg_control",
    "pg_ctl",
    "pg_hba",
    "pg_wal",
    "pg_rewind",
    "pg_verifybackup",
    "ssh_config",
    "sshd_config",
    # PostgreSQL's own settings, views and functions
    "full_page_writes",
    "max_connections",
    "max_replication_slots",
    "max_slot_wal_keep_size",
    "max_wal_senders",
    "pg_create_physical_replication_slot",
    "pg_drop_replication_slot",
    "pg_replication_slots",
    "allow_in_place_tablespaces",
    "pg_wal_replay_resume",
    "synchronous_standby_names",
    "wal_keep_size",
    "wal_sender_timeout",
    # Barman's own option
    "backup_compression",
}


def source_options():
    """What a copy of a backup has beyond the place that it goes to."""
    return {name: option for name, option in _argspec.clone_options().items() if name not in _argspec.target_options()}


# The options that modules share, as they are documented and as they are taken.
SHARED = {
    "barman": (_barman, _argspec.barman_options),
    "basebackup": (_basebackup, _argspec.basebackup_options),
    "claim": (_claim, _argspec.claim_options),
    "clone": (_clone, source_options),
    "fill": (_fill, _argspec.fill_options),
    "follow": (_follow, _argspec.follow_options),
    "login": (_login, _argspec.login_options),
    "look": (_look, _argspec.look_options),
    "recovery": (_recovery, _argspec.recovery_options),
    "restore": (_restore, _argspec.restore_options),
    "server": (_server, _argspec.server_options),
    "target": (_target, _argspec.target_options),
    "upstream": (_upstream, _argspec.upstream_options),
}


def assigned(path, name):
    """The text of a constant such as DOCUMENTATION."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return yaml.safe_load(ast.literal_eval(node.value))
    raise LookupError(name)


def options():
    """Every option of a module, and of the role without its prefix."""
    found = set()
    for path in (ROOT / "plugins" / "modules").glob("*.py"):
        found |= set(assigned(path, "DOCUMENTATION").get("options", {}))
    for fragment, _spec in SHARED.values():
        found |= set(yaml.safe_load(fragment.ModuleDocFragment.DOCUMENTATION)["options"])
    specs = yaml.safe_load((ROOT / "roles" / ROLE / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    for entry in specs["argument_specs"].values():
        found |= {name.removeprefix(f"{ROLE}_") for name in entry.get("options", {})}
    return found


def messages(path):
    """The constant parts of all that refusals, decisions and verdicts say, with their line."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("Decision", "Refusal", "Verdict"):
            for argument in call.args:
                for part in ast.walk(argument):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value:
                        yield part.lineno, part.value


UTILS = sorted((ROOT / "plugins" / "module_utils").rglob("*.py"))
OPTIONS = options()
MESSAGES = [(f"{path.name}:{line}", text) for path in UTILS for line, text in messages(path)]


def test_there_are_messages_and_options():
    assert len(MESSAGES) > 50
    assert {"barman_host", "data_directory", "upstream_conninfo", "os_user"} <= OPTIONS


def test_an_option_that_a_message_sets_exists():
    named = {(where, name) for where, text in MESSAGES for name in re.findall(r"\b([a-z]\w*)=", text)}
    assert named
    assert sorted((where, name) for where, name in named if name not in OPTIONS) == []


def test_an_option_that_a_message_names_exists():
    named = {
        (where, name) for where, text in MESSAGES for name in re.findall(r"(?<![\w./-])[a-z]+(?:_[a-z]+)+\b", text)
    }
    assert named
    assert sorted((where, name) for where, name in named if name not in OPTIONS | NO_OPTIONS) == []


def test_the_words_that_are_no_options_are_none():
    assert sorted(NO_OPTIONS & OPTIONS) == []
    text = "".join(text for _where, text in MESSAGES)
    assert sorted(word for word in NO_OPTIONS if word not in text) == []


@pytest.mark.parametrize(("fragment", "spec"), SHARED.values(), ids=SHARED)
def test_what_modules_share_is_documented_as_it_is(fragment, spec):
    documented = yaml.safe_load(fragment.ModuleDocFragment.DOCUMENTATION)["options"]
    keys = ("type", "elements", "default", "required", "choices")

    def shape(options):
        return {name: {key: option[key] for key in keys if key in option} for name, option in options.items()}

    assert shape(documented) == shape(spec())
