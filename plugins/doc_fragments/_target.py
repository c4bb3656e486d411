# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # Where a copy goes, wherever it comes from.
    DOCUMENTATION = r"""
options:
  data_directory:
    description:
      - The data directory of the standby. It has to be absolute.
    type: str
    required: true
  state_directory:
    description:
      - Where the record of the copy and its lock are kept, outside of the data directory.
      - By default a hidden directory beside O(data_directory), C(.NAME.standby).
    type: str
  pg_bindir:
    description:
      - The directory of the server programs, such as C(postgres).
      - By default it is looked for in the places of Debian's and the PGDG's packages.
    type: str
  waldir:
    description:
      - Where the WAL goes, if not below O(data_directory). C(pg_wal) is then a symbolic link.
    type: str
  tablespace_mapping:
    description:
      - Where tablespaces go on the standby, by their location on the primary.
      - A tablespace that is not named here keeps its location.
    type: dict
    default: {}
  overwrite:
    description:
      - What in O(data_directory) may be overwritten. Each level allows what those before it allow.
        A running server is never overwritten, and nothing that is not PostgreSQL's.
      - With V(pristine) a cluster that C(initdb) made and that has not been used is replaced, such as the one that
        Debian's packages create. RV(pgfleet.standby.pgdata_info#module:pgdata.state) says how it is recognised.
      - With V(same_cluster) a cluster of the backup's system identifier is brought to the backup's state, with
        its tablespaces. Only what differs is sent; what the backup does not hold is removed, the WAL included.
      - With V(always) a cluster of another system identifier is replaced as well, and one that is damaged, which has
        a C(PG_VERSION) but no C(global/pg_control) that can be read. Everything is removed in O(data_directory), and
        in those directories of its tablespaces and of its WAL that the backup needs.
    type: str
    choices: [never, pristine, same_cluster, always]
    default: never
  keep_old:
    description:
      - Whether a cluster that O(overwrite) allows to overwrite is kept. O(data_directory) is renamed to C(NAME.old)
        before anything is copied, and so are those directories of its tablespaces and of its WAL that the backup
        needs. They are never removed, and a server can be started there.
      - It takes the room of a whole clone. It is refused if C(NAME.old) exists, if this user may not rename in the
        parent directory, or if the directory is a mount point or has one in it.
    type: bool
    default: false
"""
