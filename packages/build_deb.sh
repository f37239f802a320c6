#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# One Debian package: packages/build_deb.sh agent|center OUT [COMMIT]
#
# Built as root in a bare root of the Debian release it is for (mmdebstrap), so that the virtual environment under
# /opt has that release's Python and the paths it will have. COMMIT: default what is checked out; an older one is made
# by the same recipe. The wheels are those of requirements/*.txt with their hashes, kept in build/wheelhouse.
# SUITE: bookworm (12) or trixie (13). ARCH: amd64 or arm64, default the machine's own. Nothing of the other processor
# runs: its wheels are put into its environment by this processor's pip, which is told the other platform's name.
set -euo pipefail
cd "$(dirname "$0")/.."
side=$1 out=$2 commit=${3:-HEAD}
suite=${SUITE:-bookworm} own=$(dpkg --print-architecture)
arch=${ARCH:-$own}
case $arch in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; *) echo "ARCH is amd64 or arm64, not $arch" >&2; exit 2 ;; esac
work=$(mktemp -d /var/tmp/collector-deb.XXXXXX)
trap 'rm -rf "$work"' EXIT
name=collector-$side opt=/opt/collector-$side
root=${ROOT_TAR:-build/$suite-$own.tar}
mkdir -p build/wheelhouse "$out"

