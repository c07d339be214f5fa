"""Draw which part of the package imports which, into ``docs/_static/house.svg``.

``python scripts/draw_house.py`` after a change of the imports between parts.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from math import fsum
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "_static" / "house.svg"

BOX, FLOOR, GAP, MARGIN, LETTER, SMALL = 44, 104, 34, 24, 8.5, 6.7
STYLE = (
    "text{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:14px;fill:#1d2733;"
    "text-anchor:middle}.small{font-size:11px;fill:#5b6b7b}"
    ".door{fill:#dcebf7;stroke:#4a86b8}.room{fill:#f4efe3;stroke:#a8936a}"
    ".ground{fill:#e8ebee;stroke:#8996a3}path{fill:none;stroke:#6d7b88;stroke-width:1.3}.head{fill:#6d7b88;stroke:none}"
)

Graph = dict[str, set[str]]


def part_of(path: Path, source: Path) -> str:
    """Name of the part, a folder or a file beside the folders, that a file is of."""
    return path.relative_to(source).parts[0].removesuffix(".py")


def targets(code: str) -> Iterator[str]:
    """Parts of stflow that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(code)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("stflow."))


def read_imports(source: Path) -> Graph:
    """Each part, and the other parts that it imports; the door ``__init__`` is left out."""
    files = [(part_of(path, source), path) for path in sorted(source.rglob("*.py"))]
    graph: Graph = {part: set() for part, _ in files if not part.startswith("__")}
    for part, path in files:
        if part in graph:
            graph[part] |= set(targets(path.read_text(encoding="utf-8"))) & (graph.keys() - {part})
    return graph


