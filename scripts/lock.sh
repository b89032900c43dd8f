#!/bin/sh
# Locks the dependencies of pyproject.toml, with hashes, for every supported Python and platform.
# usage: scripts/lock.sh PYTHON [--upgrade]; versions stay as they are unless they must change or --upgrade is given.
set -eu
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python=$1
shift
"$python" -m venv "$tools"
"$tools/bin/python" -m pip --quiet --disable-pip-version-check install uv

compile() {
    "$tools/bin/uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --only-binary :all: \
        --generate-hashes --no-emit-index-url --no-header "$@"
}

# What the demo needs. sounddevice stays out: on Linux it wants PortAudio from the system.
compile "$@" --extra espeak --extra fast --extra web --group build --output-file requirements/run.txt
compile "$@" --extra espeak --extra fast --extra mcp --extra postgres --extra web --group build \
    --constraint requirements/run.txt --output-file requirements/image.txt
compile "$@" --extra espeak --extra fast --extra mcp --extra pocketsphinx --extra postgres --extra web --group dev \
    --constraint requirements/run.txt --output-file requirements/dev.txt

# The Home Assistants that the tests start, each for the Python that it wants, on Linux.
for version in 2024.3:3.11 2025.4:3.13; do
    list=requirements/home-assistant-${version%:*}
    "$tools/bin/uv" pip compile "$list.in" --quiet --python-version "${version#*:}" --python-platform linux \
        --generate-hashes --no-emit-index-url --no-header "$@" --output-file "$list.txt"
done
