#!/usr/bin/env bash
# Builds the collection from the copy, and judges what a user would install. The result stays under
# .build/artifact/: the tarball, and ansible_collections/ with the tarball installed, for the gates that use it.
set -eu -o pipefail
out=$BUILD/artifact
rm -rf "$out"
mkdir -p "$out"

ansible-galaxy collection build . --output-path "$out"
tarball=$(echo "$out"/pgfleet-standby-*.tar.gz)
python "$GATES/check_artifact.py" "$tarball"

# --force: the copy in .build/collections has the same version. --no-deps: the dependencies are there already, and
# there may be no Galaxy server to ask.
ansible-galaxy collection install "$tarball" --force --no-deps --offline -p "$out" >"$out/install.log" 2>&1 || {
    cat "$out/install.log"
    exit 1
}

# galaxy-importer succeeds whatever it finds, so its log is the verdict. It brings its own ansible-lint.
(
    cd "$out"
    PATH=$BUILD/venv-importer/bin:$PATH GALAXY_IMPORTER_CONFIG=$GATES/galaxy-importer.cfg \
        python -m galaxy_importer.main "$tarball" 2>&1
) | tee "$out/importer.log"
if grep -E 'WARNING|ERROR' "$out/importer.log" >"$out/importer.findings"; then
    echo "galaxy-importer has something to say:"
    cat "$out/importer.findings"
    exit 1
fi
grep -q 'Importer processing completed successfully' "$out/importer.log"

# What an execution environment that holds the collection will be given.
ansible-builder introspect "$out" >"$out/introspect.yml"
for dependency in psycopg2-binary rsync openssh-client; do
    grep -Eq -- "^- '?$dependency\b" "$out/introspect.yml" || {
        echo "ansible-builder does not see the dependency $dependency:"
        cat "$out/introspect.yml"
        exit 1
    }
done
echo "$(basename "$tarball") is fit to publish"
