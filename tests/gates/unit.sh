#!/usr/bin/env bash
# Unit tests, in the copy, with the tools' own Python: there is nothing to install then. Without a version
# ansible-test runs them with every Python that it finds on the machine.
# usage: unit.sh [FILE...]
set -eu -o pipefail
log=$BUILD/unit.log
python=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ansible-test units --local --python "$python" --color no ${COVERAGE:+--coverage} "$@" 2>&1 | tee "$log"
if grep 'All targets skipped' "$log" >/dev/null; then
    echo "there was no test to run"
    exit 1
fi
if grep -E '[0-9]+ skipped' "$log" >/dev/null; then
    echo "a skipped test proves nothing"
    exit 1
fi
[ -z "${COVERAGE-}" ] || ansible-test coverage report --omit 'tests/*'
