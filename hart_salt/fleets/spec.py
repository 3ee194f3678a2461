"""The declared fleets, with the provider and the regions of their nodes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from hart_salt.base.errors import Refused
from hart_salt.base.text import suggestion
from hart_salt.config import fleets
from hart_salt.config.loader import Config
from hart_salt.fleets.scene import Spec


def specs(config: Config, names: Iterable[str], region_of: Callable[[str, str], str]) -> list[Spec]:
    """
    Return the declared fleets with these names, or all of them, in the order of their names.

    ``region_of`` returns the region of a new node of a role at a provider, if its fleet names none.

    Raises ``Refused`` if there is no such fleet, or if none is declared.
    """
    chosen = list(dict.fromkeys(names)) or sorted(config.fleets)
    unknown = [name for name in chosen if name not in config.fleets]
    if not config.fleets:
        raise Refused("no fleet is declared: declare one under hart:fleets")
    if unknown:
        there = f"the fleets are {', '.join(sorted(config.fleets))}"
        raise Refused("\n".join(f"there is no fleet {name}{_meant(name, config)}; {there}" for name in unknown))
    roles = config.role_names()
    places = {name: (one.role, str(fleets.provider_of(one, roles))) for name, one in config.fleets.items()}
    alike = Counter(places.values())
    found = []
    for name in sorted(chosen):
        (role, provider), settings = places[name], config.fleets[name]
        regions = tuple(dict.fromkeys(settings.regions or [region_of(role, provider)]))
        found.append(Spec(name, role, provider, regions, settings, alike[role, provider] == 1))
    return found


def baking_regions(config: Config, spec: Spec, region_of: Callable[[str, str], str]) -> tuple[str, ...]:
    """
    Return the regions that need the images of a fleet's role: those of all fleets that bake it at the same provider.

    ``region_of`` is as for ``specs``.
    """
    names = [name for name, one in config.fleets.items() if one.role == spec.role and one.bake_after is not None]
    alike = [one for one in specs(config, names, region_of) if one.provider == spec.provider] if names else []
    return tuple(dict.fromkeys(region for one in alike for region in one.regions))


def ttl_of(config: Config, role: str | None, provider: str, region: str | None) -> float | None:
    """
    Return how many seconds a new node lives because of the fleet that it belongs to; None: no fleet says it.

    Whoever creates a node of a fleet, such as a reactor that scales it, gets a node that ends.
    """
    roles = config.role_names()
    alike = [
        one for one in config.fleets.values() if (one.role, fleets.provider_of(one, roles)) == (role, provider)
    ]  # fmt: skip
    chosen = alike if len(alike) == 1 else [one for one in alike if region in (one.regions or ())]
    return chosen[0].ttl if chosen else None


def _meant(name: str, config: Config) -> str:
    """Return what the user probably meant by a name that is of no fleet: the fleets of a role, or a close name."""
    of_role = [fleet for fleet, one in sorted(config.fleets.items()) if one.role == name]
    return f", but {name} is the role of {', '.join(of_role)}" if of_role else suggestion(name, config.fleets)
