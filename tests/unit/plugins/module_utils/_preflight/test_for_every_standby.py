# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What matters for a clone and for a cluster that goes on alike."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import host_facts as _host_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import Slot, UpstreamFacts
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.rehearse import Rehearsed
from ansible_collections.pgfleet.standby.plugins.module_utils._starter.unit import Starter, StartUnit
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils._preflight.examining import codes, of_check
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.fake_postgres import POSTGRES


@pytest.mark.parametrize("prepare", [lambda host: None, lambda host: host.copy()], ids=["a clone", "a cluster"])
class TestConfiguration:
    @pytest.mark.parametrize(
        ("policy", "expected"), [("raise", []), ("refuse", ["hot_standby_settings"])], ids=["raised", "refused"]
    )
    def test_with_settings_below_the_primarys(self, host, examine, prepare, policy, expected):
        write_tree(host.data, {"postgresql.conf": "max_connections = 20\n"})
        prepare(host)
        examined = examine(hot_standby_settings=policy)
        assert codes(examined) == expected
        assert examined.plan["settings"] == {"max_connections": "100"}

    @pytest.mark.parametrize(
        ("policy", "expected"), [("raise", []), ("refuse", ["hot_standby_off"])], ids=["overruled", "refused"]
    )
    def test_that_would_let_nobody_in(self, host, examine, prepare, policy, expected):
        write_tree(host.data, {"postgresql.conf": "max_connections = 200\nhot_standby = off\n"})
        prepare(host)
        examined = examine(hot_standby_settings=policy)
        assert codes(examined) == expected
        assert examined.plan["settings"] == {"hot_standby": "on"}

    def test_elsewhere(self, host, examine, prepare):
        prepare(host)
        elsewhere = host.root / "etc"
        write_tree(elsewhere, {"postgresql.conf": f"data_directory = {host.pgdata}\nmax_connections = 20\n"})
        examined = examine(config_directory=str(elsewhere))
        assert (codes(examined), examined.plan["settings"]) == ([], {"max_connections": "100"})


@pytest.mark.parametrize("prepare", [lambda host: None, lambda host: host.copy()], ids=["a clone", "a cluster"])
class TestSettings:
    """What the recovery settings will hold is judged before anything changes."""

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({"archive_cleanup_command": "pg_archivecleanup /a %r", "recovery_min_apply_delay": "24d"}, []),
            ({"archive_cleanup_command": "clean %f"}, ["command_placeholder_unknown"]),
            ({"recovery_min_apply_delay": "30d"}, ["setting_invalid"]),
            ({"settings": {"Ho Hum": 1}}, ["setting_invalid"]),
            ({"settings": {"hot_standby": False}}, ["setting_invalid"]),
        ],
    )
    def test_by_the_rules_of_every_server(self, host, examine, prepare, settings, expected):
        prepare(host)
        assert codes(examine(settings=settings)) == expected

    def test_by_the_servers_own_parser(self, host, examine, prepare):
        refuses = 'grep -q nonsense "$file" && { echo "FATAL:  unrecognized parameter" >&2; exit 1; }\n'
        host.program("postgres", POSTGRES.replace("value=$(sed", f"{refuses}value=$(sed", 1))
        prepare(host)
        examined = examine(settings={"settings": {"nonsense": 1}})
        assert codes(examined) == ["setting_invalid"]
        assert "unrecognized parameter" in of_check(examined, "settings")[0].msg

    @pytest.mark.parametrize("enforcing", [True, False])
    def test_by_a_trial_that_is_not_confined_as_the_server_may_be(self, host, examine, prepare, enforcing, monkeypatch):
        monkeypatch.setattr(_host_facts, "selinux_enforcing", lambda: enforcing)
        prepare(host)
        unseen = [one for one in examine().plan["not_checked"] if "SELinux" in one]
        assert [one.count("restore_command") for one in unseen] == [1] * enforcing

    def test_a_command_that_would_end_the_server_is_not_tried(self, host, examine, answers, prepare):
        prepare(host)
        assert codes(examine(restore_command="cp %f %p || date +%s")) == ["command_placeholder_unknown"]
        assert "restore_command" not in answers.asked


