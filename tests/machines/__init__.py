"""
Clouds for tests: emulated provider APIs whose instances are real booted Debian machines.

    requirements.py   what a machine must have for this; tests are left out where it has not
    cache.py          builds kept by content      image.py   the base      packages.txt   what is in it
    salt_package.py   the salt-minion package     repository.py   the apt repositories, signed and served
    network.py        bridge, namespaces, addresses           dns.py   names on the bridge
    dhcp.py           addresses for machines that ask for theirs
    metadata.py       169.254.169.254, per machine; metadata_*.py: what a provider answers there
    cgroups.py        ending processes for certain
    slots.py          sessions side by side, and clearing up after dead ones        links.py   the ip command
    launch.py         the command that is a machine           debs.py   Debian packages
    machines.py       boot, run, kill, snapshot; the host of all machines of a session
    real.py           those machines as the back end of an emulated provider (backend.py says what that is)
    emulator.py       what all emulated providers share, with http.py, routing.py, schema.py and faults.py
    digitalocean.py   with do_*.py: DigitalOcean              vultr.py   with vultr_*.py: Vultr

Nothing leaves the machine: interfaces of the bridge forward nothing, and everything listens on addresses
that belong to it.
"""
