#!/usr/bin/env bash
# Static checks, in the copy. All of them run, so that one round shows everything; then the worst status counts.
set -u
status=0
check() {
    local output
    # Some tools print as they succeed; only a failure's output is worth reading.
    if output=$("$@" 2>&1); then
        echo "ok    $1 ${2-}"
    else
        printf 'FAIL  %s\n%s\n' "$*" "$output"
        status=1
    fi
}

shell_scripts() {
    git ls-files --cached --others --exclude-standard | while read -r path; do
        # Jinja templates of scripts are not shell yet.
        case $path in *.j2 | *.yml | *.py) continue ;; esac
        if head -n 1 "$path" | grep -Eq '^#!.*\b(ba|da)?sh\b'; then echo "$path"; fi
    done
}

check ruff format --check .
check ruff check .
check yamllint -s .
check ansible-lint -q --nocolor
check antsibull-changelog lint
check antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=all .
mapfile -t scripts < <(shell_scripts)
check shellcheck "${scripts[@]}"
exit "$status"
