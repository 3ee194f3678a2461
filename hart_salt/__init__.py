"""
hart-salt turns cloud instances into trusted Salt minions.

A map of the package, from the top down. A package imports only what is below it in this list:

``runners/``, ``modules/``, ``states/``
    what Salt loads: the functions of ``salt-run hart.…`` and of the minions, and the states of orchestrations
``engines/``
    Salt's engine ``hart``, which keeps fleets as they are declared
``output/``
    Salt's outputter ``hart``: what the runner returns, as a table
``screens/``
    the tables for people
``look.py``
    one look of the engine, in a process of its own
``answer.py``
    the result of a call: data or an error sentence, all of it through the gate
``arguments.py``
    the checks of the runner functions' arguments
``service.py``
    the use cases: create, destroy, list, check; the only file that knows all the others
``use_cases/``
    groups of use cases that the service holds: what providers offer, prices, the journal, pages, verbs, fleets
``unconfigured.py``
    the use cases that need no configuration of hart
``fleets/``
    declared fleets: what differs, what is done about it, and the number of nodes by the load
``images/``
    images that hart makes of nodes: the course of a bake, what is removed from the node, which images stay
``migration/``
    brings under management what hart-salt did not create: minions, hart's own store, salt-cloud's configuration
``operations/``
    operations on many nodes: create, destroy, scale, list; the sweep after crashes; additional addresses
``reports/``
    pages in HTML, from plain data to one file: charts, tables, templates
``node/``
    one node from launch to sealed minion, and its undo; its SSH session, its bootstrap, its stages
``planning/``
    from roles to the wanted nodes, their zones, and the checks before anything is changed
``inventory/``
    records and locks; the snapshot of cloud, records, key store and minions; which node an instance is
``drivers/``
    the contract, the code that drivers share, and a package for each cloud and for this machine
``coordination/``
    leases in a server that several masters share: redis, etcd, MySQL
``master/``
    every request to Salt: keys, jobs, events, pillar; the only package that imports Salt
``model.py``
    the plain data that the other parts exchange
``config/``
    from files and layers to one validated configuration, with every fault
``result.py``
    the outcome of a use case
``base/``
    errors, faults of this machine, names; the gate and redaction; threads, signals, streams
"""

__version__ = "1.0.0"
