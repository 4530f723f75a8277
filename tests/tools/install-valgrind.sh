#!/bin/sh
# Makes sure that valgrind is on this machine, which counts the instructions of the hot path.
set -eu

command -v valgrind >/dev/null && exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "counting instructions needs valgrind, which is not installed; on Debian: sudo apt-get install valgrind" >&2
	exit 1
fi
echo "installing valgrind"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends valgrind >/dev/null
