"""A healthy standby is left alone: every setting that it has, in every way of writing it that its server takes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import AUTO_CONF
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.programs import meaning
from ansible_collections.pgfleet.standby.plugins.modules.standby_drift_info import drift_of
from ansible_collections.pgfleet.standby.plugins.modules.standby_recovery import work
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.releases import RELEASES, programs_of
from ansible_collections.pgfleet.standby.tests.servers.servers import SUPERUSER, Server, as_user

STREAMS = "SELECT count(*) = 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"
# The words for an enum's value that servers take beside those that pg_settings lists; which of them it takes for which
# setting a server says itself (guc.c and guc_tables.c, the config_enum_entry tables). Who takes none of the first takes
# none of the others.
WORDS = (("true", "false", "yes", "no", "on", "off", "1", "0"), ("debug",), ("hot_standby", "archive"))
BOOLEANS = {"on": ("true", "yes", "1", "t", "ON", True), "off": ("false", "no", "0", "f", "OFF", False)}
# What a server shows in other words than it was told, and what it says that only our own session uses.
TEXTS: dict[str, Any] = {
    "DateStyle": "sql, DMY",
    "TimeZone": "europe/berlin",
    "log_timezone": "utc",
    "archive_command": "exit 0",
    "tcp_keepalives_idle": "7s",
    "log_file_mode": "0640",
    "unix_socket_permissions": "0770",
    "client_encoding": "latin1",
    "application_name": "mine",
    "default_transaction_isolation": "repeatable read",
    "search_path": "public , pg_catalog",
    "max_stack_depth": "1536kB",
    "random_page_cost": "41e-1",
}
# Until PostgreSQL 11 only whole numbers have a unit.
FRACTIONS = {"shared_buffers": "16.5MB", "max_stack_depth": "1.5MB", "recovery_min_apply_delay": "0.5ms"}
# With another value of these it is another standby, or no server.
NOT_OURS = (
    *("config_file", "data_directory", "hba_file", "ident_file", "external_pid_file"),
    *("unix_socket_directories", "port", "listen_addresses"),
    *("hot_standby", "fsync", "zero_damaged_pages", "ignore_system_indexes", "ignore_invalid_pages"),
    *("restart_after_crash", "ssl", "bonjour", "logging_collector", "allow_in_place_tablespaces"),
)
UNITS = {
    "us": (("ms", 1000), ("s", 10**6)),
    "ms": (("s", 1000), ("min", 60_000), ("h", 3_600_000)),
    "s": (("min", 60), ("h", 3600), ("d", 86400)),
    "min": (("h", 60), ("d", 1440)),
    "B": (("kB", 1 << 10), ("MB", 1 << 20)),
    "kB": (("MB", 1 << 10), ("GB", 1 << 20)),
    "MB": (("GB", 1 << 10), ("TB", 1 << 20)),
}


class Standby:
    """A running standby that the module takes care of."""

    def __init__(self, primary: Server, server: Server) -> None:
        self.primary, self.server = primary, server
        self.restarts = 0
        self.words: dict[str, dict[str, list[str]]] = {}

    def options(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What the modules are told."""
        return {
            "data_directory": str(self.server.data),
            "state_directory": str(self.server.top / "state"),
            "pg_bindir": str(programs_of(self.server.major)),
            "config_directory": None,
            "config_files": None,
            "upstream_conninfo": self.primary.conninfo,
            "replication_user": None,
            "application_name": "healthy",
            "restore_command": "exit 1",
            "settings": settings,
            "rejoin": True,
            "login_user": None,
            "service": None,
            "enabled": None,
        }

    def recover(self, check_mode: bool = False, **settings: Any) -> dict[str, Any]:
        """The module's work, as the server's user would do it."""
        result = work(self.options(settings), check_mode=check_mode)
        as_user(self.server.data)
        return result

    def drift(self, **settings: Any) -> list[str]:
        """What the look at a healthy standby says would be changed."""
        found, _warnings = drift_of(self.options(settings))
        return found

    def obey(self, result: dict[str, Any]) -> None:
        """Do what the result says is needed, and no more."""
        if result["restart_required"]:
            self.restarts += 1
            self.server.stop()
            self.server.start()
        elif result["reload_required"]:
            self.server.reload()

    def postmaster(self) -> Any:
        """It tells one start of the server from another."""
        return self.server.sql("SELECT pg_postmaster_start_time()")

    def left_alone(self, **settings: Any) -> None:
        """What was made so has nothing to be done for it, as check mode says, too."""
        before = self.postmaster()
        assert self.drift(**settings) == []
        for check_mode in (True, False):
            again = self.recover(check_mode, **settings)
            assert again["outdated_settings"] == []
            assert not again["changed"], again
        assert self.postmaster() == before


