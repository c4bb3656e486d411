#!/usr/bin/env bash
# Static checks, in the copy. All of them run, so that one round shows everything, and side by side, for most of the
# time goes into two of them; then the worst status counts.
set -u
status=0
outputs=$(mktemp -d)
trap 'rm -rf "$outputs"' EXIT
commands=() jobs=()

# begin COMMAND...
begin() {
    "$@" >"$outputs/${#jobs[@]}" 2>&1 &
    jobs+=($!)
    commands+=("$*")
}

# In the order of their beginning. Some tools print as they succeed; only a failure's output is worth reading.
tell() {
    local number
    for number in "${!jobs[@]}"; do
        if wait "${jobs[number]}"; then
            echo "ok    $(cut -d ' ' -f 1-2 <<<"${commands[number]}")"
        else
            echo "FAIL  ${commands[number]}"
            cat "$outputs/$number"
            status=1
        fi
    done
}

shell_scripts() {
    git ls-files --cached --others --exclude-standard | while read -r path; do
        # Jinja templates of scripts are not shell yet.
        case $path in *.j2 | *.yml | *.py) continue ;; esac
        if head -n 1 "$path" | grep -Eq '^#!.*\b(ba|da)?sh\b'; then echo "$path"; fi
    done
}

begin ansible-lint -q --nocolor
begin antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=all .
begin ruff format --check .
begin ruff check .
begin yamllint -s .
begin antsibull-changelog lint
mapfile -t scripts < <(shell_scripts)
begin shellcheck "${scripts[@]}"
tell
exit "$status"
