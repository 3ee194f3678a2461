"""
Draw docs/images/baked_timelines.svg: where the seconds of a node go, with a plain image and with a baked one.

The figures are in docs/images/baked_timelines.json. ``tools/bench/droplets.py --baked --work 20 --figures FILE``
measures them on the test cloud. Run ``python -m tools.baked_timelines`` after that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from hart_salt.reports.timeline import WORDS

PICTURE = Path(__file__).resolve().parents[1] / "docs/images/baked_timelines.svg"
FIGURES = PICTURE.with_suffix(".json")
WIDTH, LEFT, RIGHT = 960, 210, 70  #: pixels; the bars are between
TOP, STEP, BAR = 76, 44, 26  #: pixels of the first bar, from bar to bar, and of a bar
#: each role of the bench, the least first
ROLES = {"app": "baked image", "plain": "plain image, no states", "worked": "plain image, with the states"}
LEAST = 0.004  #: of the whole width: a shorter stage has no place of its own in the legend
#: as in the style sheet of the reports
STYLE = """
svg { --paper: #fff; --ink: #1a2230; --dim: #566072; --line: #d7dce3; --launching: #4b5f78; --running: #7a5195;
  --bootstrapping: #0b6fa4; --enrolling: #8a6d00; --enrolled: #2e7d32; --ready: #a3382a; --applying: #9c3d7a;
  background: var(--paper); font: 13px sans-serif }
@media (prefers-color-scheme: dark) { svg { --paper: #10151c; --ink: #e4e9f0; --dim: #a3aebd; --line: #303a47;
  --launching: #9fb3cc; --running: #c3a0dc; --bootstrapping: #6cb8e6; --enrolling: #d9b945; --enrolled: #7cc47f;
  --ready: #e8958a; --applying: #e39cc9 } }
text { fill: var(--ink) } .dim { fill: var(--dim) } .title { font-weight: bold }
.grid { stroke: var(--line); stroke-width: 1 }
""".strip()


def read() -> dict[str, Any]:
    """Return the figures of the bench."""
    found: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found


def svg(figures: Mapping[str, Any]) -> str:
    """Return the picture of the figures."""
    seconds: Mapping[str, Mapping[str, float]] = figures["seconds"]
    most = max(sum(one.values()) for one in seconds.values())
    bottom = TOP + STEP * len(ROLES)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 36}" role="img">',
        f"<title>{escape(title(figures))}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{bottom + 36}" style="fill: var(--paper)"/>',
        _text(12, 24, title(figures), "title"),
        *_legend(seconds, most),
        *_grid(most, bottom),
    ]
    for number, (role, words) in enumerate(ROLES.items()):
        parts += _bar(words, seconds[role], TOP + STEP * number, most)
    return "\n".join([*parts, "</svg>"]) + "\n"


def title(figures: Mapping[str, Any]) -> str:
    """Return the text for those who cannot see the picture."""
    return f"Seconds from the create call to the end, the states need {figures['work']:g} s: droplets of the test cloud"


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _wide(seconds: float, most: float) -> float:
    return round((WIDTH - LEFT - RIGHT) * seconds / most, 1)


def _bar(words: str, stages: Mapping[str, float], top: int, most: float) -> list[str]:
    middle = top + BAR / 2 + 5
    found, at = [_text(LEFT - 10, middle, words, "", "end")], 0.0
    for stage in (stage for stage in WORDS if stages.get(stage)):
        x, width = LEFT + _wide(at, most), _wide(stages[stage], most)
        hint = f"<title>{escape(f'{WORDS[stage][0]}: {stages[stage]:.1f} s')}</title>"
        found.append(
            f'<rect x="{x:g}" y="{top}" width="{width:g}" height="{BAR}" style="fill: var(--{stage})">{hint}</rect>'
        )
        at += stages[stage]
    return [*found, _text(LEFT + _wide(at, most) + 8, middle, f"{at:.0f} s")]


def _legend(seconds: Mapping[str, Mapping[str, float]], most: float) -> list[str]:
    seen = [stage for stage in WORDS if any(one.get(stage, 0.0) > LEAST * most for one in seconds.values())]
    found, x = [], LEFT
    for stage in seen:
        found.append(f'<rect x="{x}" y="44" width="14" height="14" style="fill: var(--{stage})"/>')
        found.append(_text(x + 20, 56, WORDS[stage][0]))
        x += 44 + 8 * len(WORDS[stage][0])
    return found


def _grid(most: float, bottom: int) -> list[str]:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if most / step <= 10)
    found = []
    for value in range(0, int(most) + 1, step):
        x = LEFT + _wide(value, most)
        found.append(f'<line class="grid" x1="{x:g}" x2="{x:g}" y1="{TOP - 8}" y2="{bottom}"/>')
        found.append(_text(x, bottom + 18, f"{value} s", "dim", "middle"))
    return found


if __name__ == "__main__":
    PICTURE.write_text(svg(read()), encoding="utf-8")
    print(f"baked_timelines: {PICTURE}")