# The oldest and the newest, and the first in which a boolean became a list of words. The others are for `make long`.
OFTEN = (10, 15, 18)
MAJORS = [pytest.param(major, marks=() if major in OFTEN else pytest.mark.long) for major in sorted(RELEASES)]


@pytest.fixture(scope="module", params=MAJORS)
def streaming(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Standby]:
    """One that streams, of each major version."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PGUSER", SUPERUSER)
        primary = fleet.primary(request.param)
        made = Standby(primary, primary.copy(fleet.place(f"h{request.param}") / "data"))
        made.server.make_standby({"recovery_target_timeline": "latest"})
        made.recover()
        made.server.start()
        made.server.wait_for(STREAMS)
        yield made
        made.server.kill()
        shutil.rmtree(made.server.top)


@pytest.fixture
def standby(streaming: Standby) -> Iterator[Standby]:
    """The same for each test, with no settings of another one."""
    before = (streaming.server.data / AUTO_CONF).read_text(encoding="utf-8")
    streaming.restarts = 0
    yield streaming
    streaming.server.put(AUTO_CONF, before)
    streaming.server.stop()
    streaming.server.start()
    streaming.server.wait_for(STREAMS)


def known(standby: Standby, settings: dict[str, Any]) -> dict[str, Any]:
    """Those that this version has."""
    names = {name for (name,) in standby.server.sql("SELECT name FROM pg_settings")}
    return {name: value for name, value in settings.items() if name in names}


def writable(standby: Standby) -> list[tuple[str, str, str, str, str]]:
    """Name, value, unit, type and source of the settings that a file may hold."""
    rows = standby.server.sql(
        "SELECT name, setting, coalesce(unit, ''), vartype, source FROM pg_settings"
        " WHERE context <> 'internal' AND name <> ALL(%s)"
        " AND name !~ '^(transaction_|session_auth|role$|seed$|is_super)'",
        list(NOT_OURS),
    )
    assert len(rows) > 200
    return list(rows)


def words_of_enums(standby: Standby) -> dict[str, dict[str, list[str]]]:
    """The words that the server's program takes for an enum beside its values, by setting and by what they mean."""
    found = standby.words  # they stay the same
    for name, _value, _unit, vartype, _source in writable(standby):
        if vartype == "enum" and name not in found:
            found[name] = {}
            for kind in WORDS:
                for word in kind:
                    meant = meaning(str(programs_of(standby.server.major)), name, word)
                    if meant is None:
                        break
                    if meant != word:
                        found[name].setdefault(meant, []).append(word)
    return found


def in_units(value: int, unit: str) -> list[str]:
    """The same number with each unit that it is a whole number of."""
    parts = re.fullmatch(r"(\d*)(\w*)", unit)
    assert parts is not None
    amount, base = value * int(parts[1] or 1), parts[2]
    if amount <= 0 or not base:  # a special value takes no unit
        return []
    larger = [f"{amount // times}{name}" for name, times in UNITS.get(base, ()) if amount % times == 0]
    return [f"{amount}{base}", *larger]


def spellings(standby: Standby) -> dict[str, list[Any]]:
    """Other ways to write the value that each setting has now."""
    found: dict[str, list[Any]] = {}
    words = words_of_enums(standby)
    for name, value, unit, vartype, _source in writable(standby):
        if vartype == "bool":
            found[name] = list(BOOLEANS[value])
        elif vartype == "enum":
            found[name] = [value.upper(), *words[name].get(value, ())]
        elif vartype == "integer" and re.fullmatch(r"-?\d+", value) and not value.startswith("0"):
            found[name] = [f" {value}", *in_units(int(value), unit)]
        else:
            found[name] = [value]
    return found


