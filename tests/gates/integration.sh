#!/usr/bin/env bash
# ansible-test integration, in the copy, against the lab.
# usage: integration.sh [TARGET...]
# The two standbys that it works on are made empty first.
set -eu -o pipefail
log=$BUILD/integration.log
python=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
read -ra standbys <<<"${INTEGRATION_STANDBYS:-n1 n2}"
python molecule/lab/lab.py reset "${standbys[@]}"
printf -- '---\nlab_inventory: %s\nlab_standbys: [%s, %s]\n' "$LAB_DIR/inventory.yml" "${standbys[@]}" \
    >tests/integration/integration_config.yml
ansible-test integration --local --python "$python" --color no --continue-on-error "$@" 2>&1 | tee "$log"
if grep 'All targets skipped' "$log" >/dev/null; then
    echo "there was no test to run"
    exit 1
fi
