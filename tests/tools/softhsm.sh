#!/usr/bin/env bash
# Runs a command with a fresh SoftHSM token: label `portcullis-test`, PIN `1234`. Installs SoftHSM if it is missing.
set -euo pipefail

if ! command -v softhsm2-util >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq softhsm2 >/dev/null
fi
home=$(mktemp -d /tmp/pc-softhsm-XXXXXX)
trap 'rm -rf "$home"' EXIT
mkdir "$home/tokens"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$home/tokens" >"$home/softhsm2.conf"
export SOFTHSM2_CONF=$home/softhsm2.conf
softhsm2-util --init-token --free --label portcullis-test --so-pin 12345678 --pin 1234 >/dev/null
"$@"
