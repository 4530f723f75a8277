#!/bin/sh
# Makes sure that a PostgreSQL server is on this machine, for the tests of the store. It is not started here: each test
# starts one of its own in a directory of its own.
set -eu

for candidate in /usr/lib/postgresql/*/bin/initdb /usr/local/bin/initdb /usr/bin/initdb; do
	[ -x "$candidate" ] && exit 0
done
if [ "$(id -u)" -ne 0 ]; then
	echo "the tests of the store need PostgreSQL, which is not installed; on Debian: sudo apt-get install postgresql" >&2
	exit 1
fi
echo "installing PostgreSQL"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql >/dev/null
