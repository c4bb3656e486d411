# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Barman's answers, as every version found under fixtures/barman gave them."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman import parse
from ansible_collections.pgfleet.standby.plugins.module_utils._barman.selection import _reasons_unusable
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._model import CheckItem, Tablespace
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import (
    BARMAN_VERSIONS,
    FIXTURES,
    OLD_BARMAN_VERSIONS,
    barman,
)

SECRETIVE = re.compile("conninfo|password|secret|passphrase|credential")


@pytest.fixture(params=BARMAN_VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def answer(version):
    def load(name):
        return parse.parse_json(barman(version, f"{name}.json"))

    return load


def test_every_supported_range_of_versions_was_recorded():
    """The first supported, the last with backup.info beside the backup, the first with compression in JSON."""
    recorded = {tuple(map(int, name.split(".")[:2])) for name in BARMAN_VERSIONS}
    assert {(3, 11), (3, 13), (3, 16)} <= recorded


class TestVersion:
    def test_recorded(self, version):
        assert ".".join(map(str, parse.parse_version(barman(version, "version.txt")))) == version

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("3.19.1 Barman by EnterpriseDB", (3, 19, 1)),
            ("Welcome!\n3.11 Barman", (3, 11)),
            ("barman 3.12.0", (3, 12, 0)),
        ],
    )
    def test_anywhere_in_the_text(self, text, found):
        assert parse.parse_version(text) == found

    @pytest.mark.parametrize("text", ["", "Barman", "3"])
    def test_is_needed(self, text):
        with pytest.raises(StandbyError) as refused:
            parse.parse_version(text)
        assert refused.value.code == "barman_output"


class TestJson:
    def test_may_follow_a_banner(self):
        assert parse.parse_json('Welcome!\n{"pg": []}\n') == {"pg": []}

    @pytest.mark.parametrize("text", ["", "Welcome!", '{"pg": [', "[]", '{"a": 1} {"b": 2}'])
    def test_is_whole_or_nothing(self, text):
        with pytest.raises(StandbyError) as refused:
            parse.parse_json(text)
        assert refused.value.code == "barman_output"


class TestMessages:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("unknown-server", "Unknown server 'nosuch'"),
            ("unknown-server-show-servers", "Unknown server 'nosuch'"),
            ("unknown-backup", "Unknown backup '20000101T000000' for server 'pg'"),
        ],
    )
    def test_the_error_comes_first(self, version, name, said):
        assert parse.messages(barman(version, f"{name}.json")).splitlines()[0] == said

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{"_EXCEPTION": "boom", "_WARNING": ["w"], "_ERROR": ["e", "f"], "pg": "secret"}', "boom\ne\nf\nw"),
            ("no JSON", "no JSON"),
            ("{}", ""),
            pytest.param('sudo: no\n{"pg": {"conninfo": "password=x', "sudo: no", id="half a document"),
            pytest.param("lost\nconninfo: host=a password='x\ny'", "lost", id="parameters that are no JSON"),
            pytest.param("lost\npostgresql://u:x@p", "lost", id="a URI"),
        ],
    )
    def test_everything_else_stays_out(self, text, said):
        assert parse.messages(text) == said