@pytest.mark.parametrize(
    ("created", "expected"), [(True, []), (False, ["configuration_missing"])], ids=["to be created", "missing"]
)
def test_a_configuration_elsewhere_that_is_not_there_yet(host, examine, created, expected):
    assert codes(examine(config_directory=str(host.root / "etc"), config_created=created)) == expected


@pytest.mark.parametrize(
    ("sets", "expected"),
    [("/var/lib/pgfleet-15-main/initdb", []), ("/srv/pgfleet/initdb", ["configuration_other_directory"])],
    ids=["that the role is about to finish", "of another cluster"],
)
def test_a_configuration_of_another_directory(host, examine, sets, expected):
    elsewhere = host.root / "etc"
    write_tree(elsewhere, {"postgresql.conf": f"data_directory = {sets}\nmax_connections = 200\n"})
    assert codes(examine(config_directory=str(elsewhere), config_created=True)) == expected


REFUSED = Refusal("server_would_not_start", "It says: FATAL: no.", "mend it")
NOT_HAD = StandbyError(Refusal("rehearsal_failed", "There is no initdb.", "install it"))
INVALID = (
    "#!/bin/sh\n[ $1 != --version ] || { echo 'postgres (PostgreSQL) 15.20'; exit; }\necho 'FATAL: no' >&2; exit 1\n"
)
THAT_IT_STARTS = "that the server starts with its configuration"


def severities(examined):
    return [(verdict.severity, verdict.error_code) for verdict in of_check(examined, "rehearsal")]


