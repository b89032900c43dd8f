#!/bin/sh
# Sees to the programs that tests start and the compilers that the firmware's tests need: installs what is missing where
# that is possible, else says what is skipped. With CI=true a missing one is an error.
# With --has-firmware it only tells, by its exit status, whether all that `make firmware-test` needs is there.
set -eu

for_gateway="mosquitto mosquitto-clients espeak-ng postgresql"
for_firmware="g++ doctest-dev nlohmann-json3-dev clang libclang-rt-dev clang-format gcc-riscv64-unknown-elf"
for_virtual_board="libmpg123-dev libssl-dev"
for_page="chromium chromium-driver curl"

header() {
    echo "#include <$2>" | "$1" -fsyntax-only -x c++ -
}

found() {
    case $1 in
    postgresql) command -v initdb || ls /usr/lib/postgresql/*/bin/initdb ;;
    mosquitto) PATH=$PATH:/usr/sbin command -v mosquitto ;;
    mosquitto-clients) command -v mosquitto_pub ;;
    chromium-driver) command -v chromedriver ;;
    doctest-dev) header g++ doctest/doctest.h ;;
    nlohmann-json3-dev) header g++ nlohmann/json_fwd.hpp ;;
    # Sanitizers, libFuzzer and this header come in one package.
    libclang-rt-dev) header clang++ fuzzer/FuzzedDataProvider.h ;;
    gcc-riscv64-unknown-elf) command -v riscv64-unknown-elf-g++ ;;
    libmpg123-dev) header g++ mpg123.h ;;
    libssl-dev) header g++ openssl/ssl.h ;;
    *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

missing() {
    for package in "$@"; do
        found "$package" || echo "$package"
    done
}

# shellcheck disable=SC2086 # lists of words, here and below
if [ "${1:-}" = --has-firmware ]; then
    [ -z "$(missing $for_firmware)" ] && exit 0 || exit 1
fi

# shellcheck disable=SC2086
wanted=$(missing $for_gateway $for_firmware $for_virtual_board $for_page | xargs)
[ -n "$wanted" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    root=
elif sudo -n true 2>/dev/null; then
    root=sudo
else
    root=none
fi
if [ "$root" != none ] && command -v apt-get >/dev/null 2>&1; then
    install() {
        $root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@" >/dev/null
    }
    echo "Installing for the tests: $wanted …"
    # One name that this distribution does not know keeps apt-get from installing the others.
    # shellcheck disable=SC2086
    {
        $root apt-get -qq update || true
        install $wanted || for package in $wanted; do
            install "$package" || echo "apt-get could not install $package"
        done
    } >&2
    # shellcheck disable=SC2086
    wanted=$(missing $wanted | xargs)
fi

[ -n "$wanted" ] || exit 0
if [ "${CI:-}" = true ]; then
    echo "missing, and CI skips nothing: $wanted" >&2
    exit 1
fi
echo "Not here, so the tests on them are skipped: $wanted"
