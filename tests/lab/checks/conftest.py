"""The standby that is asked, and an upstream of our own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from clone_on_host import PLACE, Clone
from compatibility import PRELUDE, WORK, Upstream
from lab import Lab
from standby_host import BINDIR, HOST


@pytest.fixture(scope="module")
def clone(lab: Lab) -> Iterator[Clone]:
    lab.reset(HOST)
    yield Clone.on(lab)
    lab.reset(HOST)


@pytest.fixture(scope="module")
def own(clone: Clone) -> Iterator[Upstream]:
    upstream = Upstream(clone.host)
    upstream.make()
    yield upstream
    upstream.pg_ctl("stop", check=False)
    clone.host.run(["rm", "-rf", WORK])


@pytest.fixture
def here(clone: Clone):
    """Evaluates an expression on the standby's host as its database user."""

    def evaluate(expression: str, *env: str, **given: object) -> Any:
        argv = ["env", *env, f"PYTHONPATH={PLACE}/lib", "python3", "-c", PRELUDE.replace("{}", expression, 1)]
        done = clone.host.run([*argv, json.dumps({"bindir": BINDIR, **given})], user="postgres")
        return json.loads(done.stdout)

    return evaluate