class TestStart:
    """Whether the server would start is asked of the server."""

    def test_it_gets_what_the_standby_will_have(self, host, examine, answers):
        write_tree(host.data, {"postgresql.conf": "max_connections = 20\n", "server.key": "key", "mine/a.crt": "crt"})
        examined = examine()
        standby = answers.asked["rehearse"]
        assert severities(examined) == [("ok", None)]
        assert (standby.major, standby.segment_size, standby.settings) == (15, 16 << 20, {"max_connections": "100"})
        target = host.root / "target"
        target.mkdir()
        standby.bring(str(target))
        assert (target / "mine" / "a.crt").read_text() == "crt"
        assert not (target / "global").exists()

    def test_what_the_server_says_is_a_problem(self, examine, answers):
        answers.rehearsed = Rehearsed((REFUSED,))
        examined = examine()
        assert codes(examined) == ["server_would_not_start"]
        assert examined.plan["action"] == "refuse"

    def test_what_it_says_and_starts_is_a_warning(self, examine, answers):
        answers.rehearsed = Rehearsed(warnings=(Refusal("server_would_not_listen", "There.", "see"),), not_shown=("x",))
        examined = examine()
        assert severities(examined) == [("warning", "server_would_not_listen")]
        assert examined.plan["not_checked"] == ["x"]

    @pytest.mark.parametrize(
        ("policy", "severity", "unchecked"),
        [("auto", "warning", [THAT_IT_STARTS]), ("always", "error", [])],
        ids=["is told", "is a problem if it has to be had"],
    )
    def test_a_rehearsal_that_cannot_be_had(self, examine, answers, policy, severity, unchecked):
        answers.rehearsed = NOT_HAD
        examined = examine(rehearse=policy)
        assert severities(examined) == [(severity, "rehearsal_failed")]
        assert examined.plan["not_checked"] == unchecked

    @pytest.mark.parametrize(
        ("in_part", "expected", "unchecked"),
        [
            (Rehearsed(not_shown=("the rest",)), [], ["the rest"]),
            (Rehearsed((REFUSED,)), [("error", "server_would_not_start")], []),
        ],
        ids=["takes", "refuses"],
    )
    def test_in_its_place_what_needs_no_cluster_is_tried(self, examine, answers, in_part, expected, unchecked):
        answers.rehearsed, answers.in_part = NOT_HAD, in_part
        examined = examine()
        assert severities(examined) == [("warning", "rehearsal_failed"), *expected]
        assert examined.plan["not_checked"] == unchecked
        assert answers.asked["in_part"] == answers.asked["rehearse"]

    @pytest.mark.parametrize("policy", ["never", "always"])
    def test_only_if_a_part_of_it_will_do(self, examine, answers, policy):
        answers.rehearsed = NOT_HAD
        examine(rehearse=policy)
        assert "in_part" not in answers.asked

    def test_none_that_is_not_wanted(self, examine, answers):
        examined = examine(rehearse="never")
        assert (severities(examined), examined.plan["not_checked"]) == ([], [THAT_IT_STARTS])
        assert "rehearse" not in answers.asked

    def test_none_for_a_cluster_that_stays(self, host, examine, answers):
        host.copy()
        assert severities(examine()) == []
        assert "rehearse" not in answers.asked

    @pytest.mark.parametrize(
        ("rehearsed", "expected"),
        [(Rehearsed((REFUSED,)), ["server_would_not_start"]), (NOT_HAD, ["configuration_invalid"])],
        ids=["in the server's words", "in those of its program"],
    )
    def test_a_configuration_that_cannot_be_read_is_told_once(self, host, examine, answers, rehearsed, expected):
        host.program("postgres", INVALID)
        answers.rehearsed = rehearsed
        # This program refuses the recovery settings as well, which are another question.
        assert [code for code in codes(examine()) if code != "setting_invalid"] == expected

    @pytest.mark.parametrize(
        ("policy", "expected"), [("auto", []), ("always", [("error", "rehearsal_failed")])], ids=["auto", "always"]
    )
    def test_a_configuration_that_is_made_later_cannot_be_tried(self, host, examine, policy, expected):
        examined = examine(config_directory=str(host.root / "etc"), config_created=True, rehearse=policy)
        assert severities(examined) == expected
        told = " ".join([*examined.plan["not_checked"], *(one.msg for one in of_check(examined, "rehearsal"))])
        assert "is made by the packaging" in told

    def test_what_is_not_checked_for_several_reasons_is_all_told(self, examine, answers):
        answers.rehearsed = NOT_HAD
        unchecked = examine(upstream_asked=False).plan["not_checked"]
        assert THAT_IT_STARTS in unchecked
        assert len(unchecked) > 1


class TestUnit:
    def test_it_is_asked_about_this_server(self, host, examine, answers):
        answers.starter = Starter(StartUnit("u", command="/b/postgres -D /srv/other"), "/srv/other")
        assert codes(examine(service="u")) == ["service_other_server"]
        assert answers.asked["service"] == "u"
        answers.starter = Starter(StartUnit("u", file_state="enabled"), str(host.pgdata))
        assert codes(examine(service="u")) == []

    def test_one_that_only_root_may_ask_about_is_no_problem(self, examine, answers):
        answers.starter = None
        [verdict] = of_check(examine(service="u"), "service")
        assert (verdict.severity, "there is no D-Bus" in verdict.msg) == ("ok", True)

    def test_a_template_is_not_asked(self, examine, answers):
        assert codes(examine(service="postgresql@.service")) == ["service_template"]
        assert "service" not in answers.asked

    def test_its_time_is_that_for_the_wal_to_replay(self, examine, answers):
        answers.starter = Starter(StartUnit("u", kind="notify", start_limit=1.0, file_state="enabled"))
        [verdict] = of_check(examine(service="u"), "service")
        assert (verdict.severity, verdict.error_code) == ("warning", "service_timeout_short")

    def test_its_options_are_not_below_what_the_upstream_needs(self, examine, answers):
        answers.starter = Starter(StartUnit("u", command="/b/postgres -c max_connections=1"))
        assert codes(examine(service="u")) == ["setting_overridden"]

    def test_the_rehearsal_has_the_environment_that_it_gives(self, examine, answers):
        answers.starter = Starter(StartUnit("u", environment={"TZ": "UTC"}, file_state="enabled"))
        examine(service="u")
        assert answers.asked["rehearse"].environment == {"TZ": "UTC"}

    @pytest.mark.parametrize("service", [None, "u"], ids=["no unit", "one that only root may ask about"])
    def test_there_may_be_no_such_environment(self, examine, answers, service):
        answers.starter = None
        examine(service=service)
        assert answers.asked["rehearse"].environment == {}


