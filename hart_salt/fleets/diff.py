"""
The planner: from a fleet as it is to the actions that make it what its declaration says. Pure.

What it never does: exceed ``max``, ``limits`` or the limits of the configuration, also for a moment; disturb more than
``disruption:at_once`` nodes at the same time; touch a protected node, or one that a call works on; act on a scene that
could not be seen whole. A plan that would remove more than half of the nodes is held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from hart_salt.config import durations
from hart_salt.config.fleets import Fleet, share_of
from hart_salt.fleets import actions as do
from hart_salt.fleets.actions import Action, Later, Plan
from hart_salt.fleets.choice import spread, victims
from hart_salt.fleets.purse import HOUR, Purse
from hart_salt.fleets.scene import GONE, READY, SILENT, STATES, STOPPED, Member, Scene

#: the part of ``expire_after``, and the most seconds, by which a node is replaced before it is too old
LEAD_PART, LEAD = 0.1, 86400.0
#: of so many nodes, one more than a third may be silent before the network counts as the cause
FEW_SILENT = 1


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


def has_ended(member: Member, now: float) -> bool:
    """Return whether the ttl of a node has ended."""
    return member.ends is not None and member.ends <= now


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
        there = [one for one in members if one.state != GONE]
        self.ended = [one for one in there if has_ended(one, self.now) and self._is_free(one)]
        taken = {one.minion_id for one in self.ended}
        self.alive = [one for one in there if one.minion_id not in taken]
        self.wanted = self._wanted()
        self.at_once = share_of(self.settings.disruption.at_once, self.wanted)
        self.purse = Purse(scene, there, now)  # a node that ends counts until it is gone
        self.now_actions: list[Action] = []
        self.following: list[Action] = []
        self.later: list[Later] = []
        self.blocked: list[str] = []
        self.held = scene.held
        self.notes = list(scene.notes)

    # the result

    def nothing(self, state: str, why: str) -> Plan:
        """Return a plan without actions."""
        return self._result(state, why)

    def plan(self) -> Plan:
        """Return the plan."""
        surplus = self._surplus()
        self._hold(surplus)
        self._clean_up()
        self._create()
        self._replace_all(surplus)
        self._protected_notes()
        if self.held:
            return self._result(do.HELD, self.held)
        if self.now_actions or self.following or any(one.busy for one in self.alive):
            return self._result(do.CHANGING, "; ".join(dict.fromkeys(self.blocked)))
        if self.blocked:
            return self._result(do.BLOCKED, "; ".join(dict.fromkeys(self.blocked)))
        return self._result(do.STEADY, _waiting(self.later))

    def _result(self, state: str, why: str) -> Plan:
        counts = Counter(one.state for one in self.scene.members)
        return Plan(
            self.spec.name, state, why, self.wanted, {name: counts[name] for name in STATES}, tuple(self.now_actions),
            tuple(self.following), tuple(self.later), tuple(self.notes),
        )  # fmt: skip

    # what there should be

    def _wanted(self) -> int:
        there = len(self.alive) + len(self.gone)
        target = there if self.scene.target is None else self.scene.target.wanted
        wanted = max(self.settings.low, target)
        return wanted if self.settings.high is None else min(wanted, self.settings.high)

    def _is_free(self, member: Member) -> bool:
        return not (member.protected or member.busy)

    def _surplus(self) -> list[Member]:
        """Return the nodes that are too many."""
        number = len(self.alive) - self.wanted
        if number <= 0:
            return []
        found = victims(self.alive, number, newest=self.settings.remove == "newest")
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
        there = len(self.alive) + len(self.gone)
        if len(surplus) * 2 > len(self.alive):
            self.held = f"{len(surplus)} of {len(self.alive)} nodes would be removed, more than half: {command}"
        elif len(self.gone) > max(1, there / 2):
            self.held = (
                f"the instances of {len(self.gone)} of {there} nodes are gone, more than half: if the account is the "
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
            since = self.purse.next_change or self.now + HOUR
            why = f"limits:changes_per_hour is {self.settings.limits.changes_per_hour}"
            self.later.append(Later(action, why, since))
            self.blocked.append(f"{why}: the next change is possible at {clock(since)}")
        else:
            self.now_actions.append(action)
            return True
        return False

    def _clean_up(self) -> None:
        for one in self.gone:
            if self._is_free(one):
                self._do(self._destruction(one, do.VANISHED, "its instance is gone"), free=True)
        for one in self.ended:
            self._do(self._destruction(one, do.ENDED, "its ttl has ended"))

    def _create(self) -> None:
        number = self.wanted - len(self.alive)
        there = [one.region for one in self.alive]
        for region in spread(self.spec.regions, there, max(0, number)):
            price = self.scene.prices.get(region)
            action = Action(do.CREATE, do.FEW, self._few(), region, after=price)
            why = self.purse.refusal(price)
            if why and self.ended:
                self.following.append(action)
            elif why:
                self.later.append(Later(action, why))
                self.blocked.append(f"{number} more nodes are wanted, but {why}")
            elif self._do(action):
                self.purse.create(price)

    def _few(self) -> str:
        reason = f"{len(self.alive)} of {self.wanted} nodes are there"
        return reason if self.scene.target is None else f"{reason}: {self.scene.target.reason}"

    def _destruction(self, member: Member, cause: str, reason: str) -> Action:
        return Action(do.DESTROY, cause, reason, member.region, member.minion_id, before=member.price)

    def _replacement(self, member: Member, cause: str, reason: str) -> Action:
        region = member.region if member.region in self.spec.regions else self._emptiest()
        after = self.scene.prices.get(region)
        return Action(
            do.REPLACE, cause, reason, region, member.minion_id, deadline=member.interrupted, before=member.price,
            after=after,
        )  # fmt: skip

    def _emptiest(self) -> str:
        (region,) = spread(self.spec.regions, (one.region for one in self.alive), 1)
        return region

    # nodes that go

    def _replace_all(self, surplus: Sequence[Member]) -> None:
        """Plan the removal and replacement of nodes, the urgent ones first, each node once."""
        going = {one.minion_id for one in surplus}
        rest = [one for one in self.alive if one.minion_id not in going and self._is_free(one)]
        taken: list[Member] = [*surplus]
        for one in rest:
            if one.interrupted is not None:
                reason = f"its provider takes it away at {clock(one.interrupted)}"
                self._replace(self._replacement(one, do.INTERRUPTED, reason), one)
                taken.append(one)
        rest = _without(rest, taken)
        broken = [one for one in rest if is_broken(one, self.settings, self.now)]
        left = self.at_once
        for one in broken:
            action = self._replacement(one, do.BROKEN, self._broken_reason(one))
            left -= self._replace_or_wait(action, one, left > 0)
        for one in surplus:
            action = self._destruction(one, do.MANY, self._many())
            if left > 0 or self.held:
                left -= self._do(action)
            else:
                self.following.append(action)
        self._replace_old(_without(rest, broken), surplus, broken, left)

    def _replace_old(
        self, rest: Sequence[Member], surplus: Sequence[Member], broken: Sequence[Member], left: int
    ) -> None:
        """Replace nodes that are too old or differ, while as many others are ready as must be."""
        actions = {**self._too_old(rest)}
        if self.settings.drift == "replace":
            drifted = {one.minion_id: one for one in rest if one.drift and one.minion_id not in actions}
            actions |= {minion_id: self._drift_action(one) for minion_id, one in drifted.items()}
        handled = {one.minion_id for one in (*surplus, *broken)}
        unready = [one for one in self.alive if one.state != READY]
        stuck = [one for one in unready if one.minion_id not in handled]
        changing = max(0, self.wanted - len(self.alive)) + len(unready)
        free = min(left, self.at_once - changing)
        opens = self._window()
        for one in rest:
            action = actions.get(one.minion_id)
            if action is None:
                continue
            if opens is not None and not self.held:
                self.later.append(Later(action, f"the next window opens at {clock(opens)}", opens))
            elif len(stuck) >= self.at_once and one not in stuck:
                names = ", ".join(it.minion_id for it in stuck[:3])
                self.later.append(Later(action, f"not ready, so that no other node may go: {names}"))
            else:
                free -= self._replace_or_wait(action, one, free > 0 or (one in stuck and left > 0))

    def _replace_or_wait(self, action: Action, member: Member, now: bool) -> bool:
        """Replace a node now, or when others are ready; return whether it is replaced now."""
        if now or self.held:
            return self._replace(action, member)
        self.following.append(action)
        return False

    def _replace(self, action: Action, member: Member) -> bool:
        """Plan a replacement: the new node first if there is room for it, otherwise the old one goes first."""
        first = self.purse.refusal(action.after)
        if not first:
            done = self._do(action)
            if done:
                self.purse.create(action.after)
            return done
        action = Action(**{**vars(action), "surge": False})
        why = self.purse.refusal(action.after, member.price, replaces=True)
        if why and self.ended:
            self.following.append(action)
            return False
        if why:
            self.later.append(Later(action, why))
            self.blocked.append(f"{member.minion_id} cannot be replaced: {why}")
            return False
        return self._do(action)

    def _broken_reason(self, member: Member) -> str:
        if member.state == STOPPED or member.silent_since is None:
            return member.why
        return f"{member.why} for {durations.words(self.now - member.silent_since)}"

    def _many(self) -> str:
        reason = f"{len(self.alive)} nodes are there, and {self.wanted} are wanted"
        return reason if self.scene.target is None else f"{reason}: {self.scene.target.reason}"

    def _drift_action(self, member: Member) -> Action:
        return self._replacement(member, do.DRIFT, f"it differs from the configuration: {', '.join(member.drift)}")

    def _too_old(self, members: Iterable[Member]) -> dict[str, Action]:
        """Return the replacements of nodes whose age comes to an end, the oldest first."""
        after = self.settings.expire_after
        if after is None:
            return {}
        lead = min(after * LEAD_PART, LEAD)
        found = {}
        for one in sorted(members, key=lambda it: (it.created, it.minion_id)):
            if self._expires(one.created + after, lead):
                age = durations.words(self.now - one.created)
                reason = f"it is {age} old, and expire_after is {durations.words(after)}"
                found[one.minion_id] = self._replacement(one, do.AGE, reason)
        return found

    def _expires(self, deadline: float, lead: float) -> bool:
        """Return whether a node is replaced for its age now: shortly before, or in the last window before."""
        if self.now >= deadline - lead:
            return True
        windows = self.settings.disruption.windows or ()
        ends = [one.end(self.now) for one in windows if one.is_open(self.now)]
        if not ends:
            return False
        return min(one.begin.next(self.now) for one in windows) > deadline - lead

    def _window(self) -> float | None:
        """Return when the next window opens; None if nodes can be replaced now."""
        windows = self.settings.disruption.windows
        if not windows or any(one.is_open(self.now) for one in windows):
            return None
        return min(one.opens(self.now) for one in windows)

    # what stays

    def _protected_notes(self) -> None:
        for one in self.alive:
            if one.protected and (has_ended(one, self.now) or is_broken(one, self.settings, self.now)):
                why = "its ttl has ended" if has_ended(one, self.now) else one.why
                self.notes.append(f"{one.minion_id} stays although {why}: it is protected")
            if one.drift and self.settings.drift == "report":
                self.notes.append(f"{one.minion_id} differs from the configuration: {', '.join(one.drift)}")


def _without(members: Iterable[Member], others: Iterable[Member]) -> list[Member]:
    ids = {one.minion_id for one in others}
    return [one for one in members if one.minion_id not in ids]


def _waiting(later: Sequence[Later]) -> str:
    """Return what waits, in words; empty if nothing does."""
    whys = Counter(one.why for one in later)
    return "; ".join(
        f"{number} {'change waits' if number == 1 else 'changes wait'}: {why}" for why, number in whys.items()
    )


def clock(seconds: float) -> str:
    """Return a time for people, in UTC."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M} UTC"
