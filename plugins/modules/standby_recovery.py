#!/usr/bin/python

# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby_recovery
short_description: Write a standby's recovery settings
version_added: 0.1.0
description:
  - Makes sure of C(standby.signal) and of the recovery settings in C(postgresql.auto.conf), and of nothing else there.
    Until PostgreSQL 11 the recovery settings are in C(recovery.conf).
  - Recovery settings that came along with the files from their source, such as C(recovery_target_time) or another
    node's C(primary_conninfo), are removed. If a configuration file of the host sets one of them, the setting is
    overruled, as is C(archive_mode=always), with which a standby would archive what its upstream archives.
  - If the data directory holds the server's C(postgresql.conf), lines in it that name files of another host
    are turned into comments.
  - A running server is compared with the files as well. A setting that it does not use yet, perhaps because an
    earlier run was interrupted before the reload, is reported as a change.
  - Run it on the standby as the database's OS user.
author:
  - The pgfleet maintainers (@pgfleet)
extends_documentation_fragment:
  - pgfleet.standby._attributes
  - pgfleet.standby._upstream
  - pgfleet.standby._login
  - pgfleet.standby._restore
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  data_directory:
    description:
      - The data directory of the standby. It has to be absolute.
    type: str
    required: true
  state_directory:
    description:
      - Where C(barman-wal-restore) keeps the segments that it fetched ahead, in a directory C(spool).
      - By default a hidden directory beside O(data_directory), C(.NAME.standby).
    type: str
  pg_bindir:
    description:
      - The directory of the server programs, which check the settings.
      - By default it is looked for in the places of Debian's and the PGDG's packages.
    type: str
  config_directory:
    description: The directory of C(postgresql.conf), if that is not the data directory.
    type: str
  config_files:
    description:
      - Which configuration the server gets if a backup brought C(postgresql.conf), C(pg_hba.conf) and
        C(pg_ident.conf) of a primary that keeps them elsewhere, as Debian's does.
      - V(keep_local), the default with O(config_directory), leaves those of O(config_directory) as they are and moves
        what came along to C(from_backup) in the state directory.
      - V(from_backup), the default without, takes what came along. With O(config_directory) it replaces the files
        there, except for the settings that say where things are on this host. The files that were there are then in
        the state directory.
    type: str
    choices: [keep_local, from_backup]
  use_primary_conninfo_password:
    description:
      - Where O(upstream_password) is kept. By default in the password file, as one line for each host of the upstream
        before every line that would hide it; the other lines stay as they are.
      - With V(true) in C(primary_conninfo), where every role that may read all settings sees it.
    type: bool
    default: false
  primary_slot_name:
    description: The replication slot on the upstream, which has to exist.
    type: str
  barman_host:
    description: The Barman host as an ssh destination, for O(restore_command=auto).
    type: str
  barman_server:
    description: The server's name in Barman's configuration, for O(restore_command=auto).
    type: str
  barman_config:
    description: Barman's configuration file, if it is not the default one, for O(restore_command=auto).
    type: str
  ssh_options:
    description:
      - Options for every ssh connection to O(barman_host), for O(restore_command=auto).
      - A port alone is passed on to C(barman-wal-restore), which takes no others.
    type: list
    elements: str
    default: []
  barman_executable:
    description: The C(barman) command at O(barman_host), for C(barman get-wal).
    type: str
    default: barman
  archive_cleanup_command:
    description: The setting of this name.
    type: str
  recovery_min_apply_delay:
    description: The setting of this name, such as V(30min).
    type: str
  settings:
    description:
      - Further settings to write along, such as C(hot_standby_feedback), or C(settings) in
        RV(pgfleet.standby.standby_preflight#module:plan). The server's own parser checks them before anything is
        written.
      - With C(sync_replication_slots) (PostgreSQL 17) a C(dbname) in O(upstream_conninfo) is kept.
      - A setting that is no longer given stays as it is.
    type: dict
    default: {}
  rejoin:
    description:
      - Make a stopped primary a standby, such as a former primary after a switchover.
        M(pgfleet.standby.standby_preflight) tells whether its history allows that.
    type: bool
    default: false
requirements:
  - psycopg2
seealso:
  - module: pgfleet.standby.standby_clone
  - module: pgfleet.standby.standby_info
  - module: pgfleet.standby.standby_server
"""

EXAMPLES = r"""
- name: Follow the primary, and fetch older WAL from Barman
  pgfleet.standby.standby_recovery:
    data_directory: /var/lib/postgresql/15/main
    config_directory: /etc/postgresql/15/main
    upstream_conninfo:
      host: primary
      user: replicator
    application_name: n1
    barman_host: barman@barman
    barman_server: pg
  become: true
  become_user: postgres
  register: recovery

- name: Follow another upstream, without an archive
  pgfleet.standby.standby_recovery:
    data_directory: /var/lib/postgresql/15/main
    config_directory: /etc/postgresql/15/main
    upstream_conninfo: host=other user=replicator
    application_name: n1
    restore_command: none
  become: true
  become_user: postgres
"""

RETURN = r"""
settings:
  description: The settings that are now in place, secrets masked.
  returned: success
  type: dict
  sample:
    primary_conninfo: host=primary user=replicator application_name=n1
    recovery_target_timeline: latest
    restore_command: >-
      /usr/bin/barman-wal-restore -U barman --spool-dir /var/lib/postgresql/15/.main.standby/spool barman pg %f %p
changed_settings:
  description: The names of the settings that changed or went.
  returned: success
  type: list
  elements: str
  sample: [primary_conninfo, recovery_target_timeline, restore_command]
outdated_settings:
  description: The settings for which the running server still used another value than it should.
  returned: success
  type: list
  elements: str
  sample: [restore_command]
neutralised:
  description: The settings that a configuration file of the host sets, and that were overruled.
  returned: success
  type: list
  elements: str
  sample: [archive_mode]
passfile:
  description: The password file that was written, or null.
  returned: success
  type: str
  sample: /var/lib/postgresql/.pgpass
moved_aside:
  description: The configuration files of the backup that were moved out of the data directory.
  returned: success
  type: list
  elements: str
  sample: [postgresql.conf, pg_hba.conf, pg_ident.conf]
files:
  description: The files that were written or removed, relative to the data directory.
  returned: success
  type: list
  elements: str
  sample: [postgresql.auto.conf]
reload_required:
  description: Whether the running server has to be reloaded for the change.
  returned: success
  type: bool
  sample: false
restart_required:
  description: Whether the running server has to be restarted for the change.
  returned: success
  type: bool
  sample: false
server_state:
  description: The O(pgfleet.standby.standby_server#module:state) that has the server use these settings.
  returned: success
  type: str
  sample: started
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.standby.plugins.module_utils._argspec import (
    login_options,
    restore_options,
    upstream_options,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._module import finish
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.inspect import inspect
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.places import default_state_directory, find_bindir
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import pg_settings as _pg_settings
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.libpq import conninfo_text
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.login import Login, login_of
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import configured, require_valid
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.files import FileChange, apply, compare, shown
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.leftovers import neutralised
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.restore_command import (
    RestoreCommand,
    restore_command,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.settings import (
    needs,
    of_server,
    require_standby,
    wanted_settings,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._recovery.stray_config import apply_strays, find_strays


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    path = params["data_directory"]
    state_directory = params["state_directory"] or default_state_directory(path)
    login = login_of(params, params["application_name"])
    command = restore_command(params, os.path.join(state_directory, "spool"))
    asked = wanted_settings(conninfo_text(login.conninfo), command.text, params)
    require_config_files(params)
    pgdata = inspect(path, state_directory)
    major = require_standby(pgdata, params["rejoin"])
    config_directory = params["config_directory"] or path
    configuration = configured(os.path.join(config_directory, "postgresql.conf"))
    harmless = neutralised(configuration, asked, major)
    wanted = {**asked, **harmless}
    from_backup = params["config_files"] == "from_backup"
    strays = find_strays(path, config_directory, configuration, state_directory, from_backup)
    change = compare(path, wanted, not params["config_directory"], major)
    live = _pg_settings.read_settings(pgdata, wanted)
    if change.files:
        require_valid(find_bindir(major, params["pg_bindir"]), of_server(wanted, major))
    require_mendable(pgdata, live, wanted, [os.path.join(path, name) for name in change.files])
    if not check_mode:
        if login.passfile is not None:
            login.passfile.write()
        apply(path, change)
        apply_strays(path, strays)
    outdated = live.outdated(wanted) if live is not None else []
    # What the server uses already needs nothing, whatever stood in the file.
    unknown = [name for name in change.settings if live is None or name not in live.settings]
    need = needs([*unknown, *outdated], major) if pgdata.running else None
    return {
        "changed": bool(change.files or strays.names or need or rewritten(login)),
        "settings": shown(wanted),
        "changed_settings": change.settings,
        "outdated_settings": outdated,
        "neutralised": sorted(harmless),
        "files": change.files,
        "moved_aside": list(strays.names),
        "passfile": rewritten(login),
        "reload_required": need == "reload",
        "restart_required": need == "restart",
        "server_state": {"reload": "reloaded", "restart": "restarted"}.get(str(need), "started"),
        "diff": difference(path, change, login),
        "warnings_to_show": warnings(command, change),
    }


def require_config_files(params: Mapping[str, Any]) -> None:
    """That there is a configuration of the host's own to keep. Raises StandbyError."""
    if params["config_files"] == "keep_local" and not params["config_directory"]:
        raise StandbyError(
            Refusal(
                "config_files_unclear",
                "config_files=keep_local keeps the configuration that the host has in config_directory, and none is"
                " given."
                " Nothing was changed.",
                "name config_directory, or use from_backup",
            )
        )


def require_mendable(
    pgdata: DataDir, live: _pg_settings.RunningSettings | None, wanted: Mapping[str, str], rewritten: Iterable[str]
) -> None:
    """That the running server will take up what the files say, those that are ``rewritten`` among them.

    Raises StandbyError.
    """
    if live is None:
        return
    lasting = live.lasting(rewritten)
    if lasting:
        raise StandbyError(
            Refusal(
                "configuration_invalid",
                f"The server on {pgdata.path} cannot reload its configuration: {'; '.join(lasting)}."
                " Nothing was changed.",
                "mend those lines",
            )
        )
    overridden = live.overridden(wanted)
    if overridden:
        said = ", ".join(f"{name} ({source})" for name, source in overridden.items())
        raise StandbyError(
            Refusal(
                "setting_overridden",
                f"The server on {pgdata.path} was started with other values that no file can change: {said}."
                " Nothing was changed.",
                "take them out of its options (pg_ctl -o, the unit's or the packaging's start options) and restart it",
            )
        )


def rewritten(login: Login) -> str | None:
    """The password file that does not hold the password as it should."""
    return login.passfile.path if login.passfile is not None and login.passfile.text is not None else None


def warnings(command: RestoreCommand, change: FileChange) -> list[str]:
    """What a person should know of a restore_command that is new."""
    if "restore_command" not in change.settings:
        return []
    found = []
    if command.note is not None:
        found.append(f"restore_command uses barman get-wal over ssh: {command.note}.")
    complaint = command.test()
    if complaint is not None:
        found.append(f"barman-wal-restore --test fails: {complaint}. Until it works, WAL comes from the upstream only.")
    return found


def difference(path: str, change: FileChange, login: Login) -> dict[str, str]:
    """Before and after in meaning, without secrets."""
    sides = {"before": dict(change.before), "after": dict(change.after)}
    name = rewritten(login)
    if name is not None:
        sides["after"][f"# {name}"] = "the password of this login"
    texts = {side: "".join(f"{key} = {value}\n" for key, value in values.items()) for side, values in sides.items()}
    return {"before_header": path, "after_header": path, **texts}


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            **upstream_options(),
            **login_options(),
            **restore_options(),
            use_primary_conninfo_password={"type": "bool", "default": False},
            data_directory={"type": "str", "required": True},
            state_directory={"type": "str"},
            pg_bindir={"type": "str"},
            config_directory={"type": "str"},
            config_files={"type": "str", "choices": ["keep_local", "from_backup"]},
            primary_slot_name={"type": "str"},
            barman_host={"type": "str"},
            ssh_options={"type": "list", "elements": "str", "default": []},
            barman_server={"type": "str"},
            barman_config={"type": "str"},
            barman_executable={"type": "str", "default": "barman"},
            archive_cleanup_command={"type": "str"},
            recovery_min_apply_delay={"type": "str"},
            settings={"type": "dict", "default": {}},
            rejoin={"type": "bool", "default": False},
        ),
        required_if=[("restore_command", "auto", ("barman_host", "barman_server"))],
        supports_check_mode=True,
    )
    finish(module, work)


if __name__ == "__main__":
    main()
