"""
hart-salt turns cloud instances into trusted Salt minions.

A map of the package; imports point downwards in this list and never back up:

``reference.py``
    writes ``REFERENCE.md`` from the code: settings, functions, events, errors
``runners/hart.py``, ``modules/hart.py``
    what ``salt-run hart.…`` calls: arguments in, plain data or one clear error out; what minions can ask
``service.py``
    the use cases: create, destroy, list, check; the only file that knows them all
``scaling.py``, ``sweep.py``, ``checks.py``, ``drain.py``, ``fleet.py``
    fleets: the number of a role's nodes and their renewal, with what is run on them before they go; what crashes
    left; what is known to be wrong before anything is touched
``importing.py``, ``hart_minions.py``, ``matches.py``
    minions that hart did not create come under its management; those that hart's own store has; which instance it is
``cloud_config.py``, ``cloud_files.py``, ``cloud_terms.py``
    salt-cloud's configuration in hart's words: the whole, its files, its settings
``addresses.py``
    further addresses of a node that is a minion
``destroy.py``, ``masters.py``, ``create.py``, ``listing.py``
    many nodes side by side: gone again, as a new salt-master, brought up, looked at
``strays.py``, ``survey.py``, ``home.py``
    what nothing living has a use for; what there is; what every operation works with on the master's side
``lifecycle.py``
    one node from launch to sealed minion, and its undo
``wheel.py``
    a wheel of the hart-salt that is installed, for a new salt-master
``presence.py``
    one question for all minions that are waited for
``watch.py``
    one poll of a provider for all instances that are waited for
``ssh.py``
    the one verified session with a node
``bootstrap/``
    the script that an instance boots with, and the document that it leaves
``drivers/``
    the registry; ``drivers/base.py``, the contract; and one driver for each cloud and for this machine:
    ``drivers/do.py`` with ``drivers/do_addresses.py`` and ``drivers/do_api.py``; ``drivers/ec2.py`` with
    ``drivers/ec2_lookup.py``, ``drivers/ec2_network.py``, ``drivers/ec2_images.py``, ``drivers/ec2_prices.py``,
    ``drivers/ec2_api.py``, ``drivers/ec2_request.py`` and ``drivers/ec2_settings.py``; ``drivers/gce.py`` with
    ``drivers/gce_settings.py``, ``drivers/gce_instances.py`` (names, labels, bodies, reports),
    ``drivers/gce_catalogue.py`` (what there is), ``drivers/gce_inserts.py`` (creates under way),
    ``drivers/gce_api.py``, ``drivers/gce_credentials.py``, ``drivers/gce_errors.py`` and ``drivers/gce_refusals.py``;
    ``drivers/vultr.py`` with ``drivers/vultr_addresses.py``, ``drivers/vultr_rules.py`` and ``drivers/vultr_api.py``;
    ``drivers/local/``; what several of them share: ``drivers/calls.py``, how APIs over HTTP are asked;
    ``drivers/rest.py``, JSON APIs asked with requests; ``drivers/patience.py``, what an API does later than it says;
    ``drivers/reports.py``, tags and dates; ``drivers/giving.py``, further addresses; ``drivers/origin.py``, where the
    master's connections come from
``master.py``
    everything that is asked of Salt: keys, events, pillar, ping
``events.py``
    what minions are heard to say on the event bus
``plan.py``
    what a call would do, for ``test=True``
``store.py``, ``locks.py``
    records of nodes; what a living process works on, and what a dead one left unfinished
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
