#!/bin/sh
# Open a shell in a container with a salt-master and this checkout's hart, to try hart
# by hand, with real accounts too. When you leave the shell, it destroys the nodes that
# are left.
#
#     tools/run-in-docker.sh                      a shell
#     tools/run-in-docker.sh salt-run hart.check  one command instead
#
# Docker publishes ports 4505 and 4506 on all addresses of this machine, where instances
# reach the master; docs/contributing/accounts.md says how from behind NAT. If the
# checkout has a hart.toml at its top, it is /etc/hart.toml in the container, read-only.
#
# DOCKER            another engine, such as podman (default: docker)
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

command -v "$docker" >/dev/null || die "the command $docker is missing; tools/run-in-machine.sh works without it"
"$docker" version >/dev/null 2>&1 || die "$docker reaches no engine: see $docker version; tools/run-in-machine.sh works without it"

say "building $image; the first build takes some minutes"
tar -C "$root" -c --exclude=__pycache__ \
    pyproject.toml README.md LICENSE.md _modules _runners hart_salt tools |
    "$docker" build --quiet --tag "$image" --build-arg "HART_SALT_SERIES=$series" --file tools/docker/Dockerfile - >&2

# The master's key and its records outlive the container as long as they are needed:
# after a crash, the next shell knows the nodes.
set -- --volume "$keys:/etc/salt/pki" --volume "$cache:/var/cache/salt" "$image" "$@"
if [ -e "$root/hart.toml" ]; then
    set -- --volume "$root/hart.toml:/etc/hart.toml:ro" "$@"
else
    say "no hart.toml at the top of the checkout: only the provider local is available"
fi
[ ! -t 0 ] || set -- --tty "$@"
say "ports 4505 and 4506 of this machine lead to the master in the container"
code=0
"$docker" run --rm --init --interactive --hostname hart-salt \
    --publish 4505:4505 --publish 4506:4506 --env HART_THROWAWAY=yes "$@" || code=$?

# 75 comes from master-shell.sh; codes from 125 on come from the engine and from signals.
if [ "$code" = 75 ] || [ "$code" -ge 125 ]; then
    say "ended with $code: nodes may be left. The volumes $keys and $cache keep the key and"
    say "the records of their master: start this again and run salt-run hart.list_minions"
else
    "$docker" volume rm "$keys" "$cache" >/dev/null
fi
exit "$code"
