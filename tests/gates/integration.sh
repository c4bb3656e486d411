#!/usr/bin/env bash
# ansible-test integration, in the copy, against the lab.
# usage: integration.sh [TARGET...]
set -eu
python=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
printf -- '---\nlab_inventory: %s\n' "$LAB_DIR/inventory.yml" >tests/integration/integration_config.yml
ansible-test integration --local --python "$python" --color no "$@"
