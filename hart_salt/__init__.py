"""
hart-salt turns cloud instances into trusted Salt minions.

A map of the package; imports point downwards in this list and never back up:

``runners/hart.py``
    what ``salt-run hart.…`` calls: arguments in, plain data or one clear error out
``service.py``
    the use cases: create, destroy, list, check; the only file that knows them all
``lifecycle.py``
    one node from launch to sealed minion, and its undo
``watch.py``
    one poll of a provider for all instances that are waited for
``ssh.py``
    the one verified session with a node
``bootstrap/``
    the script that an instance boots with, and the document that it leaves
``drivers/``
    the driver contract, and one driver for each cloud and for this machine
``master.py``
    everything that is asked of Salt: keys, events, pillar, ping
``store.py``
    records of nodes, and locks
``plan.py``, ``roles.py``, ``config.py``, ``settings.py``
    from configuration to the nodes that are wanted; pure, apart from reading files
``progress.py``
    a node's stages, to the event bus, its log file and the terminal
``secrets.py``, ``model.py``, ``errors.py``
    what must never be shown; plain data; errors named by what the caller does next
"""

__version__ = "1.0.0"
