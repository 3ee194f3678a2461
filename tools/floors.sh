#!/bin/sh
# Print the lowest versions that pyproject.toml declares, as constraints for pip. pip
# installs the packages named there at their floor and resolves all others as usual.
#
# Salt's floor is a series. The source distributions of its first releases do not declare
# their dependencies, so this script names a release: the newest that could be installed
# when the floors were last set. A later one can require more than the other floors.
set -eu
grep -oE '"[A-Za-z0-9._-]+(\[[^]]*\])?>=[0-9][^"]*"' "$(dirname "$(readlink -f "$0")")/../pyproject.toml" |
    sed -E 's/"//g; s/\[[^]]*\]//; s/>=/==/; s/^salt==3006$/salt==3006.29/'
