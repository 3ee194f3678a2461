#!/bin/sh
# Open a shell in a machine of the test cloud with a salt-master and this checkout's
# hart, to try hart by hand without Docker. It needs root and the packages in .ci/run.
# When you leave the shell (Ctrl-D), everything is removed.
#
#     tools/run-in-machine.sh                        a shell
#     tools/run-in-machine.sh salt-run hart.version  one command instead
#
# The machine reaches only this machine: use it for the provider local, whose nodes run
# in it, and not for real accounts.
#
# PYTHON, HART_VENV, HART_SALT_SERIES as in tools/env.sh
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
venv=$("$root/tools/env.sh" dev)
unset PYTHONPATH PYTHONHOME
cd "$root"
exec "$venv/bin/python" -m tests.machines shell "$@"
