"""What became of the mutants, as it is printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from runs import Run
from subjects import Mutant

LEAST = 95.0  #: per cent that have to be caught


@dataclass(frozen=True)
class Judged:
    """A mutant, and the run that it was judged by."""

    mutant: Mutant
    run: Run

    @property
    def word(self) -> str:
        """What became of it."""
        if self.run.code is None:
            return "caught by time-out"
        if self.run.is_broken:
            return "not judged"
        return "caught" if self.run.noticed else "survived"


def percent(judged: Sequence[Judged]) -> float:
    """How many of them were caught, of those that the lists explain as well."""
    return 100 * sum(one.run.noticed for one in judged) / len(judged) if judged else 100.0


def is_good(judged: Sequence[Judged]) -> bool:
    """Whether enough are caught, and each of the others has its reason in the lists."""
    explained = all(one.run.noticed or (one.mutant.survives and not one.run.is_broken) for one in judged)
    return explained and percent(judged) >= LEAST


def table(judged: Sequence[Judged]) -> Iterable[str]:
    """Lines: a row for each subject, and one for all."""
    by_subject: dict[str, list[Judged]] = {}
    for one in judged:
        by_subject.setdefault(one.mutant.subject, []).append(one)
    rows: Mapping[str, Sequence[Judged]] = {**dict(sorted(by_subject.items())), "all": judged}
    yield "| subject | mutants | caught | survived | per cent |"
    yield "| --- | --- | --- | --- | --- |"
    for name, some in rows.items():
        caught = sum(one.run.noticed for one in some)
        yield f"| {name} | {len(some)} | {caught} | {len(some) - caught} | {percent(some):.1f} |"


def remarks(judged: Sequence[Judged]) -> Iterable[str]:
    """Lines: who was not caught and why, and what the lists do not have right."""
    for one in judged:
        mutant = one.mutant
        if one.run.is_broken:
            yield f"not judged: {mutant.name} in {mutant.file}: pytest ended with exit code {one.run.code}"
        elif not one.run.noticed:
            yield f"survived: {mutant.name} in {mutant.file}: {mutant.survives or 'no test noticed it'}"
        elif mutant.survives:
            yield f"{one.word}, though its list says that it survives: {mutant.name}"
        elif one.run.code is None:
            yield f"caught by time-out alone: {mutant.name}"