def test_the_words_of_the_manuals(standby: Standby) -> None:
    """What tuning guides and old configurations say, all at once: one start at the most, and then nothing."""
    wanted = {
        "wal_compression": True,
        "wal_level": "hot_standby",
        "archive_mode": "true",
        "wal_buffers": -1,
        "huge_pages": "off" if standby.server.major < 10 else "try",
        "synchronous_commit": "yes",
        "client_min_messages": "debug",
        **TEXTS,
        **(FRACTIONS if standby.server.major >= 12 else {}),
        **dict.fromkeys(("transaction_buffers", "subtransaction_buffers", "commit_timestamp_buffers"), 0),
        "io_max_concurrency": -1,
    }
    settings = known(standby, wanted)
    first = standby.recover(False, **settings)
    standby.obey(first)
    standby.server.wait_for(STREAMS)
    standby.left_alone(**settings)
    assert standby.restarts <= 1


def test_what_the_server_works_out_needs_no_restart(standby: Standby) -> None:
    rows = standby.server.sql(
        "SELECT name, boot_val FROM pg_settings WHERE context = 'postmaster' AND vartype = 'integer'"
        " AND source IN ('default', 'override') AND setting <> boot_val AND setting !~ '^0'"
    )
    worked_out = dict(rows)
    assert "wal_buffers" in worked_out
    before = standby.postmaster()
    told = standby.recover(True, **worked_out)
    first = standby.recover(False, **worked_out)
    assert (told["restart_required"], first["restart_required"]) == (False, False), first["outdated_settings"]
    standby.obey(first)
    standby.left_alone(**worked_out)
    assert standby.postmaster() == before


def test_no_spelling_of_what_it_has_is_a_difference(standby: Standby) -> None:
    before = standby.postmaster()
    ways = spellings(standby)
    for turn in range(max(map(len, ways.values()))):
        settings = {name: words[turn % len(words)] for name, words in ways.items()}
        told = standby.recover(True, **settings)
        done = standby.recover(False, **settings)
        assert (told["restart_required"], done["restart_required"]) == (False, False), done["outdated_settings"]
        standby.obey(done)
        standby.left_alone(**settings)
    assert standby.postmaster() == before


def test_every_word_for_another_value_is_taken_up_once(standby: Standby) -> None:
    before = standby.postmaster()
    contexts = dict(standby.server.sql("SELECT name, context FROM pg_settings"))
    words = {
        name: sorted({word for meant in words.values() for word in meant})
        for name, words in words_of_enums(standby).items()
        # With `serializable` a standby refuses every question of our session.
        if contexts[name] != "postmaster" and name != "default_transaction_isolation" and words
    }
    assert {"synchronous_commit", "constraint_exclusion"} <= set(words)
    for turn in range(max(map(len, words.values()))):
        settings = {name: ways[turn % len(ways)] for name, ways in words.items()}
        done = standby.recover(False, **settings)
        assert not done["restart_required"]
        standby.obey(done)
        standby.left_alone(**settings)
    assert standby.postmaster() == before


# What somebody else has changed, or a run has written that was interrupted before the server took it up.
def test_a_real_difference_is_found_and_mended_by_the_least(standby: Standby) -> None:
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"work_mem": "5MB", "IntervalStyle": "sql_standard"}, "reload"),
        ({"max_connections": 33, "work_mem": "6MB"}, "restart"),
        ({"wal_buffers": "1MB"}, "restart"),
    )
    for settings, need in cases:
        told = standby.recover(True, **settings)
        drift = standby.drift(**settings)
        standby.recover(False, **settings)
        # Interrupted here, the next run finds the same.
        names = ", ".join(sorted(name.lower() for name in settings))
        assert standby.drift(**settings) == drift == [f"The recovery settings would change in {names}."]
        again = standby.recover(False, **settings)
        assert [result["server_state"] for result in (told, again)] == [f"{need}ed"] * 2, settings
        standby.obey(again)
        standby.left_alone(**settings)
    assert standby.restarts == 2
    # A library that is not loaded has no settings yet.
    done = standby.recover(False, **{"pgfleet.free": "a"})
    assert done["server_state"] == "reloaded"


def test_what_goes_from_the_file_needs_no_restart_if_it_is_not_in_use(standby: Standby) -> None:
    if standby.server.major >= 12:
        standby.server.edit(AUTO_CONF, {"recovery_target_action": "promote"})
    else:
        standby.server.edit(AUTO_CONF, {"external_pid_file": "x"})
    assert standby.recover()["server_state"] == "reloaded"
