# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every name that repmgr 4 and 5 know in their configuration, by what it means here. Pure. Private to the collection.

A name that is in none of these tables is unknown to repmgr, too, which passes it over with a warning.
"""

from __future__ import annotations

__all__ = ["BACKUP_API", "CLONE", "OTHERS", "RENAMED"]

# What `repmgr standby clone` looks at.
CLONE = frozenset(
    {
        *("archive_cleanup_command", "barman_config", "barman_host", "barman_server", "config_directory", "conninfo"),
        *("data_directory", "node_id", "node_name", "passfile", "pg_basebackup_options", "pg_bindir"),
        *("recovery_min_apply_delay", "replication_type", "replication_user", "restore_command", "rsync_options"),
        *("service_start_command", "ssh_options", "tablespace_mapping", "use_primary_conninfo_password"),
        "use_replication_slots",
    }
)

# What `repmgr standby clone` looks at instead of the settings for Barman, if barman_host is not set.
BACKUP_API = frozenset(
    {
        *("pg_backupapi_backup_id", "pg_backupapi_host", "pg_backupapi_node_name"),
        "pg_backupapi_remote_ssh_command",
    }
)

# What other commands, repmgrd and the log use.
OTHERS = frozenset(
    {
        *("always_promote", "archive_ready_critcial", "archive_ready_critical", "archive_ready_warning"),
        *("async_query_timeout", "bdr_local_monitoring_only", "bdr_recovery_timeout", "child_nodes_check_interval"),
        *("child_nodes_connected_include_witness", "child_nodes_connected_min_count"),
        *("child_nodes_disconnect_command", "child_nodes_disconnect_min_count", "child_nodes_disconnect_timeout"),
        *("connection_check_query", "connection_check_type", "degraded_monitoring_timeout"),
        *("election_rerun_interval", "event_notification_command", "event_notifications", "failover"),
        *("failover_delay", "failover_validation_command", "follow_command", "location", "log_facility", "log_file"),
        *("log_level", "log_status_interval", "monitor_interval_secs", "monitoring_history", "node_rejoin_timeout"),
        *("pg_ctl_options", "primary_follow_timeout", "primary_notification_timeout"),
        *("primary_visibility_consensus", "priority", "promote_check_interval", "promote_check_timeout"),
        *("promote_command", "promote_delay", "reconnect_attempts", "reconnect_interval", "reconnect_loop_sync"),
        *("replication_lag_critical", "replication_lag_warning", "repmgr_bindir", "repmgrd_exit_on_inactive_node"),
        *("repmgrd_pid_file", "repmgrd_service_start_command", "repmgrd_service_stop_command"),
        *("repmgrd_standby_startup_timeout", "service_promote_command", "service_reload_command"),
        *("service_restart_command", "service_stop_command", "shutdown_check_timeout"),
        *("sibling_nodes_disconnect_timeout", "standby_disconnect_on_failover", "standby_follow_restart"),
        *("standby_follow_timeout", "standby_reconnect_timeout", "wal_receive_check_timeout"),
        "witness_sync_interval",
        # Of repmgr 3; later versions name them in a warning.
        *("cluster", "logfacility", "logfile", "loglevel", "master_reponse_timeout", "retry_promote_interval_secs"),
    }
)

# Settings of the clone path in repmgr 3 that later versions pass over, and what to do with them.
RENAMED = {
    "node": "write it as node_id",
    "upstream_node": "name the upstream in standby_from_barman_upstream_conninfo",
}
