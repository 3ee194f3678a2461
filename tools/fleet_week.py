"""
Draw docs/images/fleet_week.svg: load, wanted and ready nodes, and the price of the fleet of a simulated week.

``tools/simulated_week.py`` simulates the week with the real planner. Run ``python -m tools.fleet_week`` after a change
of the planner, of autoscaling, or of the week.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from tools.simulated_week import DAY, HOUR, MONTHLY_PRICE, NEW_IMAGE, OUTAGE, SPIKE, WINDOWS, Moment, live

PICTURE = Path(__file__).resolve().parents[1] / "docs/images/fleet_week.svg"
WIDTH, HEIGHT = 960, 470
LEFT, RIGHT = 58, 14  #: pixels beside the charts
NODES, PRICE = (64, 300), (358, 438)  #: top and bottom of the two charts
MOST_NODES, MOST_PRICE = 650, 3200
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
#: as in the style sheet of the reports
STYLE = """
svg { --paper: #fff; --ink: #1a2230; --dim: #566072; --line: #d7dce3; --box: #f4f6f9; --load: #8a6d00;
  --wanted: #b3261e; --ready: #0b6fa4; --price: #2e7d32; background: var(--paper); font: 13px sans-serif }
@media (prefers-color-scheme: dark) { svg { --paper: #10151c; --ink: #e4e9f0; --dim: #a3aebd; --line: #303a47;
  --box: #1a212b; --load: #d9b945; --wanted: #f2968c; --ready: #6cb8e6; --price: #7cc47f } }
text { fill: var(--ink) } .dim { fill: var(--dim) } .title { font-weight: bold }
.grid { stroke: var(--line); stroke-width: 1 } .band { fill: var(--box) } .fault { fill: var(--wanted); opacity: .14 }
polyline { fill: none; stroke-width: 1.5; stroke-linejoin: round } .load { stroke: var(--load) }
.wanted { stroke: var(--wanted); stroke-dasharray: 4 3 } .ready { stroke: var(--ready); stroke-width: 2 }
.price { stroke: var(--price); stroke-width: 2 } .limit { stroke: var(--dim); stroke-dasharray: 2 4 }
""".strip()


def svg(moments: Sequence[Moment]) -> str:
    """Return the picture of a week."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title())}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" style="fill: var(--paper)"/>',
        *_bands(),
        *_grid(NODES, MOST_NODES, 100, "nodes", "{:g}"),
        *_grid(PRICE, MOST_PRICE, 1000, "price in a month", "${:g}"),
        *_days(),
        *_marks(),
        _line("limit", [(0.0, MONTHLY_PRICE), (7 * DAY, MONTHLY_PRICE)], PRICE, MOST_PRICE),
        _line("load", _reduced(moments, lambda one: one.load), NODES, MOST_NODES),
        _line("ready", _steps(moments, lambda one: one.ready), NODES, MOST_NODES),
        _line("wanted", _steps(moments, lambda one: one.wanted), NODES, MOST_NODES),
        _line("price", _steps(moments, lambda one: one.price), PRICE, MOST_PRICE),
        _text(
            _x(7 * DAY) - 6,
            _y(MONTHLY_PRICE, PRICE, MOST_PRICE) + 15,
            f"monthly_price: {MONTHLY_PRICE:g}",
            "dim",
            "end",
        ),
        *_legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def title() -> str:
    """Return the text for those who cannot see the picture."""
    return "A simulated week of a fleet of 200 to 500 nodes: load, wanted and ready nodes, and its price"


def _x(at: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * at / (7 * DAY), 1)


def _y(value: float, chart: tuple[int, int], most: float) -> float:
    top, bottom = chart
    return round(bottom - (bottom - top) * value / most, 1)


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _rect(begin: float, end: float, chart: tuple[int, int], style: str) -> str:
    top, bottom = chart
    return (
        f'<rect class="{style}" x="{_x(begin):g}" y="{top}" width="{_x(end) - _x(begin):.1f}" height="{bottom - top}"/>'
    )


def _line(style: str, points: Iterable[tuple[float, float]], chart: tuple[int, int], most: float) -> str:
    where = " ".join(f"{_x(at):g},{_y(value, chart, most):g}" for at, value in points)
    return f'<polyline class="{style}" points="{where}"/>'


def _reduced(moments: Sequence[Moment], value: Callable[[Moment], float]) -> list[tuple[float, float]]:
    """Return every third point: the picture is not wide enough for more."""
    return [(one.at, value(one)) for one in moments[::3]]


def _steps(moments: Sequence[Moment], value: Callable[[Moment], float]) -> list[tuple[float, float]]:
    """Return a line with steps, with points only where it changes."""
    points = [(moments[0].at, value(moments[0]))]
    for one in moments[1:]:
        if value(one) != points[-1][1]:
            points += [(one.at, points[-1][1]), (one.at, value(one))]
    return [*points, (7 * DAY, points[-1][1])]


def _bands() -> list[str]:
    begin, end = (hour * HOUR for hour in WINDOWS)
    windows = [_rect(day * DAY + begin, day * DAY + end, chart, "band") for day in range(7) for chart in (NODES, PRICE)]
    return [*windows, _rect(*OUTAGE, NODES, "fault")]


def _grid(chart: tuple[int, int], most: int, step: int, name: str, form: str) -> list[str]:
    found = [_text(LEFT - 46, chart[0] - 8, name, "dim")]
    for value in range(0, most + 1, step):
        y = _y(value, chart, most)
        found.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:g}" y2="{y:g}"/>')
        found.append(_text(LEFT - 6, y + 4, form.format(value), "dim", "end"))
    return found


def _days() -> list[str]:
    found = []
    for number, day in enumerate(DAYS):
        x = _x(number * DAY)
        found += [f'<line class="grid" x1="{x:g}" x2="{x:g}" y1="{top}" y2="{end}"/>' for top, end in (NODES, PRICE)]
        found += [_text(_x((number + 0.5) * DAY), bottom + 18, day, "dim", "middle") for bottom in (NODES[1], PRICE[1])]
    return found


def _marks() -> list[str]:
    outage, spike = sum(OUTAGE) / 2, sum(SPIKE) / 2
    x, top = _x(NEW_IMAGE), NODES[0]
    return [
        _text(_x(outage), top + 14, "network fault", "", "middle"),
        f'<line class="wanted" x1="{x:g}" x2="{x:g}" y1="{top + 20}" y2="{NODES[1]}"/>',
        _text(x, top + 14, "new image", "", "middle"),
        _text(_x(spike), top + 14, "spike", "", "middle"),
    ]


def _legend() -> list[str]:
    entries = (
        ("load", "load, in nodes at the target"), ("wanted", "wanted"), ("ready", "ready"),
        ("price", "price in a month"),
    )  # fmt: skip
    found, x = [_text(12, 22, title(), "title")], 250
    for style, words in entries:
        found.append(f'<polyline class="{style}" points="{x},38 {x + 24},38"/>')
        found.append(_text(x + 30, 42, words))
        x += 52 + 7 * len(words)
    found.append(f'<rect class="band" x="{x}" y="31" width="24" height="13"/>')
    found.append(_text(x + 30, 42, "window"))
    return found


if __name__ == "__main__":
    PICTURE.write_text(svg(live().moments), encoding="utf-8")
    print(f"fleet_week: {PICTURE}")
