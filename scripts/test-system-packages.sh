#!/bin/sh
# Sees to the programs that tests start: installs what is missing where that is possible, else says what is skipped.
# With CI=true a missing one is an error.
set -eu

found() {
    case $1 in
    postgresql) command -v initdb || ls /usr/lib/postgresql/*/bin/initdb ;;
    mosquitto) PATH=$PATH:/usr/sbin command -v mosquitto ;;
    mosquitto-clients) command -v mosquitto_pub ;;
    *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

missing() {
    for package in mosquitto mosquitto-clients espeak-ng postgresql; do
        found $package || echo $package
    done
}

wanted=$(missing | xargs)
[ -n "$wanted" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    root=
elif sudo -n true 2>/dev/null; then
    root=sudo
else
    root=none
fi
if [ "$root" != none ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing for the tests: $wanted …"
    # shellcheck disable=SC2086 # empty or one word; a list of words
    {
        $root apt-get -qq update || true
        $root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends $wanted >/dev/null ||
            echo "apt-get could not install them"
    } >&2
    wanted=$(missing | xargs)
fi

[ -n "$wanted" ] || exit 0
if [ "${CI:-}" = true ]; then
    echo "missing, and CI skips nothing: $wanted" >&2
    exit 1
fi
echo "Not here, so the tests on them are skipped: $wanted"
