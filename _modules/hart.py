"""
What a minion knows about how it came to be. Standard library and Salt only: it runs on every minion.
"""

__virtualname__ = "hart"


def __virtual__():
    return __virtualname__


def info():
    """
    Return what hart wrote into this minion's configuration when it made it.

    Returns a dictionary with ``roles``, ``provider``, ``region``, ``zone`` and ``size``; a value that hart
    did not set is None.

    CLI Example:

    .. code-block:: bash

        salt -G roles:app hart.info
    """
    names = ("provider", "region", "zone", "size")
    found = {name: __grains__.get(f"hart.{name}") for name in names}
    return {"roles": __grains__.get("roles"), **found}
