#!/bin/sh
# Start a salt-master with this checkout's hart and open a shell beside it, on a machine
# that has no other purpose: tools/run-in-docker.sh and tools/run-in-machine.sh provide
# one. It writes to /etc/salt and /srv/salt. When the shell ends, the master ends too.
#
#     tools/master-shell.sh [COMMAND...]     a shell, or one command instead
#
# HART_THROWAWAY=yes  confirms that the machine has no other purpose
# HART_BIN            where salt-master and the other programs are (default: on the PATH)
#
# The exit code is that of the command, or 75 if a node is left or may be left.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
say() { echo "hart: $*" >&2; }
die() { say "$*"; exit 1; }

[ "${HART_THROWAWAY-}" = yes ] || die "this changes /etc/salt: run it only in a container or on a machine for this purpose, see the top of $0"
export PATH="${HART_BIN:+$HART_BIN:}$PATH"
unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

mkdir -p /etc/salt/master.d /srv/salt/_modules /var/log/salt
cp "$root"/_modules/*.py /srv/salt/_modules
cat >/etc/salt/master.d/hart.conf <<'EOF'
# The defaults of a new master, and sdb://osenv/NAME for an environment variable NAME.
osenv:
  driver: env
hart:
  roles:
    app: {}
EOF

pid() { cat /var/run/salt-master.pid 2>/dev/null; }
lives() { pid >/dev/null && kill -0 "$(pid)" 2>/dev/null; }
# Print the ids of all nodes, separated by commas. Fail if a provider did not answer.
nodes() {
    salt-run --out=json hart.list_minions ping=False 2>/dev/null | python3 -c '
import json, sys
found = json.load(sys.stdin)
print(",".join(name for name, node in found.get("nodes", {}).items() if node["provider"]))
sys.exit(bool(found["problems"]))'
}

# However the shell ends, try to leave no instance without its master.
finish() {
    code=$?
    trap - EXIT
    trap '' HUP INT TERM
    if ! left=$(nodes); then
        say "not every provider answered: nodes may be left, and they cost money"
        code=75
    fi
    if [ -n "$left" ]; then
        say "destroying the nodes that are left: $left"
        salt-run hart.destroy "$left" >&2 || code=75
    fi
    if lives; then kill "$(pid)"; fi
    exit "$code"
}

rm -f /var/run/salt-master.pid
salt-master --daemon || die "salt-master did not start"
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
waited=0
until [ -S /var/run/salt/master/master_event_pull.ipc ] && lives; do
    waited=$((waited + 1))
    [ "$waited" -lt 300 ] || die "salt-master did not start within 60 s: see /var/log/salt/master"
    sleep 0.2
done

[ $# = 0 ] || { "$@"; exit; }
cat >&2 <<'EOF'
hart: salt-master is running, with the provider local and the providers in /etc/hart.toml. Try

    salt-run hart.check
    salt-run hart.create_role app provider=local count=2
    salt '*' test.ping
    salt-run hart.list_minions

hart: exit or Ctrl-D destroys the nodes that are left, and removes this machine.
EOF
# Not a login shell: that would set its own PATH. Ignore the exit code of the shell.
"$(command -v bash || echo sh)" -i || :
