#!/usr/bin/env bash
# Runs the stages named as arguments, one line each; stops at the first failure and shows the end of its log.
set -u
cd "$(dirname "$0")/../.." || exit
logs=.build/log
mkdir -p "$logs"
passed=0 failed=0 images=

# A run in CI starts with hosts of its own, whatever an earlier one may have left.
[ -z "${CI-}" ] || make --no-print-directory lab-down >/dev/null 2>&1 || true

# The images of the releases' labs take minutes, most of them waiting for a mirror: they are built beside the stages
# that come before.
build_early() {
    case " $* " in *" releases "*) ;; *) return ;; esac
    nice make --no-print-directory release-images >"$logs/release-images.log" 2>&1 &
    images=$!
    # Ends it between two images; the one that is being built becomes complete, and the next run finds it.
    trap '[ -z "$images" ] || kill "$images" 2>/dev/null' EXIT
}

# built_for STAGE: waits for them where the stage needs them; a build that failed is the stage's failure
built_for() {
    [ "$1" = releases ] && [ -n "$images" ] || return 0
    wait "$images" || {
        cp "$logs/release-images.log" "$logs/releases.log"
        images=
        return 1
    }
    images=
}

# The first stage should not be billed for the installation, nor a failure there be blamed on it.
for stage in prepare "$@"; do
    start=$SECONDS
    if built_for "$stage" && make --no-print-directory "$stage" >"$logs/$stage.log" 2>&1; then
        result=ok passed=$((passed + 1))
    else
        result=FAIL failed=$((failed + 1))
    fi
    printf '%-4s  %-12s %5d s\n' "$result" "$stage" $((SECONDS - start))
    [ "$stage $result" != "prepare ok" ] || build_early "$@"
    [ "$result" = ok ] || {
        tail -n 100 "$logs/$stage.log"
        break
    }
done
# A developer may want to look at the hosts of a failed stage; nobody will in CI.
[ -z "${CI-}" ] || make --no-print-directory lab-down >/dev/null 2>&1
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
