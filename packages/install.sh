#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs, or upgrades, what lies beside it; as root, no network. Configuration and state that are there stay as they are.
set -eu
cd "$(dirname "$0")"
sha256sum --quiet --check SHA256SUMS
read -r side version <made-for
python=${PYTHON:-python3}
"$python" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" || {
  echo "made for Python $version, but $python is $("$python" --version 2>&1); name another with PYTHON=" >&2
  exit 1
}
"$python" -c 'import ensurepip' 2>/dev/null || { echo "the venv module is missing (Debian: python3-venv)" >&2; exit 1; }
[ "$side" = agent ] && state=/var/lib/collector || state=/var/lib/collector-center
getent passwd collector >/dev/null || useradd --system --home-dir "$state" --shell /usr/sbin/nologin collector
! getent group dialout >/dev/null || usermod --append --groups dialout collector
was_running=no
if [ -d /run/systemd/system ] && systemctl is-active --quiet "collector-$side"; then was_running=yes; systemctl stop "collector-$side"; fi
[ -x /opt/collector/bin/python ] || "$python" -m venv /opt/collector
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
/opt/collector/bin/pip uninstall --quiet --yes collector 2>/dev/null
/opt/collector/bin/pip install --quiet --no-index --find-links wheels --require-hashes -r requirements.txt
/opt/collector/bin/pip install --quiet --no-index --no-deps --force-reinstall wheels/ancillary_collector-*.whl
ln -sf /opt/collector/bin/collector /usr/local/bin/collector
install -d -m 0755 /opt/collector/docs && cp -r docs/. /opt/collector/docs/ && chmod -R u=rwX,go=rX /opt/collector/docs
install -d -o root -g collector -m 0750 /etc/collector
install -d -o collector -g collector -m 0750 "$state"
for file in config/*.toml; do
  [ -e "/etc/collector/$(basename "$file")" ] || install -o root -g collector -m 0640 "$file" /etc/collector/
done
if [ "$side" = agent ] && [ ! -d /etc/collector/points ]; then
  install -d -o root -g collector -m 0750 /etc/collector/points
  install -o root -g collector -m 0640 config/points/*.csv /etc/collector/points/
fi
install -d /etc/systemd/system && install -m 0644 systemd/* /etc/systemd/system/
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  [ "$was_running" = no ] || systemctl start "collector-$side"
fi
/opt/collector/bin/collector --version
[ "$was_running" = yes ] || echo "edit /etc/collector/$side.toml, then: systemctl enable --now collector-$side"
