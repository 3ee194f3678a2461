"""
hart-salt turns cloud instances into trusted Salt minions.

A map of the package, from the top down. A package imports what stands below it here, and nothing above:

``runners/``, ``modules/``
    what Salt loads: the functions of ``salt-run hart.…``, and what minions can ask
``answer.py``
    what a call answers: data or a sentence, all of it through the gate
``arguments.py``
    what the functions are given, checked
``service.py``
    the use cases: create, destroy, list, check; the only file that knows them all
``migration/``
    what hart did not make comes under its management: minions, hart's own store, salt-cloud's configuration
``operations/``
    what is done with many nodes: created, destroyed, scaled, listed; what crashes left; further addresses
``node/``
    one node from launch to sealed minion, and its undo; its SSH session, its bootstrap, its stages
``planning/``
    from roles to the nodes that are wanted, their zones, and what is known to be wrong before anything is touched
``inventory/``
    records and locks; what cloud, records, key store and minions say at one moment; which node an instance is
``drivers/``
    the contract, what drivers share, and a package for each cloud and for this machine
``master/``
    everything that is asked of Salt: keys, jobs, events, pillar; the only package that imports it
``model.py``
    plain data that the parts hand to each other
``config/``
    from files and layers to one checked configuration, with every fault
``result.py``
    what a use case comes to
``base/``
    errors, faults of this machine, names; the gate, and what must never be shown; threads, signals, streams
"""

__version__ = "1.0.0"
