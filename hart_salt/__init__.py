"""
hart-salt turns cloud instances into trusted Salt minions.

A map of the package; imports point downwards in this list and never back up:

``runners/hart.py``, ``modules/hart.py``
    what ``salt-run hart.…`` calls: arguments in, plain data or one clear error out; what minions can ask
``reference.py``
    writes ``REFERENCE.md`` from the code: settings, functions, events, errors
``service.py``
    the use cases: create, destroy, list, check; the only file that knows them all
``destroy.py``, ``create.py``, ``listing.py``
    many nodes side by side: gone again, brought up, looked at
``lifecycle.py``
    one node from launch to sealed minion, and its undo
``watch.py``
    one poll of a provider for all instances that are waited for
``ssh.py``
    the one verified session with a node
``bootstrap/``
    the script that an instance boots with, and the document that it leaves
``drivers/``
    the registry; ``drivers/base.py``, the contract; and one driver for each cloud and for this machine:
    ``drivers/do.py`` with ``drivers/do_api.py``; ``drivers/ec2.py`` with ``drivers/ec2_lookup.py``,
    ``drivers/ec2_network.py``, ``drivers/ec2_images.py``, ``drivers/ec2_prices.py``, ``drivers/ec2_api.py``,
    ``drivers/ec2_request.py`` and ``drivers/ec2_settings.py``; ``drivers/gce.py``; ``drivers/vultr.py``;
    ``drivers/local/``; ``drivers/origin.py``, where the master's connections come from
``master.py``
    everything that is asked of Salt: keys, events, pillar, ping
``plan.py``
    what a call would do, for ``test=True``
``store.py``
    records of nodes, and locks
``roles.py``
    from roles to the nodes that are wanted; pure
``config.py``, ``sources.py``, ``catalogue.py``, ``validation.py``
    from layers of configuration to one, with every fault: reads it, where from, which settings, what is wrong
``terminal.py``, ``progress.py``
    a node's stages, to the event bus, its log file and the terminal
``threads.py``
    blocking calls, the event loop and signals
``merge.py``, ``secrets.py``
    how layers become one; what must never be shown
``model.py``, ``settings.py``, ``naming.py``
    plain data; the settings common to all drivers; what a minion id is
``errors.py``
    errors named by what the caller does next
"""

__version__ = "1.0.0"
