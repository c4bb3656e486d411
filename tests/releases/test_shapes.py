"""The README's first play on hosts that are not as the lab makes them, and a reboot after it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from conftest import RELEASES, in_lab
from lab import Lab
from play import Playbook, errors
from podman import wait_for
from shapes import LOGIN, Shaped, apt_leaves_it, becomes_red_hat, is_logged_in, logs_in_by_logind, readme_inputs

pytestmark = pytest.mark.long

# In kB/s: a copy then takes longer than a login that comes to its end.
BWLIMIT = 512


@pytest.fixture(scope="module", params=[RELEASES["bookworm"]], ids=["bookworm"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with in_lab(request.param, standbys=3) as lab:
        yield lab


def assert_starts_at_boot(standby: Shaped, output: str) -> None:
    assert f"{standby.name} stays down" not in output, output
    standby.streams_after_a_reboot()
    again = standby.play()
    assert (again.rc, again.recap[standby.name]["changed"]) == (0, 0), again.output


class TestDebianAsAptLeavesIt:
    @pytest.fixture(scope="class")
    def standby(self, lab: Lab) -> Shaped:
        standby = Shaped(lab, name="n1", inputs=readme_inputs("Debian"))
        apt_leaves_it(standby.host)
        assert standby.main_process(lab.release.unit) != "0"
        return standby

    def test_without_consent_its_cluster_is_left_and_the_refusal_names_what_helps(self, standby: Shaped) -> None:
        unit = standby.lab.release.unit
        before = standby.main_process(unit)
        run = standby.play(overwrite="never")
        assert (run.rc, errors(run)) == (2, {"data_directory_pristine"}), run.output
        assert "overwrite=pristine" in run.output
        assert standby.main_process(unit) == before

    @pytest.mark.parametrize(
        ("line", "code", "words"),
        [
            ("LD_LIBRARY_PATH = /opt/lib", "service_file_invalid", "/etc/postgresql/15/main/environment:1"),
            ("PGDATESTYLE = 'nosuch'", "server_would_not_start", 'invalid value for parameter \\"DateStyle\\"'),
        ],
        ids=["a line that pg_ctlcluster does not take", "a variable that the server does not take"],
    )
    def test_an_environment_that_keeps_it_from_starting_is_told_before_the_copy(
        self, standby: Shaped, line: str, code: str, words: str
    ) -> None:
        file = f"{standby.lab.release.config}/environment"
        before = standby.host.read(file)
        standby.host.write(file, f"{line}\n", owner="postgres")
        try:
            run = standby.play("--check")
        finally:
            standby.host.write(file, before, owner="postgres")
        assert (run.rc, errors(run)) == (2, {code}), run.output
        assert words in run.output, run.output

    def test_the_readmes_first_play_makes_it_a_standby_with_its_environment(self, standby: Shaped) -> None:
        standby.host.write(f"{standby.lab.release.config}/environment", "PGTZ = 'Asia/Tokyo'\n", owner="postgres")
        run = standby.becomes("replace")
        assert "PGTZ=Asia/Tokyo" in standby.environment()
        standby.follow()
        assert standby.contents(standby.host) == standby.contents(standby.lab.primary)
        assert_starts_at_boot(standby, run.output)


class TestRedHat:
    @pytest.fixture(scope="class")
    def standby(self, lab: Lab) -> Shaped:
        standby = Shaped(lab, name="n2", inputs=readme_inputs("Red Hat"))
        becomes_red_hat(standby.host)
        return standby

    def test_check_mode_tells_the_plan(self, standby: Shaped) -> None:
        run = standby.play("--check", "--diff")
        assert run.rc == 0, run.output
        assert " planned " in run.output
        assert "n2 stays down" not in run.output

    def test_the_readmes_first_play_makes_it_a_standby_whose_unit_is_enabled(self, standby: Shaped) -> None:
        unit = standby.inputs["service"]
        assert standby.host.run(["systemctl", "is-enabled", unit], check=False).stdout.strip() == "disabled"
        run = standby.becomes("clone")
        standby.follow()
        assert standby.contents(standby.host) == standby.contents(standby.lab.primary)
        assert standby.host.run(["systemctl", "is-enabled", unit]).stdout.strip() == "enabled"
        assert_starts_at_boot(standby, run.output)

    def test_what_is_not_to_be_enabled_stays_so_and_the_report_says_it(self, standby: Shaped) -> None:
        unit = standby.inputs["service"]
        standby.host.run(["systemctl", "disable", unit])
        run = standby.play(enable=False)
        assert (run.rc, run.recap["n2"]["changed"]) == (0, 0), run.output
        assert f"n2 stays down after a reboot: the unit {unit} is disabled" in run.output
        mended = standby.play()
        assert (mended.rc, mended.recap["n2"]["changed"]) == (0, 1), mended.output
        assert "n2 stays down" not in mended.output


class TestLogindThatKillsWhatALoginHasStarted:
    """A copy of some seconds is made slow, so that it is under way when its controller and the login are gone."""

    SCOPE = "pgfleet-copy-var-lib-postgresql-15-main.scope"

    @pytest.fixture(scope="class")
    def standby(self, lab: Lab) -> Shaped:
        standby = Shaped(lab, name="n3", inputs=readme_inputs("Debian"))
        logs_in_by_logind(standby.host)
        return standby

    @pytest.fixture
    def copying(self, standby: Shaped, monkeypatch: pytest.MonkeyPatch) -> None:
        """A play of a user who logs in has begun to copy, was killed, and its login has come to its end."""
        monkeypatch.setenv("ANSIBLE_SSH_ARGS", "-o ControlMaster=auto -o ControlPersist=20s")
        login = ["-e", f"ansible_user={LOGIN}", f"--limit={standby.name}"]
        play = Playbook(standby.lab.inventory).start(*login, **standby.inputs, jobs=1, bwlimit=BWLIMIT, compress="none")
        try:
            wait_for(lambda: self.has_scope(standby), "the copy to have a unit of its own")
        finally:
            os.killpg(play.pid, signal.SIGKILL)
            play.communicate()
        wait_for(lambda: not is_logged_in(standby.host), "the login to come to its end")

    def has_scope(self, standby: Shaped) -> bool:
        return standby.host.run(["systemctl", "is-active", self.SCOPE], check=False).stdout.strip() == "active"

    @pytest.mark.usefixtures("copying")
    def test_the_copys_own_unit_ends_it(self, standby: Shaped) -> None:
        assert self.has_scope(standby)
        standby.host.run(["systemctl", "stop", self.SCOPE])
        assert standby.host.run(["pgrep", "-u", "postgres", "rsync"], check=False).stdout == ""
        assert not standby.host.exists(f"{standby.lab.release.data}/global/pg_control")

    @pytest.mark.usefixtures("copying")
    def test_the_copy_survives_its_controller_and_the_logout(self, standby: Shaped) -> None:
        assert self.has_scope(standby)
        wait_for(lambda: not self.has_scope(standby), "the copy to come to its end")
        assert standby.host.exists(f"{standby.lab.release.data}/global/pg_control")
        run = standby.play("-e", f"ansible_user={LOGIN}")
        assert run.rc == 0, run.output
        assert " streaming " in run.output
        standby.follow()
