#!/bin/sh
# Starts a salt-master with this checkout's hart, and a shell beside it, on a machine
# that has no other purpose: tools/run-in-docker.sh and tools/run-in-machine.sh have
# such. It writes to /etc/salt and /srv/salt; when the shell ends, so does all of it.
#
#     tools/master-shell.sh [COMMAND...]     a shell, or one command instead
#
# HART_THROWAWAY=yes  says that this is such a machine
# HART_BIN            where salt-master and the others are (otherwise on the PATH)
#
# Exits with the command's code; with 75 if a node is left, or may be.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
say() { echo "hart: $*" >&2; }
die() { say "$*"; exit 1; }

[ "${HART_THROWAWAY-}" = yes ] || die "this changes /etc/salt: it is for a container or a machine of its own, see the top of $0"
export PATH="${HART_BIN:+$HART_BIN:}$PATH"
unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

mkdir -p /etc/salt/master.d /srv/salt/_modules /var/log/salt
cp "$root"/_modules/*.py /srv/salt/_modules
cat >/etc/salt/master.d/hart.conf <<'EOF'
# As in any new master, but that sdb://osenv/NAME stands for a variable of the environment.
osenv:
  driver: env
hart:
  roles:
    app: {}
EOF

pid() { cat /var/run/salt-master.pid 2>/dev/null; }
lives() { pid >/dev/null && kill -0 "$(pid)" 2>/dev/null; }
# Ids of all nodes, separated by commas. Fails where a provider could not be asked.
nodes() {
    salt-run --out=json hart.list_minions ping=False 2>/dev/null | python3 -c '
import json, sys
found = json.load(sys.stdin)
nodes = {name: node for name, node in found.items() if isinstance(node, dict)}
print(",".join(name for name, node in nodes.items() if node["provider"]))
sys.exit(len(nodes) < len(found))'
}

# Whatever ends the shell: no instance is left without its master, if it can be helped.
finish() {
    code=$?
    trap - EXIT
    trap '' HUP INT TERM
    if ! left=$(nodes); then
        say "not every provider could be asked: there may be nodes left, which cost money"
        code=75
    fi
    if [ -n "$left" ]; then
        say "destroying what is left: $left"
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
    [ "$waited" -lt 300 ] || die "salt-master does not come up: see /var/log/salt/master"
    sleep 0.2
done

[ $# = 0 ] || { "$@"; exit; }
cat >&2 <<'EOF'
hart: salt-master is running, with the provider local and those of /etc/hart.toml. Try

    salt-run hart.check
    salt-run hart.create_role app provider=local count=2
    salt '*' test.ping
    salt-run hart.list_minions

hart: exit, or Ctrl-D, destroys the nodes that are left by then, and takes this machine away.
EOF
# Not a login shell, which would begin with a PATH of its own. What it ends with says nothing.
"$(command -v bash || echo sh)" -i || :
