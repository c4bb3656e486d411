#!/usr/bin/env bash
# Unit tests, in the copy, with the tools' own Python: there is nothing to install then. Without a version
# ansible-test runs them with every Python that it finds on the machine.
# usage: unit.sh [FILE...]
set -eu
python=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ansible-test units --local --python "$python" --color no ${COVERAGE:+--coverage} "$@"
[ -z "${COVERAGE-}" ] || ansible-test coverage report --omit 'tests/*'
