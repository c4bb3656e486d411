#!/usr/bin/env bash
# Two empty hosts become standbys; a second run changes nothing.
set -eu -o pipefail
python molecule/lab/lab.py install
python molecule/lab/lab.py up --standbys 2
python molecule/lab/lab.py reset

provision() {
    echo "== $1"
    ansible-playbook -i "$LAB_DIR/inventory.yml" -i molecule/default/inventory pgfleet.standby.provision_standbys |
        tee "$BUILD/demo.log"
}

provision "two empty hosts become standbys"
provision "and again: there is nothing left to do"
if grep -E 'changed=[1-9]' "$BUILD/demo.log"; then
    echo "the second run changed something"
    exit 1
fi
