#!/bin/sh
# Shows hart-salt at work, on this machine alone: a private salt-master, two minions
# made of a role, used, listed and destroyed. Ends what it started, however it ends.
#
#     tools/demo.sh           PYTHON, HART_VENV, HART_SALT_SERIES as in tools/env.sh
#     tools/demo.sh --keep    leaves master and minions running, to play with
#     tools/demo.sh --stop    ends what --keep left, or a demo that was killed
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")

# A signal to this shell alone would leave tools/env.sh running: wait for it, then end.
trap 'exit 129' HUP
trap 'exit 143' TERM
venv=$("$root/tools/env.sh")
trap - HUP TERM

# With bytecode left unwritten, every salt-run would compile our modules again.
unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
exec "$venv/bin/python" "$root/tools/demo/demo.py" "$@"
