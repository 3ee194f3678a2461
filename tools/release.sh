#!/bin/sh
# Makes a release: the version, the changelog's date, a commit and a tag, and the wheel
# and the source distribution in dist/, both checked. It uploads nothing; at the end it
# prints the commands that do.
#
#     tools/release.sh [--dry-run] [VERSION]
#
# --dry-run  does all of it in a copy, and leaves the checkout, its tags and dist/ alone
# VERSION    such as 1.0.1; otherwise the one in hart_salt/__init__.py
#
# PYTHON, HART_VENV, HART_SALT_SERIES as in tools/env.sh
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
for argument in "$@"; do
    case $argument in
        --dry-run | [0-9]*) ;;
        *) echo "release: '$argument' is neither --dry-run nor a version such as 1.0.1" >&2 && exit 2 ;;
    esac
done
venv=$("$root/tools/env.sh" dev)

unset PYTHONPATH PYTHONHOME PYTEST_ADDOPTS
exec "$venv/bin/python" "$root/tools/release.py" "$@"
