#!/usr/bin/env bash
# Tests against a real server of every major version, in the copy.
# usage: servers.sh [FILE...]
# The servers are npm packages: npm comes from the distribution where there is none.
set -eu -o pipefail
log=$BUILD/servers.log
command -v npm >/dev/null || {
    echo "installing npm"
    sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo apt-get -qq update
    DEBIAN_FRONTEND=noninteractive $sudo apt-get -qq install -y --no-install-recommends npm >"$BUILD/apt.log" 2>&1 || {
        cat "$BUILD/apt.log"
        exit 1
    }
}
python tests/servers/releases.py
[ $# -gt 0 ] || set -- tests/servers
pytest -v -p no:cacheprovider -n 2 --dist loadfile -m 'not long' --durations 10 "$@" 2>&1 | tee "$log"
if grep -E '[0-9]+ skipped' "$log" >/dev/null; then
    echo "a skipped test proves nothing"
    exit 1
fi
[ "$*" != tests/servers ] || python tests/gates/versions.py servers "$BUILD/records" docs/versions.md
