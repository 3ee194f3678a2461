#!/bin/sh
# Break hart's code in ways that matter, one at a time, in a copy of the checkout. Run
# the tests that should notice each mutant, and print how many mutants they caught:
#
#     tools/mutants.sh [--only NAME] [--jobs N] [--limit SECONDS] [--list] [SUBJECT …]
#
# SUBJECT  a list in tools/mutants/lists, such as do or sweep (default: all lists)
#
# PYTHON, HART_VENV, HART_SALT_SERIES as in tools/env.sh. The exit code is 1 if the tests
# catch fewer than 95 %, or if a mutant survives and its list gives no reason.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
venv=$("$root/tools/env.sh" dev)
exec "$venv/bin/python" "$root/tools/mutants" "$@"
