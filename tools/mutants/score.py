"""The results of the mutants, as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from runs import Run
from subjects import Mutant

LEAST = 95.0  #: per cent that must be caught


@dataclass(frozen=True)
class Judged:
    """A mutant and the run that judged it."""

    mutant: Mutant
    run: Run

    @property
    def word(self) -> str:
        """Return the result in words."""
        if self.run.code is None:
            return "caught by timeout"
        if self.run.is_broken:
            return "not judged"
        return "caught" if self.run.noticed else "survived"


def percent(judged: Sequence[Judged]) -> float:
    """Return how many per cent of the mutants were caught, including those whose survival a list explains."""
    return 100 * sum(one.run.noticed for one in judged) / len(judged) if judged else 100.0


def is_good(judged: Sequence[Judged]) -> bool:
    """Return whether enough mutants are caught and the lists explain each survivor."""
    explained = all(one.run.noticed or (one.mutant.survives and not one.run.is_broken) for one in judged)
    return explained and percent(judged) >= LEAST


def table(judged: Sequence[Judged]) -> Iterable[str]:
    """Yield the lines of a table with a row for each subject and one for all."""
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
    """Yield a line for each survivor with the reason, and for each mutant that does not match its list."""
    for one in judged:
        mutant = one.mutant
        if one.run.is_broken:
            yield f"not judged: {mutant.name} in {mutant.file}: pytest ended with exit code {one.run.code}"
        elif not one.run.noticed:
            yield f"survived: {mutant.name} in {mutant.file}: {mutant.survives or 'no test noticed it'}"
        elif mutant.survives:
            yield f"{one.word}, although its list says that it survives: {mutant.name}"
        elif one.run.code is None:
            yield f"caught only by timeout: {mutant.name}"
