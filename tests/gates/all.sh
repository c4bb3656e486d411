#!/usr/bin/env bash
# Runs the stages named as arguments, one line each; stops at the first failure and shows the end of its log.
set -u
cd "$(dirname "$0")/../.." || exit
logs=.build/log
mkdir -p "$logs"
passed=0 failed=0 images='' beside=''

# A run in CI starts with hosts of its own, whatever an earlier one may have left.
[ -z "${CI-}" ] || make --no-print-directory lab-down >/dev/null 2>&1 || true

# The images of the releases' labs take minutes, most of them waiting for a mirror: they are built beside the stages
# that come before.
build_early() {
    case " $* " in *" releases "*) ;; *) return ;; esac
    { nice make --no-print-directory release-images && echo complete; } >"$logs/release-images.log" 2>&1 &
    images=$!
    # Ends it between two images; the one that is being built becomes complete, and the next run finds it.
    trap '[ -z "$images" ] || kill "$images" 2>/dev/null' EXIT
}

# Plays on hosts of their own, which mostly wait: `releases` runs beside the plays on the lab's hosts, from the first of
# these on. What both need is there by then, so that it changes nothing under the other's feet.
begin_beside() {
    [ -n "$images" ] && [ -z "$beside" ] || return 0
    [ "$1" = integration ] || [ "$1" = releases ] || return 0
    export images logs
    export -f wait_for_images
    setsid bash -c 'wait_for_images && exec make --no-print-directory -o prepare -o release-images releases' \
        >"$logs/releases.log" 2>&1 &
    beside=$!
}

wait_for_images() {
    while kill -0 "$images" 2>/dev/null; do sleep 1; done
    tail -n 1 "$logs/release-images.log" | grep -qx complete || {
        cat "$logs/release-images.log"
        return 1
    }
}

# run STAGE: to its end, or to the end of what has begun before
run() {
    if [ "$1" = releases ] && [ -n "$beside" ]; then
        wait "$beside"
    else
        make --no-print-directory "$1" >"$logs/$1.log" 2>&1
    fi
}

# The first stage should not be billed for the installation, nor a failure there be blamed on it.
for stage in prepare "$@"; do
    start=$SECONDS
    begin_beside "$stage"
    if run "$stage"; then
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
[ -z "$beside" ] || kill -- "-$beside" 2>/dev/null
# A developer may want to look at the hosts of a failed stage; nobody will in CI.
[ -z "${CI-}" ] || make --no-print-directory lab-down >/dev/null 2>&1
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
