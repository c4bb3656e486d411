"""Every server is made once and runs until the end; a test that needs another state of it makes its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.releases import RELEASES
from ansible_collections.pgfleet.standby.tests.servers.servers import Server, make_top
from hypothesis import HealthCheck, configuration, settings

configuration.set_hypothesis_home_dir(os.path.join(tempfile.gettempdir(), f"hypothesis-{os.getuid()}"))
settings.register_profile(
    "pgfleet-servers",
    database=None,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("pgfleet-servers")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: run by `make long` and not by `make test`, which has an hour")


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """The servers of this run."""
    top = make_top("pgfleet-")
    servers = Fleet(top)
    yield servers
    servers.stop()
    shutil.rmtree(top)


@pytest.fixture(params=sorted(RELEASES))
def primary(request: pytest.FixtureRequest, fleet: Fleet) -> Server:
    """The running primary of every major version in turn."""
    return fleet.primary(request.param)


@pytest.fixture(params=sorted(RELEASES))
def standby(request: pytest.FixtureRequest, fleet: Fleet) -> Server:
    """The running standby of every major version in turn."""
    return fleet.standby(request.param)
