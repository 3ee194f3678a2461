#!/bin/sh
# Makes, or reuses, the virtual environment that ./test and tools/demo.sh run in,
# with this checkout installed editable in it. Progress goes to stderr; stdout is
# the environment's path and nothing else:
#
#     venv=$(tools/env.sh [EXTRAS])       EXTRAS as in pyproject.toml: dev, do,ec2 …
#
# PYTHON            the interpreter to use (otherwise python3, python3.14 … 3.10)
# HART_VENV         where to make it (otherwise .venv in the checkout)
# HART_SALT_SERIES  a Salt series, such as 3006 (then .venv-3006), not the newest; or
#                   floors (then .venv-floors): the versions that tools/floors.sh prints
set -eu
exec 3>&1 1>&2

say() { echo "env: $*"; }
die() { say "$*"; exit 1; }
# What the caller's shell says about Python is not for this environment.
unset PYTHONPATH PYTHONHOME
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

extras=${1-}
series=${HART_SALT_SERIES-}
case $extras in *[!a-z0-9,]*) die "extras are comma-separated names, not '$extras'" ;; esac
case $series in
    floors) ;;
    *[!0-9]*) die "HART_SALT_SERIES is a number such as 3006, or floors, not '$series'" ;;
esac

here=$PWD
root=$(dirname "$(dirname "$(readlink -f "$0")")")
cd "$root"
venv=${HART_VENV:-$root/.venv${series:+-$series}}
case $venv in /*) ;; *) venv=$here/$venv ;; esac
stamp=$venv/hart-salt.stamp # its first line says what is here; without it, not ours

# Two calls at once must not install into one environment. A lock on a file that
# is there anyway leaves nothing behind, not even after a kill.
exec 9<pyproject.toml
if command -v flock >/dev/null; then
    flock -n 9 || { say "waiting for another tools/env.sh" && flock 9; }
fi

# The full version of a Python that Salt and this package support, or nothing.
version_of() {
    "$1" -c 'import sys; (3, 10) <= sys.version_info < (3, 15) and print(sys.version.split()[0])' 2>/dev/null || :
}

choose_python() {
    unfit=
    if [ -n "${PYTHON-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3 python3.14 python3.13 python3.12 python3.11 python3.10
    fi
    for python; do
        version=$(version_of "$python")
        [ -n "$version" ] || continue
        "$python" -c 'import ensurepip, venv' 2>/dev/null && return
        unfit=${unfit:-$python}
    done
    [ -z "$unfit" ] || die "$unfit cannot make virtual environments; install its venv module (Debian: apt install python3-venv)"
    die "no Python 3.10 to 3.14 among: $*; install one or set PYTHON to its path"
}

# Asked of the environment's own Python when there is one: another python3 on
# the PATH of the next shell is no reason to make everything anew.
python=${PYTHON:-$venv/bin/python}
version=$(version_of "$python")
# The path is part of it, as a copied checkout holds an environment that still
# leads to the old one.
base="Python $version at $root, Salt ${series:-newest},"
sum=$(cat pyproject.toml tools/env.sh tools/floors.sh | cksum)
have=
[ ! -f "$stamp" ] || have=$(cat "$stamp")

case $have in
    "$base "*)
        installed=${have##* }
        missing=
        for extra in $(echo "$extras" | tr ',' ' '); do
            case ,$installed, in *,"$extra",*) ;; *) missing=$missing,$extra ;; esac
        done
        if [ -z "$missing" ] && [ "${have% *}" = "$base $sum" ]; then
            echo "$venv" >&3
            exit 0
        fi
        extras=${installed#-}$missing
        extras=${extras#,}
        say "bringing $venv up to date"
        ;;
    *)
        choose_python
        base="Python $version at $root, Salt ${series:-newest},"
        if [ -n "$(ls -A "$venv" 2>/dev/null)" ] && [ ! -f "$stamp" ]; then
            die "$venv was not made by this script; remove it or set HART_VENV"
        fi
        say "making $venv with Python $version"
        rm -rf "$venv"
        mkdir -p "$venv"
        echo unfinished >"$stamp" # before the rest: an interrupted one is made anew
        "$python" -m venv "$venv"
        # A new pip resolves and unpacks Salt a good deal faster than a bundled one.
        "$venv/bin/python" -m pip install -q --no-compile --upgrade pip ||
            say "going on with the pip that Python brings"
        ;;
esac
echo unfinished >"$stamp"

# Salt requires timelib, which comes as C source only, and uses it in one jinja
# filter that says so when it is missing. An empty wheel in its place spares a
# fresh machine the compiler and the Python headers, and everybody 20 seconds.
mkdir -p "$venv/stand-in"
"$venv/bin/python" - "$venv/stand-in" <<'EOF'
import sys
import zipfile

files = {
    "METADATA": "Metadata-Version: 2.1\nName: timelib\nVersion: 9999\nSummary: an empty stand-in, see tools/env.sh\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: hart-salt\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
files["RECORD"] = "".join(f"timelib-9999.dist-info/{name},,\n" for name in [*files, "RECORD"])
with zipfile.ZipFile(sys.argv[1] + "/timelib-9999-py3-none-any.whl", "w") as wheel:
    for name, text in files.items():
        wheel.writestr("timelib-9999.dist-info/" + name, text)
EOF

# One run of pip over everything: it goes back from Salt's newest release to the
# newest whose dependencies exist and fit the rest, whichever that is today.
# ~=3006.0 is any 3006.x. With floors there is no going back: what does not fit is told.
case $series in
    '') set -- ;;
    floors) tools/floors.sh >"$venv/floors.txt" && set -- -c "$venv/floors.txt" ;;
    *) set -- "salt~=$series.0" ;;
esac
say "installing Salt${series:+ $series} and what goes with it; a minute when nothing is in pip's cache"
"$venv/bin/python" -m pip install -q --no-compile --find-links "$venv/stand-in" \
    -e ".${extras:+[$extras]}" "$@" || die "pip could not install it, see above"

# Compiled here on all cores, where pip would use one. Not left to the first
# import: PYTHONDONTWRITEBYTECODE in somebody's shell would make each start of
# Salt a slow one. Some packages hold templates that are not Python, hence || :.
"$venv/bin/python" -m compileall -qq -j 0 "$venv/lib" || :

say "Salt $("$venv/bin/python" -c 'from importlib.metadata import version; print(version("salt"))') is ready"
version=$(version_of "$venv/bin/python")
echo "Python $version at $root, Salt ${series:-newest}, $sum ${extras:--}" >"$stamp"
echo "$venv" >&3
