#!/usr/bin/env bash
# ansible-test sanity, in the copy. It succeeds although it skipped a test for want of a tool; we do not.
# One Python, so that the verdict does not depend on which others a machine has; the syntax and library of the
# oldest Python of a managed node are checked by ruff and types.sh.
set -eu -o pipefail
log=$BUILD/sanity.log
python=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ansible-test sanity --venv --python "$python" --color no "$@" 2>&1 | tee "$log"
# Tests that depend on en_US.UTF-8 are not among ours.
if grep -vE 'Using locale|Reviewing previous' "$log" | grep -E '^WARNING|[Ss]kipping|not found|could not be' >"$log.skipped"; then
    echo "sanity passed, but not everything ran:"
    cat "$log.skipped"
    exit 1
fi
