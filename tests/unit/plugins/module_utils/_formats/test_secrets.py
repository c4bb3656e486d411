# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.secrets import MASK, free_of_secrets, secrets


@pytest.mark.parametrize(
    ("conninfo", "hidden"),
    [
        pytest.param(None, set(), id="nothing"),
        pytest.param({"host": "p", "user": "u"}, set(), id="dictionary"),
        pytest.param({"host": "p", "password": "x", "sslpassword": 5}, {"x", "5"}, id="dictionary with secrets"),
        pytest.param({"oauth_client_secret": "x", "scram_client_key": "y"}, {"x", "y"}, id="those of PostgreSQL 18"),
        pytest.param({"password": "", "sslpassword": None}, set(), id="dictionary with empty secrets"),
        pytest.param("host=p user=u", set(), id="string"),
        pytest.param("host=p password=xyz", {"host=p password=xyz", "xyz"}, id="string with a secret"),
        pytest.param(
            r"sslpassword = 'a\'b c' host=p",
            {r"sslpassword = 'a\'b c' host=p", r"'a\'b c'", "a'b c"},
            id="quoted secret",
        ),
        pytest.param("host=p password = 'x", {"host=p password = 'x", "'x", "x"}, id="string that cannot be read"),
        pytest.param("postgresql://u@p:5432/db", set(), id="URI"),
        pytest.param("postgresql://u:x%20y@p", {"postgresql://u:x%20y@p", "x%20y", "x y"}, id="URI with a secret"),
        pytest.param("postgresql://u:x@[::1", {"postgresql://u:x@[::1", "x"}, id="URI that cannot be read"),
        pytest.param(
            "postgresql://p?password=x&port=1", {"postgresql://p?password=x&port=1", "x"}, id="URI with a parameter"
        ),
    ],
)
def test_what_of_the_options_is_a_secret(conninfo, hidden):
    found = secrets(conninfo)
    assert hidden <= found
    assert (found == set()) == (hidden == set())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("host=p password=x port=1", f"host=p password={MASK} port=1"),
        (r"password = 'it\'s a' port=1", f"password = {MASK} port=1"),
        ("password='half of it", f"password={MASK}"),
        ('"conninfo": "host=p sslpassword=x"', f'"conninfo": "host=p sslpassword={MASK}"'),
        ("postgresql://u:x@p/db", f"postgresql://u:{MASK}@p/db"),
        ("postgresql://p?oauth_client_secret=x&port=1", f"postgresql://p?oauth_client_secret={MASK}&port=1"),
        ("use_primary_conninfo_password=true", "use_primary_conninfo_password=true"),
        ("ssh://barman@backup:22", "ssh://barman@backup:22"),
        ("passfile=/home/x/.pgpass", "passfile=/home/x/.pgpass"),
    ],
)
def test_what_others_have_written_is_freed_of_what_reads_like_a_secret(text, shown):
    assert free_of_secrets({"msg": text}, ()) == {"msg": shown}


STEERS = {
    "plan": {
        "tablespaces": [{"location": "/srv/data/main"}],
        "data_directory": "/var/lib/postgresql/15/main",
        "settings": {"max_wal_senders": "20"},
        "action": "clone",
        "stop": True,
        "slot": None,
    },
    "error_code": "data",
    "restore_command": "barman-wal-restore main",
}


@pytest.mark.parametrize("failed", [False, True], ids=["success", "failure"])
@pytest.mark.parametrize("secret", ["postgres", "data", "main", "clone", "a", "2", "/"])
def test_no_secret_changes_what_steers_a_later_task(secret, failed):
    result = STEERS if not failed else {name: STEERS[name] for name in ("plan", "error_code")}
    assert free_of_secrets(result, {secret}, failed) == result


def test_text_for_people_holds_no_secret():
    result = {"msg": "the word s3cret", "plan": {"reason": "s3cret"}, "verdicts": [{"msg": "s3cret", "check": "x"}]}
    assert free_of_secrets(result, {"s3cret"}) == {
        "msg": f"the word {MASK}",
        "plan": {"reason": MASK},
        "verdicts": [{"msg": MASK, "check": "x"}],
    }


def test_of_a_failure_everything_is_text():
    result = {"msg": "s3cret", "cmd": ["x", "s3cret"], "stderr": "password=unknown", "rc": 1}
    shown = {"msg": MASK, "cmd": ["x", MASK], "stderr": f"password={MASK}", "rc": 1}
    assert free_of_secrets(result, {"s3cret"}, failed=True) == shown


def test_of_two_secrets_the_longer_goes_first():
    assert free_of_secrets({"msg": "secretly"}, {"secret", "secretly"}) == {"msg": MASK}
