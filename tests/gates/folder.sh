#!/usr/bin/env bash
# The tests of a folder that is a stage of its own, in the copy.
# usage: folder.sh STAGE [FILE...]     STAGE is the folder's name in tests/
set -eu -o pipefail
stage=$1
shift
log=$BUILD/$stage.log
[ $# -gt 0 ] || set -- "tests/$stage"
pytest -v -p no:cacheprovider -n 2 --durations 10 "$@" 2>&1 | tee "$log"
if grep -E '[0-9]+ skipped' "$log" >/dev/null; then
    echo "a skipped test proves nothing"
    exit 1
fi
