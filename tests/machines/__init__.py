"""
Clouds for tests: emulated provider APIs whose instances are real booted Debian machines.

    requirements.py     what this host must have; without it, tests that boot machines are skipped
    cache.py            keeps builds by a hash of their inputs
    image.py            the Debian base image; its packages are in packages.txt
    salt_package.py     the packages salt-common and salt-minion
    salt_master.py      the package salt-master
    package_index.py    the Python package index
    repository.py       the apt repositories, signed and served
    debs.py             builds Debian packages
    network.py          bridge, network namespaces and addresses
    links.py            calls of the ip command
    dhcp.py, dns.py     DHCP and DNS for machines
    metadata.py         the metadata service at 169.254.169.254, one for each machine; the answers of a provider
                        are in tests/drivers/*/emulator/metadata.py
    servers.py          shared parts of the small servers
    cgroups.py          ends all processes of a machine
    slots.py            a number for each session, and the cleanup after sessions that died
    launch.py           the command that starts a machine
    machines.py         boots, kills and snapshots machines, and runs commands in them
    snapshots.py        the images that were made of machines
    real.py             these machines as the back end of an emulated provider, see tests/emulation/backend.py
    shell.py            a shell in a machine with a salt-master

The emulated provider APIs are in tests/emulation and tests/drivers/*/emulator.

No packet leaves this host: it forwards nothing that arrives at the bridge, and every server listens on addresses
of this host only.
"""
