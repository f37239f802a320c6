#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# platforms.sh x86_64|aarch64: pip's options for every wheel that a glibc of Debian 12 takes, an argument a line.
set -eu
for glibc in 2_5 2_12 2_17 2_24 2_26 2_27 2_28 2_31 2_34; do printf '%s\n' --platform "manylinux_${glibc}_$1"; done
for old in manylinux1 manylinux2010 manylinux2014 linux; do printf '%s\n' --platform "${old}_$1"; done
