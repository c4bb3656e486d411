# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ``postgres`` that answers ``--version`` and ``-C``, for tests of what is read from a configuration."""

from __future__ import annotations

# The server's parser, as far as tests need it: the number after the name in the file, or the default.
POSTGRES = """\
#!/bin/sh
[ "$1" != --version ] || { echo 'postgres (PostgreSQL) 15.20'; exit; }
file=${4#config_file=}
value=$(sed -n "s/^$2 = //p" "$file")
[ -n "$value" ] || case $2 in
max_connections) value=100 ;; max_wal_senders) value=10 ;; max_worker_processes) value=8 ;;
max_locks_per_transaction) value=64 ;; max_prepared_transactions) value=0 ;;
esac
echo "$value"
"""
