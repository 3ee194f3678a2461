#!/bin/sh
# Breaks hart's code in ways that matter, one at a time, in a copy of the checkout, runs
# the tests that should notice, and prints how many did:
#
#     tools/mutants.sh [--only NAME] [--jobs N] [--limit SECONDS] [--list] [SUBJECT …]
#
# SUBJECT  a list in tools/mutants/lists, such as do or sweep; otherwise all of them
#
# PYTHON, HART_VENV, HART_SALT_SERIES as in tools/env.sh. The exit code is 1 where fewer
# than 95 % are caught, or one survives of which the lists do not say why.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
venv=$("$root/tools/env.sh" dev)
exec "$venv/bin/python" "$root/tools/mutants" "$@"
