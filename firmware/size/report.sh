#!/bin/sh
# usage: report.sh TOOL_PREFIX PROBE.o OBJECT.o …
# Prints what each part of the core takes on the target. Fails where it takes more RAM than its budget, or calls for a
# heap or exceptions.
set -eu
tools=$1
probe=$2
shift 2

# "000000a0 00000010 B name" -> 16
probed() {
    hex=$("${tools}nm" --print-size "$probe" | awk -v name="$1" '$4 == name { print $2 }')
    [ -n "$hex" ] || { echo "$probe does not tell $1" >&2 && exit 1; }
    echo $((0x$hex))
}

node=$(probed size_of_node)
budget=$(probed ram_budget)

"${tools}size" "$@" | awk -v node="$node" -v budget="$budget" '
    NR == 1 { printf "%-16s %8s %8s %8s\n", "bytes, rv32imc", "code", "data", "bss"; next }
    {
        name = $6; sub(/.*\//, "", name); sub(/\.o$/, "", name)
        printf "%-16s %8d %8d %8d\n", name, $1, $2, $3
        code += $1; data += $2; bss += $3
    }
    END {
        printf "%-16s %8d %8d %8d\n", "voice_core", code, data, bss
        ram = node + data + bss
        printf "RAM: %d (of that Node %d) of a budget of %d; the MP3 decoder comes on top\n", ram, node, budget
        exit ram > budget
    }' || { echo "voice_core exceeds its RAM budget: shrink a buffer in config.h" >&2 && exit 1; }

# operator new and delete, C allocation, and what throwing needs.
called=$("${tools}nm" --undefined-only "$@" | awk '$2 ~ /^(_Zn[wa]|_Zd[la]|malloc$|calloc$|realloc$|free$|__cxa_throw|__gxx_)/ {
    print $2 }' | sort -u | xargs)
[ -z "$called" ] || { echo "voice_core must not call: $called" >&2 && exit 1; }
