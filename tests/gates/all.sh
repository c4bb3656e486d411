#!/usr/bin/env bash
# Runs the stages named as arguments, one line each; stops at the first failure and shows the end of its log.
set -u
cd "$(dirname "$0")/../.." || exit
logs=.build/log
mkdir -p "$logs"
passed=0 failed=0

# A run in CI starts with hosts of its own, whatever an earlier one may have left.
[ -z "${CI-}" ] || make --no-print-directory lab-down >/dev/null 2>&1 || true

# The first stage should not be billed for the installation, nor a failure there be blamed on it.
for stage in prepare "$@"; do
    start=$SECONDS
    if make --no-print-directory "$stage" >"$logs/$stage.log" 2>&1; then
        result=ok passed=$((passed + 1))
    else
        result=FAIL failed=$((failed + 1))
    fi
    printf '%-4s  %-12s %5d s\n' "$result" "$stage" $((SECONDS - start))
    [ "$result" = ok ] || {
        tail -n 100 "$logs/$stage.log"
        break
    }
done
# A developer may want to look at the hosts of a failed stage; nobody will in CI.
[ -z "${CI-}" ] || make --no-print-directory lab-down >/dev/null 2>&1
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
