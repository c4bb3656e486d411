# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Barman is asked to restore, by version and kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._barman_host.restore_options import (
    bytes_needed,
    options,
    own_name,
    refusal,
    staging,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._model import Tablespace
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import backup

CHAIN = replace(backup(), type="incremental", size=1000, tablespaces=(Tablespace("a b", 16388, "/srv/a b"),))
PLACE = "/var/lib/barman/pgfleet-staging/pg-1"


@pytest.mark.parametrize(
    ("version", "kind", "times"),
    [
        pytest.param((3, 19, 1), {}, 1, id="combined in place"),
        pytest.param((3, 13, 3), {}, 2, id="combined elsewhere first"),
        pytest.param((3, 19, 1), {"type": "full", "encryption": "gpg"}, 2, id="decrypted, then unpacked"),
        pytest.param((3, 19, 1), {"encryption": "gpg"}, 3, id="decrypted, unpacked, combined"),
        pytest.param((3, 19, 1), {"compression": "gzip"}, 3, id="a compressed chain"),
    ],
)
def test_the_room_that_it_takes(version, kind, times):
    assert bytes_needed(replace(CHAIN, **kind), version) == times * 1000


def test_what_is_staged_is_unpacked_on_barmans_host_whatever_it_is():
    plain = replace(CHAIN, type="full", tablespaces=())
    assert options(plain, (3, 15, 0), PLACE, "/w") == options(replace(CHAIN, tablespaces=()), (3, 15, 0), PLACE, "/w")


@pytest.mark.parametrize(
    ("version", "where"),
    [
        ((3, 13, 3), ["--local-staging-path", "/w", "--recovery-staging-path", "/w"]),
        ((3, 15, 0), ["--staging-path", "/w", "--staging-location", "local"]),
    ],
)
def test_the_options_of_a_version(version, where):
    assert options(CHAIN, version, PLACE, "/w") == ["--get-wal", *where, "--tablespace", f"a b:{PLACE}/16388"]


@pytest.mark.parametrize(
    ("version", "kind", "wanted"),
    [
        pytest.param((3, 4, 0), {"type": "full"}, ["--recovery-staging-path", "/there"], id="tars, before 3.15"),
        pytest.param(
            (3, 13, 3), {}, ["--local-staging-path", "/here", "--recovery-staging-path", "/there"], id="a chain"
        ),
        pytest.param(
            (3, 16, 2), {"type": "full"}, ["--staging-path", "/there", "--staging-location", "remote"], id="tars"
        ),
        pytest.param(
            (3, 16, 2),
            {"type": "full", "encryption": "gpg"},
            ["--staging-path", "/here", "--staging-location", "local"],
            id="encrypted",
        ),
    ],
)
def test_where_it_is_unpacked_for_another_host(version, kind, wanted):
    assert staging(replace(CHAIN, **kind), version, "/here", "/there") == wanted


@pytest.mark.parametrize(
    ("version", "kind", "place", "code"),
    [
        pytest.param((3, 11, 0), {}, PLACE, None, id="combines"),
        pytest.param((3, 10, 0), {}, PLACE, "barman_too_old", id="does not combine yet"),
        pytest.param((3, 13, 3), {"encryption": "gpg"}, PLACE, "barman_too_old", id="does not decrypt yet"),
        pytest.param((3, 19, 1), {}, "/srv/a:b", "path_dangerous", id="a colon"),
        pytest.param((3, 19, 1), {}, "staging", "path_dangerous", id="not absolute"),
        pytest.param(
            (3, 19, 1), {"tablespaces": (Tablespace("a:b", 1, "/a"),)}, PLACE, "backup_unsupported", id="a tablespace"
        ),
    ],
)
def test_what_cannot_be_restored(version, kind, place, code):
    refused = refusal(replace(CHAIN, **kind), version, place, "barman")
    assert (refused and refused.code) == code


def test_a_directory_has_a_name_that_barman_takes():
    assert own_name("a b:c=é/", "20261121T114827") == "a_b_c___-20261121T114827"
