#!/bin/sh
# Adds a further IPv4 address to this machine, or removes it, without a restart of the network:
#
#     sh -s -- check|add|remove ADDRESS/LENGTH PLACE [MTU]
#
# PLACE names the interface: beside=ADDRESS, which the interface has already, or mac=HARDWARE-ADDRESS. An added address
# works at once and after every boot. If systemd-networkd manages the interface, a drop-in to its configuration does
# that, because networkd removes addresses that others add; otherwise (ifupdown, or nothing) a systemd unit does it.
#
# Prints "changed" or "unchanged", and the interface. Exit code 3: no such interface; 4: not completely configured.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C
umask 022 # networkd is not root

die() {
    echo "$2" >&2
    exit "$1"
}

# Sets link and number; both are empty if there is no such interface.
find_link() {
    case $place in
        beside=*) found=$(ip -o -4 address show to "${place#beside=}/32") ;;
        mac=*) found=$(ip -o link show | grep -F "link/ether ${place#mac=} ") || found= ;;
        *) die 2 "$place must be beside=ADDRESS or mac=HARDWARE-ADDRESS" ;;
    esac
    number=$(printf '%s\n' "$found" | sed -n '1s/:.*//p')
    link=$(printf '%s\n' "$found" | sed -n '1s/^[0-9]*: *\([^:@ ]*\).*/\1/p')
}

# Sets file, which configures the address at boot, and text, its content.
plan() {
    configured=$(sed -n 's/^NETWORK_FILE=//p' "/run/systemd/netif/links/$number" 2>/dev/null) || configured=
    if [ -n "$configured" ]; then
        file=/etc/systemd/network/${configured##*/}.d/$name.conf
        text="[Address]
Address=$address"
        return
    fi
    file=/etc/systemd/system/$name.service
    tool=$(command -v ip)
    text="[Unit]
Description=Further address $address
After=network.target network-online.target networking.service
PartOf=networking.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$tool link set dev $link ${mtu:+mtu $mtu }up
ExecStart=$tool address replace $address dev $link
ExecStop=-$tool address delete $address dev $link

[Install]
WantedBy=multi-user.target"
}

is_on_link() { ip -o -4 address show dev "$link" | grep -qF " inet $address "; }

is_kept() {
    [ "$(cat "$file" 2>/dev/null)" = "$text" ] || return 1
    [ "${file%.service}" = "$file" ] || systemctl is-enabled --quiet "$name"
}

add() {
    if is_on_link; then trap forget EXIT; else trap remove EXIT; fi # rolls back on failure
    mkdir -p "${file%/*}"
    printf '%s\n' "$text" >"$file.new"
    mv "$file.new" "$file"
    if [ "${file%.service}" = "$file" ]; then
        # Do not reload networkd, which would take the interface down and up. It reads the drop-in at the next boot.
        is_on_link || ip address add "$address" dev "$link"
    else
        systemctl daemon-reload
        systemctl enable --quiet "$name"
        systemctl restart "$name"
    fi
    is_on_link || die 1 "$address could not be added to $link"
    trap - EXIT
}

# Removes both kinds of configuration: another tool may manage the interface by now.
forget() {
    for kept in /etc/systemd/network/*.network.d/"$name.conf"; do
        [ -e "$kept" ] || continue
        rm -f "$kept" "$kept.new"
        rmdir "${kept%/*}" 2>/dev/null || :
    done
    if [ -e "/etc/systemd/system/$name.service" ]; then
        systemctl disable --quiet --now "$name" || :
        rm -f "/etc/systemd/system/$name.service"
        systemctl daemon-reload
    fi
}

remove() {
    forget
    ip -o -4 address show to "${address%/*}/32" | while read -r _ on _ there _; do
        ip address delete "$there" dev "$on"
    done
    [ -z "$(ip -o -4 address show to "${address%/*}/32")" ] || die 1 "$address could not be removed"
}

main() {
    what=$1 address=$2 place=$3 mtu=${4:-}
    name=hart-address-${address%/*}
    if [ "$what" = remove ]; then
        remove
        echo changed
        return
    fi
    find_link
    [ -n "$link" ] || die 3 "no interface of this machine has ${place#*=}"
    plan
    if is_on_link && is_kept; then
        echo "unchanged $link"
        return
    fi
    [ "$what" = add ] || die 4 "$address is not configured on $link"
    add
    echo "changed $link"
}

# At the end, and without input: a command that reads would read the rest of this script.
main "$@" </dev/null
