#!/usr/bin/env bash
# Types, above the copy: what runs on managed nodes as Python 3.8 sees it, the rest as our own Python does.
set -u
status=0
our=ansible_collections/pgfleet/standby
check() {
    "$@" --config-file "$our/mypy.ini" --python-executable "$BUILD/venv/bin/python" || status=1
}

mapfile -t managed < <(find "$our/plugins" \( -path '*/modules/*' -o -path '*/module_utils/*' \) -name '*.py')
mapfile -t controller < <(find "$our/plugins" "$our/tests/gates" "$our/tests/servers" -name '*.py' \
    ! -path '*/modules/*' ! -path '*/module_utils/*')
check "$BUILD/venv-mypy38/bin/mypy" --cache-dir "$BUILD/cache/mypy38" --python-version 3.8 "${managed[@]}"
check mypy --cache-dir "$BUILD/cache/mypy" "${controller[@]}"
exit "$status"
