#!/bin/sh
# Makes .venv with the locked dependencies and the gateway itself, editable.
# usage: scripts/set-up.sh PYTHON run|dev
set -eu
python=$1
kind=$2

fail() {
    echo "set-up: $*" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 ||
    fail "there is no '$python'. Install Python 3.11 or newer, or name it: make PYTHON=python3.12 …"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed, and '$python' is $("$python" -V 2>&1). Name another: make PYTHON=python3.12 …"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "'$python' cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"

version='import sys; print(*sys.version_info[:2])'
if [ "$(.venv/bin/python -c "$version" 2>/dev/null)" != "$("$python" -c "$version")" ]; then
    echo "Making .venv with $("$python" -V) …"
    "$python" -m venv --clear .venv
fi

pip() {
    .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"
}

echo "Installing requirements/$kind.txt …"
# Wheels only: no compiler is needed, and what cannot be had as a wheel is said at once. The lists are complete.
pip install --no-deps --require-hashes --only-binary :all: -r "requirements/$kind.txt"
pip install --no-deps --no-build-isolation -e .

touch .venv/.run-stamp ".venv/.$kind-stamp"
