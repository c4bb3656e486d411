#!/usr/bin/env bash
# Software: ansible-core 2.19.14 (PyPI)
# Guess: a module that ends with exit_json may return a list called `unreachable` (say, of standbys that did not answer) or
#   `skipped` as it may return any other key.
# Seen: a list that is not empty under `unreachable` makes ansible-core treat the host as one that it cannot log in to. The
#   host leaves the play after a task that worked: no later task, no rescue, no ignore_errors, exit status 4. Under `skipped`
#   the task is shown as "skipping", and the change that it made is not counted.
# Source: Ansible documentation, "Return Values", section "Common", which has no `unreachable` and says of `skipped` that it
#   is a boolean; "Blocks", which says that rescue is not run for unreachable hosts.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

packages ansible-core==2.19.14
mkdir "$work/play"
cat >"$work/play/fleet_state.py" <<'MODULE'
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({"result": {"type": "dict"}})
module.exit_json(changed=True, **module.params["result"])
MODULE
cat >"$work/play/play.yml" <<'PLAY'
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - fleet_state:
            result: "{{ result }}"
          ignore_errors: true
      rescue:
        - debug:
            msg: the rescue ran
    - debug:
        msg: the next task ran
PLAY

# play KEY: run it with a module that returns a list of one name under this key.
play() {
    status=0
    output=$(cd "$work/play" && env --unset=ANSIBLE_CONFIG HOME="$work" LC_ALL=C.UTF-8 ANSIBLE_LIBRARY="$work/play" ANSIBLE_NOCOLOR=1 \
        "$venv/bin/ansible-playbook" --inventory n1, --connection local --extra-vars "ansible_python_interpreter=$venv/bin/python" \
        --extra-vars "{\"result\": {\"$1\": [\"n2\"]}}" play.yml 2>&1) || status=$?
    recap=$(grep '^n1 ' <<<"$output" | tr --squeeze-repeats ' ')
}

# count WORDS: in how many lines of the output they are.
count() { grep --count "$1" <<<"$output" || true; }

play lagging
same "key lagging: exit status" "$status" 0
same "key lagging: the next task ran" "$(count 'the next task ran')" 1

play unreachable
same "key unreachable: exit status" "$status" 4
holds "key unreachable: recap" "$recap" "ok=0 changed=0 unreachable=1 failed=0"
same "key unreachable: the rescue ran" "$(count 'the rescue ran')" 0
same "key unreachable: the next task ran" "$(count 'the next task ran')" 0

play skipped
same "key skipped: exit status" "$status" 0
holds "key skipped: the task is shown as" "$(grep -A 1 'fleet_state' <<<"$output" | tail -n 1)" "skipping: [n1]"
holds "key skipped: recap" "$recap" "changed=0 unreachable=0 failed=0 skipped=1"
verdict