def doors(source: Path) -> set[str]:
    """Names that ``__init__`` shows to users."""
    for node in ast.parse((source / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def reach(graph: Graph, part: str) -> set[str]:
    """All that stands below a part."""
    return graph[part].union(*(reach(graph, other) for other in graph[part]))


def reduced(graph: Graph) -> Graph:
    """Leave out each import that also follows from others."""
    return {
        part: {b for b in below if not any(b in reach(graph, a) for a in below)}
        for part, below in graph.items()
    }


def read_house(source: Path) -> tuple[list[str], Graph]:
    """Tell what everything may stand on, files that need no folder, and what others import."""
    parts = read_imports(source)
    files = {part for part in parts if not (source / part).is_dir()}
    ground = sorted(part for part in files if not parts[part] - files)
    return ground, reduced({a: below - {*ground} for a, below in parts.items() if a not in ground})


def height(graph: Graph, part: str) -> int:
    """Floor of a part: one above the highest that it imports."""
    return 1 + max((height(graph, below) for below in graph[part]), default=-1)


def through_floors(graph: Graph) -> tuple[list[list[str]], list[tuple[str, str]], list[list[str]]]:
    """Lay out floors from the lowest; an arrow over several passes a point on each between.

    Returns
    -------
    What is on each floor, the steps from floor to floor, and each arrow as the points it passes.
    """
    levels = {part: height(graph, part) for part in graph}
    floors: list[list[str]] = [[] for _ in range(max(levels.values()) + 1)]
    for part in sorted(graph):
        floors[levels[part]].append(part)
    routes = []
    for above in sorted(graph):
        for below in sorted(graph[above]):
            between = range(levels[above] - 1, levels[below], -1)
            points = [f"{above}>{below}@{level}" for level in between]
            for level, point in zip(between, points, strict=True):
                floors[level].append(point)
            routes.append([above, *points, below])
    steps = [step for route in routes for step in pairwise(route)]
    return floors, steps, routes


def crossings(floors: list[list[str]], steps: list[tuple[str, str]]) -> int:
    """How often arrows cross."""
    at = {name: (level, i) for level, row in enumerate(floors) for i, name in enumerate(row)}
    ends = [(at[a][0], at[a][1], at[b][1]) for a, b in steps]
    return sum((a[1] - b[1]) * (a[2] - b[2]) < 0 for a in ends for b in ends if a[0] == b[0])


def untangle(floors: list[list[str]], steps: list[tuple[str, str]]) -> None:
    """Move names within their floors as long as fewer arrows cross."""
    fewest, before = crossings(floors, steps), -1
    while fewest != before:
        before = fewest
        for row in floors:
            for name in list(row):
                for place in range(len(row)):
                    old = list(row)
                    row.remove(name)
                    row.insert(place, name)
                    if (found := crossings(floors, steps)) < fewest:
                        fewest = found
                    else:
                        row[:] = old


def spread(row: list[str], wanted: dict[str, float], widths: dict[str, float]) -> dict[str, float]:
    """Centres near those wanted, in order and apart: the mean of pushing right and left."""
    right: dict[str, float] = {}
    left: dict[str, float] = {}
    for placed, names, sign in ((right, row, 1), (left, row[::-1], -1)):
        edge = -1e9
        for name in names:
            placed[name] = max(edge + widths[name] / 2, sign * wanted[name])
            edge = placed[name] + widths[name] / 2 + GAP
    return {name: (right[name] - left[name]) / 2 for name in row}


def place(
    floors: list[list[str]], steps: list[tuple[str, str]], widths: dict[str, float]
) -> dict[str, float]:
    """Centre of everything, near what it is joined with."""
    joined: dict[str, list[str]] = {name: [] for row in floors for name in row}
    for a, b in steps:
        joined[a].append(b)
        joined[b].append(a)
    x: dict[str, float] = {}
    for row in floors:
        x |= spread(row, {name: 120.0 * i for i, name in enumerate(row)}, widths)
    for _ in range(60):
        for row in floors:
            mean = {n: fsum(x[o] for o in joined[n]) / max(len(joined[n]), 1) for n in row}
            x |= spread(row, mean, widths)
    first = min(x[name] - widths[name] / 2 for name in x)
    return {name: round(x[name] - first + MARGIN) for name in x}


def box(name: str, inside: str, at: tuple[float, float], width: float, kind: str) -> str:
    """One part, with the chambers in it."""
    x, y = at
    small = f'<text class="small" x="{x}" y="{y + 14:.0f}">{inside}</text>' if inside else ""
    return (
        f'<rect class="{kind}" x="{x - width / 2:.0f}" y="{y - BOX / 2:.0f}" rx="6" '
        f'width="{width:.0f}" height="{BOX}"/>'
        f'<text x="{x}" y="{y + (-3 if inside else 5):.0f}">{name}</text>{small}'
    )


def arrow(route: list[str], at: dict[str, tuple[float, float]], shift: dict[str, float]) -> str:
    """Draw a curve from box to box, upright where it passes a floor."""
    (x, y), *rest = [at[name] for name in route]
    x, y = x + shift["out"], y + BOX / 2
    path = f"M{x:.0f},{y:.0f}"
    for i, (to_x, to_y) in enumerate(rest):
        last = i == len(rest) - 1
        to_x, to_y = (to_x + shift["in"], to_y - BOX / 2 - 3) if last else (to_x, to_y - BOX / 2)
        middle = (y + to_y) / 2
        path += f"C{x:.0f},{middle:.0f} {to_x:.0f},{middle:.0f} {to_x:.0f},{to_y:.0f}"
        if not last:
            path += f"v{BOX}"
        x, y = to_x, to_y + (0 if last else BOX)
    return f'<path d="{path}" marker-end="url(#head)"/>'


def ports(
    routes: list[list[str]], at: dict[str, tuple[float, float]], widths: dict[str, float]
) -> list[dict[str, float]]:
    """Where arrows leave and enter their boxes, side by side in the order of where they go."""
    shifts: list[dict[str, float]] = [{} for _ in routes]
    for key, end, beside in (("out", 0, 1), ("in", -1, -2)):
        for name in {route[end] for route in routes}:
            mine = [i for i, route in enumerate(routes) if route[end] == name]
            mine.sort(key=lambda i: at[routes[i][beside]][0])
            pitch = min(18.0, (widths[name] - 16) / len(mine))
            for nth, i in enumerate(mine):
                shifts[i][key] = (nth - (len(mine) - 1) / 2) * pitch
    return shifts


def sheet(width: float, height: float, drawn: list[str]) -> str:
    """Put what is drawn on a white sheet."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}">',
            f"<style>{STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path class="head" d="M0,0L8,4L0,8z"/></marker></defs>',
            f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#fff"/>',
            *drawn,
            "</svg>\n",
        ]
    )


def draw(source: Path) -> str:
    """Draw the house of the package at ``source``, as SVG."""
    ground, rooms = read_house(source)
    floors, steps, routes = through_floors(rooms)
    untangle(floors, steps)
    inside = {
        part: " · ".join(sorted(p.parent.name for p in (source / part).glob("*/__init__.py")))
        for part in rooms
    }
    widths = {name: 4.0 for row in floors for name in row}
    widths |= {p: max(len(p) * LETTER, len(inside[p]) * SMALL, 56) + 20 for p in rooms}
    x = place(floors, steps, widths)
    heights = {
        name: MARGIN + BOX / 2 + (len(floors) - 1 - level) * FLOOR
        for level, row in enumerate(floors)
        for name in row
    }
    at = {name: (x[name], heights[name]) for name in x}
    drawn = [
        arrow(route, at, shift)
        for route, shift in zip(routes, ports(routes, at, widths), strict=True)
    ]
    shown = doors(source) | {"_cli", "_info"}
    drawn += [
        box(part, inside[part], at[part], widths[part], "door" if part in shown else "room")
        for part in sorted(rooms)
    ]
    width = max(x[part] + widths[part] / 2 for part in rooms) + MARGIN
    bottom = max(heights.values()) + BOX + MARGIN
    half = (len(ground) + 1) // 2
    for row in (ground[:half], ground[half:]):
        drawn.append(box(" · ".join(row), "", (width / 2, bottom), width - 2 * MARGIN, "ground"))
        bottom += BOX
    return sheet(width, bottom - BOX / 2 + MARGIN, drawn)


if __name__ == "__main__":
    PICTURE.write_text(draw(ROOT / "src" / "stflow"), encoding="utf-8")
