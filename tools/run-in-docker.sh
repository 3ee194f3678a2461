#!/bin/sh
# A shell in a container, with a salt-master and this checkout's hart: for trying it
# by hand, with real accounts too. Leaving the shell destroys the nodes that are left.
#
#     tools/run-in-docker.sh                      a shell
#     tools/run-in-docker.sh salt-run hart.check  one command instead
#
# Ports 4505 and 4506 are published on all addresses of this machine, for instances
# to reach the master; docs/contributing/accounts.md says how from behind NAT. hart.toml in the
# root of the checkout, if there is one, is the container's /etc/hart.toml, read-only.
#
# DOCKER            another engine, such as podman
# HART_SALT_SERIES  as in tools/env.sh
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
docker=${DOCKER:-docker}
series=${HART_SALT_SERIES-}
image=hart-salt-shell${series:+:$series}
keys=hart-salt-shell-pki
cache=hart-salt-shell-cache

die() { echo "run-in-docker: $*" >&2; exit 1; }
say() { echo "run-in-docker: $*" >&2; }

command -v "$docker" >/dev/null || die "there is no command $docker; tools/run-in-machine.sh goes without"
"$docker" version >/dev/null 2>&1 || die "$docker reaches no engine: see $docker version; tools/run-in-machine.sh goes without"

say "building $image; the first time takes some minutes"
tar -C "$root" -c --exclude=__pycache__ \
    pyproject.toml README.md LICENSE.md _modules _runners hart_salt tools |
    "$docker" build --quiet --tag "$image" --build-arg "HART_SALT_SERIES=$series" --file tools/docker/Dockerfile - >&2

# The master's key and its records outlive the container until nothing is left that
# they are needed for: after a crash, the next shell knows the nodes.
set -- --volume "$keys:/etc/salt/pki" --volume "$cache:/var/cache/salt" "$image" "$@"
if [ -e "$root/hart.toml" ]; then
    set -- --volume "$root/hart.toml:/etc/hart.toml:ro" "$@"
else
    say "no hart.toml in the root of the checkout: there is the provider local"
fi
[ ! -t 0 ] || set -- --tty "$@"
say "ports 4505 and 4506 of this machine lead to the master in the container"
code=0
"$docker" run --rm --init --interactive --hostname hart-salt \
    --publish 4505:4505 --publish 4506:4506 --env HART_THROWAWAY=yes "$@" || code=$?

# 75: of master-shell.sh; from 125 on: the engine's own, and signals.
if [ "$code" = 75 ] || [ "$code" -ge 125 ]; then
    say "ended with $code: nodes may be left. Their master's key and records are kept in the volumes"
    say "$keys and $cache: start this again, and see salt-run hart.list_minions"
else
    "$docker" volume rm "$keys" "$cache" >/dev/null
fi
exit "$code"
