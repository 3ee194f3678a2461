"""
The planner: from a fleet as it is to the actions that make it what its declaration says. Pure.

What it never does: exceed ``max``, ``limits`` or the limits of the configuration, also for a moment; disturb more than
``disruption:at_once`` nodes at the same time; touch a protected node, or one that a call works on; act on a scene that
could not be seen whole. A plan that would remove more than half of the nodes is held.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

from hart_salt.config import durations
from hart_salt.config.fleets import Fleet, share_of
from hart_salt.fleets import actions as do
from hart_salt.fleets import aging
from hart_salt.fleets.actions import Action, Later, Plan, clock
from hart_salt.fleets.choice import spread, victims
from hart_salt.fleets.purse import Purse
from hart_salt.fleets.scene import GONE, READY, SILENT, STATES, STOPPED, Member, Scene

#: so many silent nodes are never a fault of the network, whatever part of the fleet they are
FEW_SILENT = 1
#: the most names in one sentence
NAMES = 3


def plan(scene: Scene, now: float, *, force: bool = False) -> Plan:
    """
    Return what is to be done with a fleet.

    ``now`` is in seconds since the epoch. With ``force``, more than half of the nodes may be removed at once.
    """
    if scene.problems:
        return _Planner(scene, now, force).nothing(do.BLOCKED, "; ".join(scene.problems))
    if why := network_fault(scene.members) or scene.network:
        return _Planner(scene, now, force).nothing(do.BLOCKED, why)
    return _Planner(scene, now, force).plan()


def network_fault(members: Sequence[Member]) -> str:
    """
    Return why the network seems to be at fault, in words: too many minions do not answer although their instances run.

    That is more than a third of the nodes; one node by itself does not count.
    """
    silent = [one for one in members if one.state == SILENT]
    there = [one for one in members if one.state != GONE]
    if len(silent) <= max(FEW_SILENT, len(there) // 3):
        return ""
    return (
        f"{len(silent)} of {len(there)} minions do not answer although their instances run, which is more than a "
        "third: the network or the master is probably at fault"
    )


def is_broken(member: Member, settings: Fleet, now: float) -> bool:
    """Return whether a node is to be replaced because it does not work."""
    if settings.repair_after is None or member.state not in (SILENT, STOPPED):
        return False
    if member.state == STOPPED:
        return True
    return member.silent_since is not None and now - member.silent_since >= settings.repair_after


class _Planner:
    """The work on one plan."""

    def __init__(self, scene: Scene, now: float, force: bool) -> None:
        self.scene = scene
        self.spec = scene.spec
        self.settings = scene.spec.settings
        self.now = now
        self.force = force
        members = sorted(scene.members, key=lambda one: one.minion_id)
        self.gone = [one for one in members if one.state == GONE]
        #: nodes that have to be created again; one that is protected, or whose ttl has ended, has no successor
        self.lost = [one for one in self.gone if one.free and not one.has_ended(now)]
        there = [one for one in members if one.state != GONE]
        self.ended = [one for one in there if one.has_ended(now) and one.free]
        self.alive = _without(there, self.ended)
        self.regions = Counter(one.region for one in self.alive)
        self.wanted = self._wanted()
        self.at_once = share_of(self.settings.disruption.at_once, self.wanted)
        #: how many nodes can still be replaced or removed now
        self.left = self.at_once
        ready = [one for one in self.alive if _serves(one)]
        #: how many of the nodes that are ready can be taken away: then enough others are ready
        self.room = len(ready) - (self.wanted - self.at_once)
        self.purse = Purse(scene, there, now)  # a node that ends counts until it is gone
        self.now_actions: list[Action] = []
        self.following: list[Action] = []
        self.later: list[Later] = []
        self.blocked: list[str] = []
        self.held = scene.held
        self.notes = list(scene.notes)
        bake = scene.bake
        #: by region, why no node can be created there before the role is baked
        self.missing = bake.missing if bake is not None else {}
        #: what has to wait for that
        self.unbaked: list[Action] = []
        #: whether this plan makes a new image; that another call makes it, in words; why nodes are not renewed before
        self.bakes = False
        self.baking = ""
        self.outdated = ""

    # the result

    def nothing(self, state: str, why: str) -> Plan:
        """Return a plan without actions."""
        return self._result(state, why)

    def plan(self) -> Plan:
        """Return the plan."""
        old = self._due()
        surplus = self._surplus(old)
        self._hold(surplus)
        self._clean_up()
        self._create()
        self._take_away(surplus, old)
        self._postpone()
        self._add_notes()
        if self.held:
            return self._result(do.HELD, self.held)
        blocked = "; ".join(dict.fromkeys(self.blocked))
        if self.now_actions or self.baking or any(one.busy for one in self.alive):
            return self._result(do.CHANGING, blocked)
        if blocked:
            return self._result(do.BLOCKED, blocked)
        return self._result(do.STEADY, _waiting(self.later))

    def _result(self, state: str, why: str) -> Plan:
        counts = Counter(one.state for one in self.scene.members)
        return Plan(
            self.spec.name, state, why, self.wanted, {name: counts[name] for name in STATES}, tuple(self.now_actions),
            tuple(self.following), tuple(self.later), tuple(self.notes),
        )  # fmt: skip

    # what there should be

    def _wanted(self) -> int:
        there = len(self.alive) + len(self.lost)
        target = there if self.scene.target is None else self.scene.target.wanted
        wanted = max(self.settings.low, target)
        return wanted if self.settings.high is None else min(wanted, self.settings.high)

    def _due(self) -> dict[str, Action]:
        """Return the replacements of nodes that get too old, the oldest first, and of those that differ."""
        free = [one for one in self.alive if one.free]
        found = {
            one.minion_id: self._replacement(one, do.AGE, self._age_reason(one))
            for one in aging.expiring(free, self.settings, self.at_once, self.now)
        }
        if self.settings.drift == "replace":
            drifted = [one for one in free if one.drift and one.minion_id not in found]
            found |= {one.minion_id: self._replacement(one, do.DRIFT, _difference(one)) for one in drifted}
        return found

    def _surplus(self, old: Iterable[str]) -> list[Member]:
        """Return the nodes that are too many; first those that would be replaced anyway."""
        number = len(self.alive) - self.wanted
        if number <= 0:
            return []
        first = {*old, *(one.minion_id for one in self.alive if one.drift)}
        found = victims(self.alive, number, newest=self.settings.remove == "newest", first=first)
        if len(found) < number:
            self.blocked.append(
                f"{number} nodes are too many, but only {len(found)} can go: the others are protected, or a call works "
                "on them"
            )
        return found

    def _hold(self, surplus: Sequence[Member]) -> None:
        """Hold what is too much at once, unless it is forced: it may be a mistake."""
        if self.force or self.held:
            return
        command = f"salt-run hart.apply {self.spec.name} force=True does it"
        there = len(self.alive) + len(self.lost)
        if len(surplus) * 2 > len(self.alive):
            self.held = f"{len(surplus)} of {len(self.alive)} nodes would be removed, more than half: {command}"
        elif len(self.lost) > max(1, there / 2):
            self.held = (
                f"the instances of {len(self.lost)} of {there} nodes are gone, more than half: if the account is the "
                f"right one, {command}"
            )

    # the actions

    def _do(self, action: Action, *, free: bool = False) -> bool:
        """
        Plan an action for now; if the fleet is held or too much was changed, for later. Return whether it is for now.

        ``free`` is for an action that does not count as a change.
        """
        if self.held:
            self.later.append(Later(action, self.held))
        elif not (free or self.purse.change()):
            since = self.purse.next_change
            why = f"limits:changes_per_hour is {self.settings.limits.changes_per_hour}"
            self.later.append(Later(action, why, since))
            self.blocked.append(f"{why}: the next change is possible at {clock(since)}")
        else:
            self.now_actions.append(action)
            return True
        return False

    def _clean_up(self) -> None:
        for one in self.gone:
            if one.free:
                self._do(self._destruction(one, do.VANISHED, "its instance is gone"), free=True)
        for one in self.ended:
            self._do(self._destruction(one, do.ENDED, "its ttl has ended"))

    def _create(self) -> None:
        number = self.wanted - len(self.alive)
        refused: Counter[str] = Counter()
        for region in spread(self.spec.regions, self.regions, max(0, number)):
            price = self.scene.prices.get(region)
            action = Action(do.CREATE, do.FEW, self._few(), region, after=price)
            self.regions[region] += 1
            why = self.purse.refusal(price)
            if why and self.ended:
                self.following.append(action)
            elif why:
                self.later.append(Later(action, why))
                refused[why] += 1
            elif self._lacks_image(action):
                self.purse.reserve(price)
            elif self._do(action):
                self.purse.create(price)
        self.room += sum(refused.values())  # the limits decide that they do not come: nothing waits for them
        self._refuse(refused)

    def _refuse(self, refused: Counter[str]) -> None:
        for why, count in refused.items():
            self.blocked.append(f"{count} more {'node is' if count == 1 else 'nodes are'} wanted, but {why}")

    def _few(self) -> str:
        reason = f"{len(self.alive)} of {self.wanted} nodes are there"
        return reason if self.scene.target is None else f"{reason}: {self.scene.target.reason}"

    def _many(self) -> str:
        reason = f"{len(self.alive)} {'node' if len(self.alive) == 1 else 'nodes'} instead of {self.wanted}"
        return reason if self.scene.target is None else f"{reason}: {self.scene.target.reason}"

    def _destruction(self, member: Member, cause: str, reason: str) -> Action:
        answers = member.state == READY
        return Action(do.DESTROY, cause, reason, member.region, member.minion_id, answers=answers, before=member.price)

    def _replacement(self, member: Member, cause: str, reason: str) -> Action:
        region = member.region
        if region not in self.spec.regions:
            (region,) = spread(self.spec.regions, self.regions, 1)
            self.regions[region] += 1
        return Action(
            do.REPLACE, cause, reason, region, member.minion_id, answers=member.state == READY,
            deadline=member.interrupted, before=member.price, after=self.scene.prices.get(region),
        )  # fmt: skip

    # nodes that go

    def _take_away(self, surplus: Sequence[Member], old: dict[str, Action]) -> None:
        """Plan the removal and replacement of nodes, the urgent ones first, each node once."""
        rest = [one for one in _without(self.alive, surplus) if one.free]
        ending = [one for one in rest if one.interrupted is not None]
        for one in ending:
            self._replace(self._replacement(one, do.INTERRUPTED, _ending(one)), one)
        rest = _without(rest, ending)
        broken = [one for one in rest if is_broken(one, self.settings, self.now)]
        for one in broken:
            action = self._replacement(one, do.BROKEN, self._broken_reason(one))
            if self.left > 0 or self.held:
                self.left -= self._replace(action, one)
            else:
                self.following.append(action)
        stuck = [one for one in _without(self.alive, [*surplus, *ending, *broken]) if one.state != READY]
        for one in surplus:
            self._voluntary(self._destruction(one, do.MANY, self._many()), one, stuck)
        self._bake()
        self._after_bake()
        self._replace_old(_without(rest, broken), old, stuck)

    def _bake(self) -> None:
        """Plan a new image of the role, if one is due: nodes that are renewed before it would be renewed twice."""
        bake = self.scene.bake
        if bake is None or self.settings.high == 0 or not (bake.due or bake.running):
            return
        action = Action(do.BAKE, do.IMAGE, bake.due, bake.region)
        self.outdated = f"a new image of the role {self.spec.role} is due, and comes first"
        if bake.running:
            self.baking = f"a call bakes the role {self.spec.role}"
            self.later += [Later(action, self.baking)] if bake.due else []
        elif self.held:
            self._do(action)
        elif bake.wrong:
            self.later.append(Later(action, bake.wrong))
            self.blocked.append(f"no new image of the role {self.spec.role} can be made: {bake.wrong}")
        elif bake.waits:
            self.later.append(Later(action, bake.waits, bake.since))
        elif why := self.purse.refusal_beside(bake.room):
            self.later.append(Later(action, why))
            self.blocked.append(f"a new image of the role {self.spec.role} is due, but {why}")
        else:
            self.bakes = self._do(action, free=True)

    def _lacks_image(self, action: Action) -> bool:
        """Put off an action whose new node has no image yet that it can boot; return whether it is put off."""
        if self.held or action.region not in self.missing:
            return False
        self.unbaked.append(action)
        return True

    def _after_bake(self) -> None:
        """Plan what needs the new image to follow the bake; if there is none now, say what is in the way."""
        if self.bakes or self.baking:
            self.following += self.unbaked if self.bakes else []
            self.later += [Later(one, self.baking) for one in self.unbaked if self.baking]
            return
        since = self.scene.bake.since if self.scene.bake is not None else None
        self.later += [Later(one, self.missing[one.region], since) for one in self.unbaked]
        self._refuse(Counter(self.missing[one.region] for one in self.unbaked if one.kind == do.CREATE))
        for one in self.unbaked:
            if one.kind == do.REPLACE:
                self.blocked.append(f"{one.minion_id} cannot be replaced: {self.missing[one.region]}")
        if self.unbaked and since is not None:
            self.blocked.append(f"the next bake is possible at {clock(since)}")

    def _replace_old(self, rest: Sequence[Member], old: dict[str, Action], stuck: Sequence[Member]) -> None:
        """Replace nodes that are too old or differ, in a window."""
        members = {one.minion_id: one for one in rest}
        opens = aging.opening(self.settings.disruption.windows, self.now)
        since = self.scene.bake.since if self.scene.bake is not None else None
        for minion_id, action in old.items():
            if minion_id not in members:
                continue
            if opens is not None and not self.held:
                self.later.append(Later(action, f"the next window opens at {clock(opens)}", opens))
            elif self.bakes:
                self.following.append(action)
            elif self.outdated and not self.held:
                self.later.append(Later(action, self.baking or self.outdated, since))
            else:
                self._voluntary(action, members[minion_id], stuck)

    def _voluntary(self, action: Action, member: Member, stuck: Sequence[Member]) -> None:
        """
        Take away a node now, if enough others stay ready, or when they are.

        ``stuck`` are the nodes that are not ready and that this plan does nothing about.
        """
        serves = _serves(member)
        if self.held or (self.left > 0 and (self.room > 0 or not serves)):
            done = self._do(action) if action.kind == do.DESTROY else self._replace(action, member)
            self.left -= done
            self.room -= done and serves
        elif member.interrupted is not None:
            self._do(action)
        elif serves and len(stuck) >= self.at_once:
            names = _names(one.minion_id for one in stuck)
            self.later.append(Later(action, f"no other node can go while these are not ready: {names}"))
        else:
            self.following.append(action)

    def _replace(self, action: Action, member: Member) -> bool:
        """Plan a replacement: the new node first if there is room for it, otherwise the old one goes first."""
        if self._lacks_image(action):
            return False
        if not self.purse.refusal(action.after):
            done = self._do(action)
            if done:
                self.purse.create(action.after)
            return done
        action = dataclasses.replace(action, surge=False)
        why = self.purse.refusal(action.after, member.price, replaces=True)
        if why and self.ended:
            self.following.append(action)
            return False
        if why:
            self.later.append(Later(action, why))
            self.blocked.append(f"{member.minion_id} cannot be replaced: {why}")
            return False
        done = self._do(action)
        if done:
            self.purse.exchange(member.price, action.after)
        return done

    def _postpone(self) -> None:
        """If nothing is done now, nothing follows it."""
        if not self.now_actions:
            self.later += [Later(one, "too few other nodes are ready") for one in self.following]
            self.following.clear()

    # why

    def _broken_reason(self, member: Member) -> str:
        if member.state == STOPPED or member.silent_since is None:
            return member.why
        return f"{member.why} for {durations.words(self.now - member.silent_since)}"

    def _age_reason(self, member: Member) -> str:
        age = durations.words(self.now - member.created)
        return f"it is {age} old, and expire_after is {durations.words(self.settings.expire_after or 0)}"

    # what stays

    def _add_notes(self) -> None:
        for one in [*self.gone, *self.alive]:
            if one.protected and (why := self._would_go(one)):
                self.notes.append(f"{one.minion_id} stays although {why}: it is protected")
        if self.settings.drift == "report":
            alike: dict[str, list[str]] = {}
            for one in self.alive:
                if one.drift:
                    alike.setdefault(", ".join(one.drift), []).append(one.minion_id)
            for what, ids in alike.items():
                differ = "differs" if len(ids) == 1 else "differ"
                self.notes.append(f"{_names(ids)} {differ} from the configuration: {what}")
        early = sum(one.kind in (do.CREATE, do.REPLACE) for one in self.now_actions) if self.bakes else 0
        if early and self.settings.drift == "replace":
            come, are = ("node comes", "is") if early == 1 else ("nodes come", "are")
            self.notes.append(f"{early} new {come} up before the new image is there, and {are} replaced after it")
        idle = [one.minion_id for one in self.alive if one.state == STOPPED and one.free]
        if idle and self.settings.repair_after is None:
            self.notes.append(f"not replaced although the instance does not run: {_names(idle)}; set repair_after")

    def _would_go(self, member: Member) -> str:
        """Return why a protected node would go, in words; empty if it would stay."""
        if member.state == GONE:
            return "its instance is gone"
        if member.has_ended(self.now):
            return "its ttl has ended"
        if is_broken(member, self.settings, self.now):
            return self._broken_reason(member)
        if member.interrupted is not None:
            return _ending(member)
        if member.drift and self.settings.drift == "replace":
            return _difference(member)
        after = self.settings.expire_after
        return self._age_reason(member) if after is not None and self.now - member.created >= after else ""


def _serves(member: Member) -> bool:
    """Return whether a node is ready and its provider leaves it."""
    return member.state == READY and member.interrupted is None


def _ending(member: Member) -> str:
    return f"its provider takes it away at {clock(member.interrupted or 0)}"


def _difference(member: Member) -> str:
    return f"it differs from the configuration: {', '.join(member.drift)}"


def _names(minion_ids: Iterable[str]) -> str:
    """Return the first names, and how many more there are."""
    names = list(minion_ids)
    more = [f"{len(names) - NAMES} more"] if len(names) > NAMES else []
    return ", ".join([*names[:NAMES], *more])


def _without(members: Iterable[Member], others: Iterable[Member]) -> list[Member]:
    ids = {one.minion_id for one in others}
    return [one for one in members if one.minion_id not in ids]


def _waiting(later: Sequence[Later]) -> str:
    """Return what waits, in words; empty if nothing does."""
    whys = Counter(one.why for one in later)
    return "; ".join(
        f"{number} {'change waits' if number == 1 else 'changes wait'}: {why}" for why, number in whys.items()
    )
