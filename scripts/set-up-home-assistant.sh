#!/bin/sh
# Makes .home-assistant/VERSION, the Home Assistant that tests/home_assistant starts, from its locked list.
# usage: scripts/set-up-home-assistant.sh [VERSION …]; without one, every version for which there is a Python.
# Each wants a Python of its own: 2024.3 wants 3.11, 2025.4 wants 3.13. One that is not there is said and passed over;
# if no Home Assistant can be had the exit status is 1.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 2024.3 2025.4

python_for() {
    case $1 in
    2024.3) wanted=3.11 ;;
    2025.4) wanted=3.13 ;;
    *) echo "set-up-home-assistant: there is no $1; there are 2024.3 and 2025.4" >&2 && exit 2 ;;
    esac
    for candidate in "python$wanted" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$wanted".*/bin/python; do
        if [ "$("$candidate" -c 'import ensurepip, sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$wanted" ]; then
            echo "$candidate"
            return
        fi
    done
    return 0
}

there=0
for version in "$@"; do
    list=requirements/home-assistant-$version.txt
    folder=.home-assistant/$version
    python=$(python_for "$version")
    if [ -e "$folder/.stamp" ] && [ -z "$(find "$list" -newer "$folder/.stamp")" ]; then
        there=1
    elif [ -z "$python" ]; then
        echo "Home Assistant $version is not set up: no Python for it (see scripts/set-up-home-assistant.sh)"
    else
        echo "Installing Home Assistant $version in $folder …"
        mkdir -p .home-assistant
        "$python" -m venv --clear "$folder"
        # Some of it is there as source only; setuptools and wheel, which build it, come first. What is never imported
        # is never compiled: that is half of the time.
        quick="--quiet --disable-pip-version-check --no-compile --no-deps --require-hashes"
        tools=$(mktemp)
        awk '/^[a-z]/ { tool = /^(setuptools|wheel)==/ } tool' "$list" >"$tools"
        # shellcheck disable=SC2086 # a list of words, here and below
        "$folder/bin/python" -m pip install $quick -r "$tools"
        rm "$tools"
        # shellcheck disable=SC2086
        "$folder/bin/python" -m pip install $quick --no-build-isolation --prefer-binary -r "$list"
        touch "$folder/.stamp"
        there=1
    fi
done
[ "$there" = 1 ]
