#!/usr/bin/env bash
# Generated states of a host against the real modules, in the copy.
# usage: explorer.sh [FILE...]
# Every run of `make test` has the same states, so that what fails is of the change. EXPLORER_SEED=NUMBER makes others,
# EXPLORER_SEED=fresh those of a seed that nobody has tried, EXPLORER_TIMES=NUMBER more of them. States in which a rule
# broke are kept in $BUILD/explorer.
set -eu -o pipefail
log=$BUILD/explorer.log
[ "${EXPLORER_SEED-}" != fresh ] || EXPLORER_SEED=$((RANDOM << 15 | RANDOM))
export EXPLORER_SEED=${EXPLORER_SEED:-1} EXPLORER_KEPT=$BUILD/explorer
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
