#!/bin/sh
# Builds the documentation in docs/ as a site of HTML files. Any warning is an error, such
# as a link to a heading that does not exist:
#
#     tools/docs.sh [DIRECTORY]     the output; default docs/_build/html
#
# PYTHON, HART_VENV, HART_SALT_SERIES as in tools/env.sh. The build fetches nothing, and the
# pages load nothing from other sites.
set -eu
case ${1-} in
    -*) sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
root=$(dirname "$(dirname "$(readlink -f "$0")")")
venv=$("$root/tools/env.sh" dev)
unset PYTHONPATH PYTHONHOME
# A cache from the last build would hide the warnings of pages that did not change.
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
"$venv/bin/python" -m sphinx -q -n -W --keep-going -b html -d "$cache" "$root/docs" "${1:-$root/docs/_build/html}"
echo "docs: ${1:-$root/docs/_build/html}/index.html" >&2
