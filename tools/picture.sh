#!/bin/sh
# Makes docs/images/live_table.svg, the README's picture of the live table: a private
# salt-master creates three nodes with the driver local, and one of the tables that
# the terminal got becomes the picture.
#
#     tools/picture.sh        PYTHON, HART_VENV, HART_SALT_SERIES as in tools/env.sh
#
# The picture shows nodes that are ready beside nodes that are not. This moment is
# short, so not every run has drawn a table in it; the run is then repeated.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
[ $# -eq 0 ] || { echo "picture: takes no arguments, not '$*'" >&2 && exit 2; }
venv=$("$root/tools/env.sh")
picture=$root/docs/images/live_table.svg
columns=80

unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
recording=$(mktemp)
trap 'rm -f "$recording"' EXIT
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    echo "picture: run $attempt" >&2
    "$venv/bin/python" "$root/tools/demo/record.py" "$recording" "$columns" hart.create_role app count=3
    code=0
    "$venv/bin/python" "$root/tools/picture.py" "$recording" "$picture" "$columns" \
        "salt-run hart.create_role app count=3" || code=$?
    case $code in
        0) echo "picture: $picture" >&2 && exit 0 ;;
        3) ;;
        *) exit "$code" ;;
    esac
done
echo "picture: no table of $attempt runs has nodes that are ready beside nodes that are not; run it again" >&2
exit 1