class TestHost:
    def test_a_directory_that_cannot_be_made(self, host, examine, monkeypatch):
        monkeypatch.setattr("os.access", lambda path, *mode, **more: str(path) != str(host.pgdata.parent))
        assert "directory_not_writable" in codes(examine())

    @pytest.mark.parametrize(
        ("data_directory", "code", "asked"),
        [("/etc", "path_dangerous", False), ("/srv/a$b", "path_unfit_for_pg_ctl", True)],
        ids=["one of the system's", "unfit for pg_ctl"],
    )
    def test_the_owner_of_a_directory_of_the_system_is_not_in_question(
        self, host, examine, data_directory, code, asked
    ):
        examined = examine(host.job(data_directory=data_directory), data_directory=data_directory)
        assert code in codes(examined)
        assert bool(of_check(examined, "ownership")) == asked


KEYWORDS = {
    "host": "primary",
    "user": "replicator",
    "password": "secret",
    "sslmode": "require",
    "application_name": "n1",
}


class TestSlot:
    """The plan says how to make it."""

    @pytest.mark.parametrize(
        ("kind", "created", "create"),
        [("absent", True, True), ("absent", False, False), ("physical", True, False)],
    )
    def test_that_is_known(self, examine, answers, kind, created, create):
        answers.facts = UpstreamFacts(slot=Slot("n1", kind), database="postgres", max_slot_wal_keep_size=1 << 30)
        plan = examine(keywords=KEYWORDS, slot_name="n1", slot_created=created).plan
        assert plan["slot"] == {
            "name": "n1",
            "create": create,
            "max_wal_bytes": 1 << 30,
            "login_host": "primary",
            "login_port": 5432,
            "login_user": "replicator",
            "login_db": "postgres",
            "connect_params": {"sslmode": "require", "application_name": "n1"},
        }

    @pytest.mark.parametrize("secret", ["sslpassword", "oauth_client_secret", "scram_client_key"])
    def test_that_only_another_secret_than_the_password_could_make_is_not_made(self, examine, answers, secret):
        """The plan is a result, so no secret is in it, and the task that makes the slot knows the password alone."""
        answers.facts = UpstreamFacts(slot=Slot("n1", "absent"), database="postgres")
        examined = examine(keywords={**KEYWORDS, secret: "s3cret"}, slot_name="n1", slot_created=True)
        assert examined.plan["slot"]["connect_params"] == {"sslmode": "require", "application_name": "n1"}
        assert examined.plan["slot"]["create"] is False
        assert answers.asked["standby"].slot_made is False
        assert "s3cret" not in str(examined.plan)

    def test_that_is_not_known(self, examine):
        assert examine(slot_name="n1").plan["slot"] is None


@pytest.mark.parametrize(("copied", "backlog"), [(False, 0x5000000 - 0x3000028), (True, 20 << 20)])
def test_the_upstream_is_asked_about_this_standby(host, examine, answers, copied, backlog):
    if copied:
        host.copy()
    examine(slot_name="n1", slot_created=True)
    standby = answers.asked["standby"]
    assert (standby.application_name, standby.slot_name, standby.slot_made) == ("n1", "n1", True)
    assert (standby.kept, standby.backlog, standby.block_size) == (copied, backlog, 8192)
    assert standby.places["data_directory"] == str(host.pgdata)