class TestServer:
    def test_recorded(self, version, answer):
        server = parse.parse_server(answer("show-servers"), "pg")
        home = server.backup_directory
        assert (server.name, server.active, server.passive) == ("pg", True, False)
        assert (server.backup_method, server.basebackups_directory) == ("rsync", f"{home}/base")
        assert (server.postgres_version, server.system_identifier) == ("15.20", "7710590273953624155")
        assert server.primary_data_directory == "/var/lib/postgresql/15/main"
        assert server.primary_config_file == "/etc/postgresql/15/main/postgresql.conf"
        assert server.primary_hba_file == "/etc/postgresql/15/main/pg_hba.conf"
        assert server.primary_ident_file == "/etc/postgresql/15/main/pg_ident.conf"

    def test_no_secret_leaves(self, answer):
        document = answer("show-servers")
        names = [name for name in document["pg"] if SECRETIVE.search(name)]
        assert {"conninfo", "streaming_conninfo", "wal_conninfo"} <= set(names)
        for name in names:
            document["pg"][name] = "host=primary password=Geh3im"
        assert "Geh3im" not in str(parse.parse_server(document, "pg"))

    @pytest.mark.parametrize(
        ("changed", "active"),
        [({}, True), ({"active": False}, False), ({"active": "false"}, False), ({"disabled": True}, False)],
    )
    def test_active(self, answer, changed, active):
        document = answer("show-servers")
        document["pg"].update(changed)
        assert parse.parse_server(document, "pg").active is active

    def test_while_its_postgresql_is_down(self, answer):
        document = answer("show-servers")
        gone = ("server_txt_version", "postgres_systemid", "data_directory", "config_file", "hba_file", "ident_file")
        document["pg"].update(dict.fromkeys(gone), streaming_systemid=None)
        server = parse.parse_server(document, "pg")
        assert (server.postgres_version, server.system_identifier, server.primary_config_file) == (None, None, None)

    def test_that_is_inactive_is_not_answered_for(self):
        document = {"_INFO": ["Skipping inactive server 'pg'"]}
        with pytest.raises(StandbyError, match="Skipping inactive server 'pg'") as refused:
            parse.parse_server(document, "pg")
        assert refused.value.code == "barman_server_inactive"


class TestChecks:
    def test_all_ok(self, answer):
        items = parse.parse_checks(answer("check"), "pg")
        assert {"directories", "postgresql", "ssh"} <= {item.name for item in items}
        assert all(item.ok for item in items)
        assert [item.name for item in items] == list(answer("check")["pg"])

    def test_a_failed_one(self, version, answer):
        """Which check fails depends on what the version looks at."""
        [(name, hint)] = re.findall(
            r'"(\w+)": {"hint": "([^"]*)", "status": "FAILED"', barman(version, "check-failed.json")
        )
        failed = [item for item in parse.parse_checks(answer("check-failed"), "pg_empty") if not item.ok]
        assert failed == [CheckItem(name, False, hint, name == "wal_archive")]

    def test_only_what_a_clone_needs_is_blocking(self, answer):
        items = parse.parse_checks(answer("check-failed"), "pg_empty")
        assert {item.name for item in items if item.blocking} <= {"configuration", "directories", "wal_archive"}


