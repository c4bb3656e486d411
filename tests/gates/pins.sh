#!/usr/bin/env bash
# Resolves requirements/NAME.in anew and writes every release that came out into requirements/NAME.txt.
set -eu
cd "$(dirname "$0")/../.."
for name in tools importer mypy38; do
    fresh=$(mktemp -d)
    "${PYTHON:-python3}" -m venv "$fresh"
    "$fresh/bin/pip" install -q -r "requirements/$name.in"
    {
        echo "# Made by \`make pins\` from $name.in; installed without dependency resolution."
        "$fresh/bin/pip" freeze
    } >"requirements/$name.txt"
    rm -rf "$fresh"
done
