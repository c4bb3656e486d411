#!/usr/bin/env bash
# Generated states of a host against the real modules, in the copy.
# usage: explorer.sh [FILE...]
# EXPLORER_SEED=NUMBER makes the states of an earlier run. States in which a rule broke are kept in $BUILD/explorer.
set -eu -o pipefail
log=$BUILD/explorer.log
export EXPLORER_SEED=${EXPLORER_SEED:-$((RANDOM << 15 | RANDOM))} EXPLORER_KEPT=$BUILD/explorer
echo "EXPLORER_SEED=$EXPLORER_SEED"
[ $# -gt 0 ] || set -- tests/explorer
pytest -p no:cacheprovider -n 2 --dist worksteal --durations 15 "$@" 2>&1 | tee "$log" || {
    echo "the same states once more: EXPLORER_SEED=$EXPLORER_SEED make explorer"
    exit 1
}
if grep -E '[0-9]+ skipped' "$log" >/dev/null; then
    echo "a skipped test proves nothing"
    exit 1
fi
