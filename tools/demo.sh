#!/bin/sh
# Demonstrate hart-salt on this machine only: start a private salt-master, create two
# minions from a role, use, list and destroy them. The demo always removes what it made.
#
#     tools/demo.sh           PYTHON, HART_VENV, HART_SALT_SERIES as in tools/env.sh
#     tools/demo.sh --keep    keep master and minions running, to try things
#     tools/demo.sh --stop    end what --keep or a killed demo left running
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")

# A signal to this shell only would leave tools/env.sh running, so wait for it first.
trap 'exit 129' HUP
trap 'exit 143' TERM
venv=$("$root/tools/env.sh")
trap - HUP TERM

# Without written bytecode, every salt-run would compile our modules again.
unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
exec "$venv/bin/python" "$root/tools/demo/demo.py" "$@"