[ -f "$root" ] || {
  echo "making a bare root of $suite (about 60 MB are fetched)"
  mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,systemd-standalone-sysusers,systemd-standalone-tmpfiles,procps \
    "$suite" "${root%.tar}.part.tar"
  mv "${root%.tar}.part.tar" "$root" # a half-made one is never taken for the root
}
mkdir "$work/root" "$work/source" "$work/pkg"
tar -C "$work/root" -xf "$root" --exclude=./dev/*
git archive "$commit" | tar -C "$work/source" -x
if [ -f "$work/source/setup.py" ]; then git rev-parse --short=12 "$commit" >"$work/source/collector/base/commit.txt"; fi
python=$(basename "$(readlink "$work/root/usr/bin/python3")")

# The wheels: by hash where that commit has lock files, else at the versions it pins.
lock=$work/source/requirements/$side.txt
host=${HOST_PYTHON:-.venv/bin/python}
fetch=(env PIP_CONSTRAINT= "$host" -m pip download --quiet --disable-pip-version-check --python-version "${python#python}"
  --only-binary :all: --find-links build/wheelhouse)
if [ "$arch" != "$own" ]; then mapfile -t platforms < <(packages/platforms.sh "$machine"); fi
wheels=$work/root/wheels
if [ -f "$lock" ]; then
  echo "fetching the wheels of $side (agent: about 40 MB; center: about 110 MB), those not in build/wheelhouse"
  "${fetch[@]}" --dest build/wheelhouse --require-hashes -r "$lock"
  if [ "$arch" != "$own" ]; then "${fetch[@]}" --implementation cp --no-deps "${platforms[@]}" --dest build/wheelhouse --require-hashes -r "$lock"; fi
  mkdir "$wheels" && cp build/wheelhouse/*.whl "$wheels/"
  in_root=(--require-hashes -r "/source/requirements/$side.txt")
elif [ "$arch" != "$own" ]; then
  echo "$commit has no lock files: it is built for $own only" >&2
  exit 1
else
  mkdir "$wheels"
  mapfile -t required < <("$host" packages/requirements_of.py "$work/source/pyproject.toml" "$side")
  "${fetch[@]}" --dest "$wheels" --constraint "$work/source/constraints.txt" "${required[@]}"
  mapfile -t in_root < <(cd "$wheels" && printf '/wheels/%s\n' *.whl)
fi

cp -a "$work/source" "$work/root/source"
native=$opt
if [ "$arch" != "$own" ]; then native=/native; fi
cat >"$work/root/build.sh" <<SH
set -eu
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
environment() {
  $python -m venv \$1
  \$1/bin/pip install --quiet --no-index --find-links /wheels ${in_root[*]}
  \$1/bin/pip install --quiet --no-index --no-deps --no-build-isolation /source
}
# What the program says of itself is the same on every processor: this one's tells it.
environment $native
if [ -f /source/packages/manpages.py ]; then $native/bin/python /source/packages/manpages.py /man; fi
$native/bin/python -c 'from importlib.metadata import distribution as d; import collector
print(getattr(collector, "__version__", None) or d("collector").version)' >/version
# Python's own way of building for another processor: sysconfig, and by it pip, believes this name of the platform.
if [ $native != $opt ]; then (export _PYTHON_HOST_PLATFORM=linux-$machine; environment $opt); fi
$opt/bin/pip uninstall --quiet --yes setuptools pip
find $opt -name __pycache__ -prune -exec rm -rf {} +
find $opt/lib -type d \( -name tests -o -name test \) -path '*site-packages*' -prune -exec rm -rf {} +
$python -m compileall -q --invalidation-mode unchecked-hash $opt/lib || true
SH
mkdir -p "$work/root/dev" && for each in null:3 zero:5 urandom:9; do
  mknod -m 666 "$work/root/dev/${each%:*}" c 1 "${each#*:}"; done
# Nothing of this machine's settings goes in: pip reads its own from the environment.
unshare --net --mount --pid --fork env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 chroot "$work/root" /bin/sh /build.sh

# What the package holds.
pkg=$work/pkg
mkdir -p "$pkg/opt" "$pkg/DEBIAN" "$pkg/usr/lib/systemd/system" "$pkg/usr/lib/sysusers.d" "$pkg/usr/lib/tmpfiles.d" \
  "$pkg/etc/collector" "$pkg/usr/share/doc/$name"
cp -a "$work/root$opt" "$pkg/opt/"
# Where both sides are installed, each has the same pages: they go with the program that is chosen (postinst).
if [ -d "$work/root/man" ]; then
  mkdir -p "$pkg$opt/share/man/man1" && cp "$work/root"/man/*.1 "$pkg$opt/share/man/man1/" && gzip -9n "$pkg$opt"/share/man/man1/*.1
fi
for unit in "$work/source"/systemd/*; do
  case $side/$(basename "$unit") in agent/collector-agent.*|center/collector-center.*|center/collector-close.*)
    sed -e "s#/opt/collector/bin/#$opt/bin/#g" -e "s#file:/opt/collector/docs/#file:/usr/share/doc/$name/#" \
      "$unit" >"$pkg/usr/lib/systemd/system/$(basename "$unit")" ;; esac
done
# Manuals with what they show and link to, where that commit has it.
doc=$pkg/usr/share/doc/$name
cp "$work/source"/docs/*.md "$work/source"/README*.md "$doc/"
for part in wire-vectors.json decisions examples screens; do
  if [ -e "$work/source/docs/$part" ]; then cp -r "$work/source/docs/$part" "$doc/"; fi
done
if [ -d "$work/source/config/monitoring" ]; then cp -r "$work/source/config/monitoring" "$doc/"; fi
gzip -9n <"$work/source/CHANGELOG.md" >"$pkg/usr/share/doc/$name/changelog.gz"
cat packages/copyright >"$pkg/usr/share/doc/$name/copyright"
sed "s/@NAME@/$name/g" packages/sysusers.conf >"$pkg/usr/lib/sysusers.d/$name.conf"
cp "packages/tmpfiles-$side.conf" "$pkg/usr/lib/tmpfiles.d/$name.conf"
cp "$work/source/config/$side.toml" "$pkg/etc/collector/$side.toml"
if [ "$side" = agent ]; then mkdir "$pkg/etc/collector/points" && cp "$work/source"/config/points/*.csv "$pkg/etc/collector/points/"
else mkdir -p "$doc/examples" && cp -r "$work/source/config/mosquitto" "$doc/examples/"; fi
(cd "$pkg" && find etc -type f | sort | sed 's#^#/#') >"$pkg/DEBIAN/conffiles"
for script in postinst prerm postrm; do
  sed -e "s/@NAME@/$name/g" -e "s/@SIDE@/$side/g" "packages/$script" >"$pkg/DEBIAN/$script" && chmod 0755 "$pkg/DEBIAN/$script"; done
version=$(sed 's/\.dev/~dev/' "$work/root/version")+$(. "$work/root/etc/os-release" && echo "deb$VERSION_ID")
recommended="systemd-timesyncd | time-daemon"
if [ "$side" = center ]; then recommended="mosquitto, $recommended"; fi
next=${python#python3.}; next=$((next + 1))
cat >"$pkg/DEBIAN/control" <<CONTROL
Package: $name
Version: $version
Architecture: $arch
Maintainer: collector developers <collector@example.org>
Section: misc
Priority: optional
Installed-Size: $(du -sk "$pkg/opt" | cut -f1)
Depends: python3 (>= 3.${python#python3.}), python3 (<< 3.$next), systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles, procps, libc6, libgcc-s1, libstdc++6, zlib1g
Recommends: $recommended
Homepage: https://example.org/collector
Description: $(sed -n "s/^$side: //p" packages/descriptions)
 Reads generating units' devices, keeps every record until the dispatch
 center has it, and settles the ancillary services of the East China rules
 to the fen. This is the $side side.
CONTROL
find "$pkg" -type d -exec chmod 0755 {} + && find "$pkg/etc" "$pkg/usr" -type f -exec chmod 0644 {} +
(cd "$pkg" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$pkg/DEBIAN/md5sums"
# zstd, which dpkg of Debian 12 reads: 3 s where xz takes 40, for a package larger by 9 % (measured on the agent's).
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$commit") dpkg-deb --root-owner-group -Zzstd -z9 --build "$pkg" "$out/${name}_${version}_$arch.deb"
