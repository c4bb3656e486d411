#!/usr/bin/env bash
# Makes what every gate needs under .build/: tools, dependency collections, and a copy of the checkout in the
# place where Ansible looks for it. Each part is made once and again only when its requirements change.
# usage: prepare.sh [importer]     with `importer`, the environment of galaxy-importer as well
set -eu
cd "$(dirname "$0")/../.."
build=$PWD/.build
export HOME=$build/home PIP_DISABLE_PIP_VERSION_CHECK=1 DEBIAN_FRONTEND=noninteractive
mkdir -p "$HOME" "$build/collections/ansible_collections"

# Two gates started at once must not build the same environment.
exec 9>"$build/lock"
flock 9

# stale NAME FILE: is what was made from FILE missing or outdated?
stale() { ! cmp -s "$2" "$build/$1.stamp"; }
done_with() { cp "$2" "$build/$1.stamp"; }

packages() {
    local missing=()
    "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    # Without shellcheck ansible-test skips its shell test with a warning and succeeds.
    command -v shellcheck >/dev/null || missing+=(shellcheck)
    command -v ssh >/dev/null || missing+=(openssh-client)
    command -v rsync >/dev/null || missing+=(rsync)
    # Backups are packed by these.
    command -v lz4 >/dev/null || missing+=(lz4)
    command -v zstd >/dev/null || missing+=(zstd)
    [ ${#missing[@]} -eq 0 ] && return
    echo "installing ${missing[*]}"
    local sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo apt-get -qq update
    $sudo apt-get -qq install -y --no-install-recommends "${missing[@]}" >"$build/apt.log" 2>&1 || {
        cat "$build/apt.log"
        return 1
    }
}

# environment NAME FILE: a virtual environment with exactly the pinned packages
environment() {
    stale "$1" "$2" || return 0
    echo "building .build/$1 from $2"
    rm -rf "${build:?}/$1"
    "$python" -m venv "$build/$1"
    "$build/$1/bin/pip" install -q --no-deps -r "$2"
    "$build/$1/bin/pip" check
    done_with "$1" "$2"
}

# The community package is half a gigabyte unpacked; we take the few megabytes that we depend on.
collections() {
    local pins=requirements/collections.txt
    stale collections "$pins" || return 0
    echo "unpacking the collections that ours depends on"
    rm -rf "$build/download"
    "$build/venv/bin/pip" download -q --no-deps -d "$build/download" -r "$pins"
    "$build/venv/bin/python" tests/gates/unpack_collections.py \
        "$build"/download/ansible-*.whl "$build/collections" community.postgresql
    rm -rf "$build/download"
    done_with collections "$pins"
}

# Not the Python of the environment that may be rebuilt here, which make puts first.
PATH=${PATH//$build\/venv\/bin:/}
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "$python is older than Python 3.11; set PYTHON to a newer one" >&2
    exit 1
}
packages
environment venv requirements/tools.txt
environment venv-mypy38 requirements/mypy38.txt
[ "${1-}" != importer ] || environment venv-importer requirements/importer.txt
collections
"$build/venv/bin/python" tests/gates/sync_copy.py "$build/collections/ansible_collections/pgfleet/standby"
"$build/venv/bin/python" tests/gates/get_pip.py --into "$HOME/.ansible/test/cache"
