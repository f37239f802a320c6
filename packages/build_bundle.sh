#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Everything a machine without internet needs, in one file: packages/build_bundle.sh agent|center OUT
#
# Wheels with their hashes, units, samples, manuals, and install.sh, which checks every file first. For another processor or
# Python: ARCH=arm64 (or MACHINE=aarch64) PYTHON_VERSION=3.12. Nothing is compiled, so any machine can make the bundle of any other.
set -euo pipefail
cd "$(dirname "$0")/.."
side=$1 out=$2
case ${ARCH:-} in amd64) own=x86_64 ;; arm64) own=aarch64 ;; *) own=$(uname -m) ;; esac
machine=${MACHINE:-$own} version=${PYTHON_VERSION:-3.11} python=${HOST_PYTHON:-.venv/bin/python}
mapfile -t platforms < <(packages/platforms.sh "$machine")
name=collector-$side-$("$python" -c 'import collector; print(collector.__version__)')-$machine-py$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bundle=$work/$name
mkdir -p "$bundle/wheels" "$out" build/wheelhouse
echo "fetching the wheels of $side that are not in build/wheelhouse (agent: about 40 MB; center: about 120 MB)"
PIP_CONSTRAINT='' "$python" -m pip download --quiet --disable-pip-version-check --only-binary :all: --no-deps \
  --implementation cp --python-version "$version" "${platforms[@]}" --find-links build/wheelhouse --dest "$bundle/wheels" \
  --require-hashes -r "requirements/$side.txt"
cp -n "$bundle"/wheels/*.whl build/wheelhouse/ || true
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --wheel-dir "$bundle/wheels" .
cp "requirements/$side.txt" "$bundle/requirements.txt"
cp packages/install.sh "$bundle/install.sh" && chmod 0755 "$bundle/install.sh"
mkdir "$bundle/docs" "$bundle/systemd" "$bundle/config"
cp README*.md docs/*.md docs/wire-vectors.json "$bundle/docs/" && cp -r docs/decisions docs/examples docs/screens config/monitoring "$bundle/docs/"
if [ "$side" = agent ]; then cp systemd/collector-agent.* "$bundle/systemd/"; cp -r config/agent.toml config/points "$bundle/config/"
else cp systemd/collector-center.* systemd/collector-close.* "$bundle/systemd/"; cp -r config/center.toml config/mosquitto "$bundle/config/"; fi
printf '%s %s\n' "$side" "$version" >"$bundle/made-for"
(cd "$bundle" && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum >SHA256SUMS)
tar -C "$work" --sort=name --owner=0 --group=0 --mtime="@$(git log -1 --format=%ct)" -czf "$out/$name.tar.gz" "$name"
echo "$out/$name.tar.gz: $(du -h "$out/$name.tar.gz" | cut -f1)"
