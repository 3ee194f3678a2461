#!/bin/sh
# Makes docs/images/timeline.png and fleet.png, the docs' pictures of reports: a private
# salt-master creates nodes with the driver local, hart writes the pages, and Chromium
# draws them.
#
#     tools/pages.sh          PYTHON, HART_VENV, HART_SALT_SERIES as in tools/env.sh
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
[ $# -eq 0 ] || { echo "pages: takes no arguments, not '$*'" >&2 && exit 2; }
browser=$(command -v chromium || command -v google-chrome) || {
    echo "pages: needs Chromium: apt install chromium" >&2 && exit 1
}
venv=$("$root/tools/env.sh")

unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
"$venv/bin/python" "$root/tools/demo/pages.py" "$pages"

# Chromium has no sandbox for root.
[ "$(id -u)" -ne 0 ] || set -- --no-sandbox
draw() { # draw NAME HEIGHT OPTION…
    name=$1 height=$2
    shift 2
    HOME="$pages" "$browser" --headless=new "$@" --disable-gpu --hide-scrollbars --no-first-run \
        --disable-background-networking --user-data-dir="$pages/profile" --window-size="1000,$height" \
        --screenshot="$root/docs/images/$name.png" "file://$pages/$name.html" > /dev/null 2>&1
    echo "pages: $root/docs/images/$name.png" >&2
}
draw timeline 810 "$@"
draw fleet 600 "$@"
