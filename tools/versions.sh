#!/bin/sh
# Run tests with several series of Salt, one after the other, each in its own
# environment (.venv-3006 and so on), and print the results as a table:
#
#     tools/versions.sh [--floors] [SERIES …] [-- ARGUMENTS]
#
# --floors   run with the lowest version of each dependency that pyproject.toml allows,
#            see tools/floors.sh, to find those that fail or conflict
# SERIES     of Salt (default, without --floors: 3006 3007 3008)
# ARGUMENTS  for pytest (default, the fast tests: tests/unit tests/functional tests/drivers)
#
# PYTHON as in tools/env.sh. The exit code is 1 if anything fails with any series.
set -u
root=$(dirname "$(dirname "$(readlink -f "$0")")")
unset HART_VENV # each series needs its own environment

all=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    case $1 in
        --floors) ;;
        '' | *[!0-9]*) echo "versions: '$1' is neither --floors nor a Salt series such as 3006; put arguments for pytest after --" >&2 && exit 2 ;;
    esac
    all="$all ${1#--}"
    shift
done
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- tests/unit tests/functional tests/drivers

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Print the row of one series, from pytest's report if there is one.
line() {
    python=$(HART_SALT_SERIES=$1 "$root/tools/env.sh" dev 2>/dev/null)/bin/python
    "$python" - "$1" "$results/$1.xml" <<'END' || echo "| $1 | - | - | no result | | | |"
import platform
import sys
from importlib.metadata import version
from xml.etree import ElementTree

suite = ElementTree.parse(sys.argv[2]).find("testsuite")
total, failures, errors, skipped = (int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped"))
failed = failures + errors
cells = (version("salt"), platform.python_version(), total - failed - skipped, failed, skipped, round(float(suite.get("time"))))
series = "floors" if sys.argv[1] == "floors" else version("salt").split(".")[0]
print("|", " | ".join([series, *map(str, cells)]), "|")
END
}

status=0
table='| series | Salt | Python | passed | failed | skipped | seconds |
| --- | --- | --- | --- | --- | --- | --- |'
for series in ${all:-3006 3007 3008}; do
    [ "$series" = floors ] && echo "=== floors" || echo "=== Salt $series"
    HART_SALT_SERIES=$series "$root/test" --junitxml="$results/$series.xml" "$@" </dev/null || status=1
    table="$table
$(line "$series")"
done
echo "=== with: $*"
echo "$table"
exit "$status"
