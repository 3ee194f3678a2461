"""
hart-salt turns cloud instances into trusted Salt minions.

A map of the package; imports point downwards in this list and never back up:

``reference.py``
    writes ``REFERENCE.md`` from the code: settings, functions, events, errors
``runners/hart.py``, ``modules/hart.py``
    what ``salt-run hart.…`` calls: arguments in, plain data or one clear error out; what minions can ask
``answer.py``
    what a call answers: data or a sentence, all of it through the gate
``service.py``
    the use cases: create, destroy, list, check; the only file that knows them all
``scaling.py``, ``sweep.py``, ``checks.py``, ``health.py``, ``drain.py``, ``fleet.py``
    fleets: the number of a role's nodes and their renewal, with what is run on them before they go; what crashes
    left; what is known to be wrong before anything is touched; what hart needs of this machine
``importing.py``, ``hart_minions.py``, ``matches.py``
    minions that hart did not create come under its management; those that hart's own store has; which instance it is
``cloud_config.py``, ``cloud_files.py``, ``cloud_terms.py``
    salt-cloud's configuration in hart's words: the whole, its files, its settings
``addresses.py``
    further addresses of a node that is a minion
``lookup.py``
    what the records say of one node or address, for reactors
``destroy.py``, ``masters.py``, ``create.py``, ``listing.py``
    many nodes side by side: gone again, as a new salt-master, brought up, looked at
``strays.py``, ``survey.py``, ``identity.py``, ``home.py``
    what nothing living has a use for; what there is; which node an instance is; what every operation works with on the
    master's side
``rebuild.py``, ``sealing.py``, ``misses.py``
    lost records, written anew; sealing that a crash cut off, finished over Salt; when an instance is gone for certain
``side_by_side.py``
    several providers asked at the same time
``lifecycle.py``
    one node from launch to sealed minion, and its undo
``wheel.py``
    a wheel of the hart-salt that is installed, for a new salt-master
``presence.py``
    which new minions answer: one question for all that are waited for
``watch.py``
    one poll of a provider for all instances that are waited for
``ssh.py``, ``pacing.py``
    the one verified session with a node; what one node may take of the event loop that all share
``bootstrap/``, ``bootstrap/document.py``
    the script that an instance boots with; the document that it leaves, bounded and checked
``output.py``
    what commands on a node print, bounded while it is read
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
    ``drivers/outage.py``, how long a server that cannot be reached is waited for;
    ``drivers/rest.py``, JSON APIs asked with requests; ``drivers/patience.py``, what an API does later than it says;
    ``drivers/reports.py``, tags and dates; ``drivers/giving.py``, further addresses; ``drivers/origin.py``, where the
    master's connections come from
``master.py``
    everything that is asked of Salt: keys, events, pillar, ping
``jobs.py``, ``events.py``
    jobs on minions, and their answers as the master has stored them; what is heard on the event bus
``plan.py``
    what a call would do, for ``test=True``
``store.py``, ``locks.py``
    records of nodes; what a living process works on, and what a dead one left unfinished
``roles.py``
    from roles to the nodes that are wanted; pure
``config.py``, ``sources.py``, ``catalogue.py``, ``validation.py``
    from layers of configuration to one, with every fault: reads it, where from, which settings, what is wrong
``terminal.py``, ``progress.py``, ``logs.py``
    a node's stages, to the event bus, its log file and the terminal; which directory the logs go to
``threads.py``, ``signals.py``
    blocking calls and the event loop; SIGINT, SIGTERM and SIGHUP
``streams.py``, ``outbox.py``
    standard output and error, on which nothing depends; handing things to who may be slow or gone
``gate.py``
    the one way out for results, errors, events and logs: unseen characters, secrets, length
``endpoints.py``
    which addresses may be asked with credentials
``merge.py``, ``secrets.py``, ``finder.py``
    how layers become one; what must never be shown; where it stands in a text, also in part
``text.py``
    text that somebody else wrote, made safe to show
``model.py``, ``settings.py``, ``naming.py``
    plain data; the settings common to all drivers; what a minion id is
``descriptors.py``, ``faults.py``
    how many nodes can be under way with the files that may be open; faults of this machine, in words: one sentence with
    the path, the user and what to do
``errors.py``
    errors named by what the caller does next
"""

__version__ = "1.0.0"
