#!/usr/bin/env bash
# The molecule scenarios, in the copy, against the lab.
# usage: molecule.sh [SCENARIO]
set -eu
if [ $# -gt 0 ]; then
    molecule test --scenario-name "$1"
else
    molecule test --all
fi