class TestBackupList:
    @pytest.mark.parametrize(
        ("name", "server", "kinds"),
        [
            ("list-backups", "pg", ["rsync"]),
            ("list-backups-kept", "pg", ["rsync"]),
            ("list-backups-postgres", "pg_postgres", ["full"]),
            ("list-backups-gzip", "pg_gzip", ["full"]),
            ("list-backups-empty", "pg_empty", []),
        ],
    )
    def test_recorded(self, answer, name, server, kinds):
        backups = parse.parse_backup_list(answer(name), server)
        assert [backup.type for backup in backups] == kinds
        for backup in backups:
            assert re.fullmatch(r"\d{8}T\d{6}", backup.backup_id)
            assert (backup.status, backup.server) == ("DONE", server)
            assert backup.size > 0
            assert backup.end_time

    @pytest.mark.parametrize("recorded", [*BARMAN_VERSIONS, *OLD_BARMAN_VERSIONS])
    def test_the_end_is_the_same_moment_wherever_it_is_told(self, recorded):
        def answer(name):
            kind = "barman" if recorded in BARMAN_VERSIONS else "barman_old"
            return parse.parse_json((FIXTURES / kind / recorded / f"{name}.json").read_text(encoding="utf-8"))

        [listed] = parse.parse_backup_list(answer("list-backups"), "pg")
        shown = parse.parse_backup(answer("show-backup-rsync"), "pg")
        assert listed.end_timestamp == shown.end_timestamp
        assert str(shown.end_timestamp) == answer("list-backups")["pg"][0]["end_time_timestamp"]

    @pytest.mark.parametrize(
        ("told", "true", "timestamp"),
        [
            ({"end_time": "Sat Nov 21 11:48:33 2026", "end_time_timestamp": "1795261713"}, True, 1795261713),
            ({"end_time": "Sat Nov 21 11:48:33 2026", "end_time_timestamp": "1795261713"}, False, None),
            ({"end_time": "Sat Nov 21 11:48:33 2026", "end_time_timestamp": 1795261713}, True, 1795261713),
            ({"end_time": "Sat Nov 21 11:48:33 2026", "end_time_timestamp": "soon"}, True, None),
            ({"end_time": "Sat Nov 21 11:48:33 2026"}, True, None),
            ({"end_time": "2026-11-21 11:48:33+00:00"}, True, 1795261713),
            ({}, True, None),
        ],
    )
    def test_the_end_is_told_in_more_than_one_way(self, told, true, timestamp):
        row = {"backup_id": "20261121T114827", "status": "DONE", **told}
        [backup] = parse.parse_backup_list({"pg": [row]}, "pg", true)
        assert (backup.end_time, backup.end_timestamp) == (told.get("end_time"), timestamp)

    def test_newest_first(self):
        rows = [
            {"backup_id": name, "status": "FAILED"}
            for name in ("20260102T000000", "20270101T000000", "20260101T000000")
        ]
        found = [backup.backup_id for backup in parse.parse_backup_list({"pg": rows}, "pg")]
        assert found == ["20270101T000000", "20260102T000000", "20260101T000000"]


