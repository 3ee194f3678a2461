"""Bakes that fleets need: one for a role at a provider, with a memory of those that failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hart_salt.base.errors import HartError, Interrupted
from hart_salt.fleets import memory
from hart_salt.fleets.baking import bake_of, next_attempt
from hart_salt.fleets.image_look import ImageLook
from hart_salt.fleets.reconcile import reasons
from hart_salt.fleets.scene import Spec
from hart_salt.fleets.survey import Sight
from hart_salt.operations.baked_images import BakedImages
from hart_salt.operations.fleet import Outcomes, outcomes
from hart_salt.use_cases.parts import Calls, Parts

#: settings of the node of a bake that a fleet begins: nobody looks at a node that was kept, and each attempt adds one
UNATTENDED: Mapping[str, Any] = {"keep_failed": False}


class Bakes:
    """Makes images of the roles of fleets."""

    def __init__(self, parts: Parts, sight: Callable[[], Sight], calls: Calls) -> None:
        self._parts = parts
        self._sight = sight
        self._calls = calls

    def bake(self, spec: Spec) -> Outcomes:
        """
        Bake the role of a fleet for the regions of all fleets that need its images; nothing if another call does.

        A failure is remembered, so that it is not repeated at once; so is an image that the fleet cannot use although
        the bake succeeded. Raises ``HartError`` if nothing could be baked.
        """
        with self._parts.context.locks.role(f"{spec.role}@{spec.provider}", wait=False) as alone:
            return self._bake(spec) if alone else Outcomes()

    def _bake(self, spec: Spec) -> Outcomes:
        try:
            regions = self._look().regions(spec)
            done = outcomes(self._calls.bake(spec.role, provider=spec.provider, regions=regions, settings=UNATTENDED))
        except Interrupted:
            raise
        except HartError as error:
            self._keep(spec, str(error))
            raise
        if done.interrupted is None:
            self._keep(spec, self._still_due(spec) if done.ok else "; ".join(reasons(done)))
        return done

    def _look(self) -> ImageLook:
        sight = self._sight()
        images = BakedImages(sight.driver, sight.context.info)
        return ImageLook(sight.config, sight.example, sight.image_digest, images)

    def _still_due(self, spec: Spec) -> str:
        """Return why another image is due although one was made, in words; empty if none is."""
        after = spec.settings.bake_after or 0.0
        try:
            bake = bake_of(self._look().images(spec), spec.role, after, self._sight().now())
        except Interrupted:
            raise
        except HartError:
            return ""  # the next look says what is wrong
        return f"it made an image, but {bake.due}" if bake.due else ""

    def _keep(self, spec: Spec, error: str) -> None:
        """Remember why a bake failed; an empty ``error`` is a success."""
        sight = self._sight()
        store, where = sight.context.store, (spec.role, spec.provider, sight.context.info.owner)
        if not error:
            memory.keep_failed_bake(store, *where, None)
            return
        example = sight.example(spec.role, spec.provider, self._look().regions(spec)[0])
        last = memory.failed_bake(store, *where)
        failed = next_attempt(last, sight.image_digest(example), error, sight.now())
        memory.keep_failed_bake(store, *where, failed)
