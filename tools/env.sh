#!/bin/sh
# Create or reuse the virtual environment of ./test and tools/demo.sh, and install this
# checkout in it as editable. Progress goes to stderr; stdout has only the path of the
# environment:
#
#     venv=$(tools/env.sh [EXTRAS])       EXTRAS as in pyproject.toml: dev, do,ec2 …
#
# PYTHON            the interpreter (default: the first of python3, python3.14 … 3.10)
# HART_VENV         where the environment is (default: .venv in the checkout)
# HART_SALT_SERIES  a Salt series, such as 3006, in .venv-3006 (default: the newest); or
#                   floors, in .venv-floors: the versions that tools/floors.sh prints
set -eu
exec 3>&1 1>&2

say() { echo "env: $*"; }
die() { say "$*"; exit 1; }
# The Python variables of the caller's shell must not affect this environment.
unset PYTHONPATH PYTHONHOME
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

extras=${1-}
series=${HART_SALT_SERIES-}
case $extras in *[!a-z0-9,]*) die "EXTRAS must be names separated by commas, not '$extras'" ;; esac
case $series in
    floors) ;;
    *[!0-9]*) die "HART_SALT_SERIES must be a number such as 3006, or floors, not '$series'" ;;
esac

here=$PWD
root=$(dirname "$(dirname "$(readlink -f "$0")")")
cd "$root"
venv=${HART_VENV:-$root/.venv${series:+-$series}}
case $venv in /*) ;; *) venv=$here/$venv ;; esac
stamp=$venv/hart-salt.stamp # describes the environment; without it, this script did not make it

# Two calls must not install into one environment at the same time. A lock on an
# existing file leaves nothing behind, even after a kill.
exec 9<pyproject.toml
if command -v flock >/dev/null; then
    flock -n 9 || { say "waiting for another tools/env.sh" && flock 9; }
fi

# Print the full version of a Python that Salt and this package support, or nothing.
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

# Ask the Python of the environment if it exists: another python3 on the PATH of the
# next shell is no reason to rebuild the environment.
python=${PYTHON:-$venv/bin/python}
version=$(version_of "$python")
# The path is part of the stamp, because the environment in a copied checkout still
# points to the old checkout.
base="Python $version at $root, Salt ${series:-newest},"
# The version is part of what is installed: after a release the old one must not remain.
sum=$({ cat pyproject.toml tools/env.sh tools/floors.sh && grep '^__version__' hart_salt/__init__.py; } | cksum)
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
        say "updating $venv"
        ;;
    *)
        choose_python
        base="Python $version at $root, Salt ${series:-newest},"
        if [ -n "$(ls -A "$venv" 2>/dev/null)" ] && [ ! -f "$stamp" ]; then
            die "this script did not make $venv; remove it or set HART_VENV"
        fi
        owner=${have#Python * at } owner=${owner%, Salt *}
        case $venv in
            "$root"/*) ;; # a copy of a checkout has a copy of its environment, too
            *) [ "$owner" = "$have" ] || [ "$owner" = "$root" ] ||
                die "$venv belongs to the checkout $owner; set HART_VENV to another directory" ;;
        esac
        say "creating $venv with Python $version"
        rm -rf "$venv"
        mkdir -p "$venv"
        echo unfinished >"$stamp" # first, so that an interrupted run starts again
        "$python" -m venv "$venv"
        # A new pip resolves and unpacks Salt much faster than the bundled one.
        "$venv/bin/python" -m pip install -q --no-compile --upgrade pip ||
            say "continuing with the pip that comes with Python"
        ;;
esac
echo unfinished >"$stamp"

# Salt requires timelib, which is published only as C source, and uses it in one jinja
# filter, which reports when it is missing. An empty wheel in its place works without a
# compiler and the Python headers, and saves 20 seconds.
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

# One run of pip for everything: pip goes back from Salt's newest release to the newest
# whose dependencies exist and fit the rest, whichever that is today. ~=3006.0 is any
# 3006.x. With floors pip cannot go back, and reports what does not fit.
case $series in
    '') set -- ;;
    floors) tools/floors.sh >"$venv/floors.txt" && set -- -c "$venv/floors.txt" ;;
    *) set -- "salt~=$series.0" ;;
esac
say "installing Salt${series:+ $series} and its dependencies; this takes a minute if pip's cache is empty"
"$venv/bin/python" -m pip install -q --no-compile --find-links "$venv/stand-in" \
    -e ".${extras:+[$extras]}" "$@" || die "pip failed, see above"

# Compile on all cores; pip would use one. Do not leave it to the first import:
# with PYTHONDONTWRITEBYTECODE in the caller's shell, each start of Salt would be slow.
# Some packages contain templates that are not Python, hence || :.
"$venv/bin/python" -m compileall -qq -j 0 "$venv/lib" || :

say "Salt $("$venv/bin/python" -c 'from importlib.metadata import version; print(version("salt"))') is ready"
version=$(version_of "$venv/bin/python")
echo "Python $version at $root, Salt ${series:-newest}, $sum ${extras:--}" >"$stamp"
echo "$venv" >&3