class TestBackup:
    @pytest.mark.parametrize(
        ("kind", "server", "mode", "type_"),
        [
            ("rsync", "pg", "rsync-concurrent", "rsync"),
            ("postgres", "pg_postgres", "postgres", "full"),
            ("gzip", "pg_gzip", "postgres", "full"),
        ],
    )
    def test_recorded(self, answer, kind, server, mode, type_):
        document = answer(f"show-backup-{kind}")
        backup = parse.parse_backup(document, server)
        assert (backup.status, backup.mode, backup.type) == ("DONE", mode, type_)
        assert (backup.version, backup.major, backup.timeline) == (150020, 15, 1)
        assert backup.system_identifier == "7710590273953624155"
        assert backup.data_directory == "/var/lib/postgresql/15/main"
        assert [(t.name, t.location) for t in backup.tablespaces] == [("fast", "/srv/tablespaces/fast")]
        assert re.fullmatch(r"0/[0-9A-F]+", backup.begin_lsn)
        assert re.fullmatch(r"0/[0-9A-F]+", backup.end_lsn)
        assert backup.size == document[server]["cluster_size_bytes"]
        assert backup.encryption is None

    @pytest.mark.parametrize(("kind", "server"), [("rsync", "pg"), ("postgres", "pg_postgres")])
    def test_a_plain_one_can_be_cloned(self, answer, kind, server):
        assert _reasons_unusable(parse.parse_backup(answer(f"show-backup-{kind}"), server)) == []

    def test_tells_its_compression_since_3_16(self, version, answer):
        told = parse.parse_backup(answer("show-backup-gzip"), "pg_gzip").compression
        assert told == ("gzip" if parse.parse_version(version) >= (3, 16) else None)

    def test_that_failed(self):
        section = {"backup_id": "20261121T114827", "status": "FAILED", "error": "no space"}
        backup = parse.parse_backup({"pg": section}, "pg")
        assert (backup.status, backup.error, backup.tablespaces, backup.version) == ("FAILED", "no space", (), None)

    @pytest.mark.parametrize(
        ("mode", "compression", "type_", "refused"),
        [
            ("rsync-concurrent", "None", "rsync", []),
            ("postgres", "None", "full", []),
            ("postgres", "gzip", "full", []),
            (
                "rsync-exclusive",
                "None",
                "rsync",
                ["it was taken by method rsync-exclusive; supported are rsync and postgres"],
            ),
            (
                "snapshot",
                "None",
                "snapshot",
                [
                    "it is of type snapshot; supported are rsync, full and incremental",
                    "it was taken by method snapshot; supported are rsync and postgres",
                ],
            ),
        ],
    )
    def test_is_completed_by_its_backup_info_before_3_11(self, mode, compression, type_, refused):
        section = {"backup_id": "20261121T114827", "status": "DONE", "postgresql_version": 150020}
        told = parse.parse_backup({"pg": section}, "pg")
        text = f"mode={mode}\ncompression={compression}\nsystemid=7710590273953624155\nsize=4096\n"
        backup = parse.complete_backup(told, parse.parse_backup_info(text))
        assert (backup.mode, backup.type) == (mode, type_)
        assert (backup.system_identifier, backup.size) == ("7710590273953624155", 4096)
        assert _reasons_unusable(backup) == refused

    def test_what_json_tells_stays(self, version, answer):
        told = parse.parse_backup(answer("show-backup-rsync"), "pg")
        info = parse.parse_backup_info(barman(version, "backup-rsync.info"))
        assert parse.complete_backup(told, info) == told

    @pytest.mark.parametrize(
        ("told", "timestamp"),
        [
            # Before 3.1.0 on a Barman host in Berlin, of a PostgreSQL with timezone=UTC.
            ({"end_time": "2026-11-21 11:48:33.301551+00:00", "end_time_timestamp": "1795258113"}, 1795261713),
            ({"end_time": "2026-11-21 12:48:33.301551+01:00"}, 1795261713),
            ({"end_time": "2026-11-21 12:48:33.301551", "end_time_timestamp": "1795261713"}, 1795261713),
            ({"end_time": "2026-11-21 12:48:33.301551"}, None),
            ({}, None),
        ],
    )
    def test_its_end_is_what_the_text_says(self, told, timestamp):
        section = {"backup_id": "20261121T114827", "status": "DONE", "base_backup_information": told}
        assert parse.parse_backup({"pg": section}, "pg").end_timestamp == timestamp

    def test_survives_json(self, answer):
        backup = parse.parse_backup(answer("show-backup-rsync"), "pg")
        again = json.loads(json.dumps(dataclasses.asdict(backup)))
        assert again["tablespaces"] == [dataclasses.asdict(item) for item in backup.tablespaces]
        assert {name: value for name, value in again.items() if name != "tablespaces"} == {
            name: value for name, value in vars(backup).items() if name != "tablespaces"
        }


class TestBackupInfo:
    @pytest.mark.parametrize(("kind", "compression"), [("rsync", None), ("postgres", None), ("gzip", "gzip")])
    def test_recorded(self, version, kind, compression):
        values = parse.parse_backup_info(barman(version, f"backup-{kind}.info"))
        assert (values["status"], values["version"], values["compression"]) == ("DONE", 150020, compression)
        [tablespace] = values["tablespaces"]
        assert Tablespace(*tablespace).location == "/srv/tablespaces/fast"

    @pytest.mark.parametrize(
        ("line", "value"),
        [
            ("a=None", None),
            ("a=1", 1),
            ("a='x\\ny'", "x\ny"),
            ("a=0/3000028", "0/3000028"),
            ("a=2026-11-21 11:48:27+00:00", "2026-11-21 11:48:27+00:00"),
            ("a=b=c", "b=c"),
            ("a=", ""),
            ("a=__import__('os')", "__import__('os')"),
        ],
    )
    def test_values(self, line, value):
        assert parse.parse_backup_info(f"\n# comment\n{line}\n") == {"a": value}
