#!/bin/sh
# Prints the lowest versions that pyproject.toml declares, as constraints for pip: only
# what is named there is held at its floor, all else is resolved as always.
#
# Salt's floor is a series. The source distributions of its first releases do not name
# what they require; so a release is named here, the newest that could be installed when
# the floors were last set, as a later one may require more than the other floors are.
set -eu
grep -oE '"[A-Za-z0-9._-]+(\[[^]]*\])?>=[0-9][^"]*"' "$(dirname "$(readlink -f "$0")")/../pyproject.toml" |
    sed -E 's/"//g; s/\[[^]]*\]//; s/>=/==/; s/^salt==3006$/salt==3006.29/'
