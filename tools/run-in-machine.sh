#!/bin/sh
# A shell in a machine of the test cloud, with a salt-master and this checkout's hart:
# for trying it by hand without Docker. It takes root, see the packages in .ci/run.
# Leaving the shell, with Ctrl-D, takes it all down.
#
#     tools/run-in-machine.sh                        a shell
#     tools/run-in-machine.sh salt-run hart.version  one command instead
#
# The machine reaches this one and nothing beyond: it is for the provider local, whose
# nodes live in it, and not for real accounts.
#
# PYTHON, HART_VENV, HART_SALT_SERIES as in tools/env.sh
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
venv=$("$root/tools/env.sh" dev)
unset PYTHONPATH PYTHONHOME
cd "$root"
exec "$venv/bin/python" -m tests.machines shell "$@"
