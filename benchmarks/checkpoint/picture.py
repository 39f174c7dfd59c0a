# SPDX-License-Identifier: MIT
"""Bytes against seconds as SVG: a line through each side's best points, a dot for every point, a ring for the one without."""
import math

import report

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 48, 56
COLORS = {"PyTorch": "#d1495b", "Mezzo": "#00798c"}


def step_of(most, count):
    """A round distance between so many ticks, about."""
    exact = most / count
    unit = 10 ** math.floor(math.log10(exact))
    return next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= exact)


class Axes:
    """Both from 0, a little beyond the largest value."""

    def __init__(self, points):
        self._most_x = 1.05 * max(point["peak_bytes"] / report.MB for point in points)
        self._most_y = 1.05 * max(point["seconds"] for point in points)

    def at(self, point):
        return self.x(point["peak_bytes"] / report.MB), self.y(point["seconds"])

    def x(self, value):
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self._most_x

    def y(self, value):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self._most_y

    def draw(self):
        lines = []
        for value in ticks(self._most_x):
            x = self.x(value)
            lines += [line(x, TOP, x, HEIGHT - BOTTOM), text(x, HEIGHT - BOTTOM + 18, f"{value:g}", "middle")]
        for value in ticks(self._most_y):
            y = self.y(value)
            lines += [line(LEFT, y, WIDTH - RIGHT, y), text(LEFT - 8, y + 4, f"{value:g}", "end")]
        return [*lines, text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "peak of the step, MB", "middle"),
                text(LEFT - 48, TOP - 12, "seconds of the step", "start")]


def ticks(most):
    step = step_of(most, 6)
    return [step * i for i in range(int(most / step) + 1)]


def line(x1, y1, x2, y2):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def text(x, y, content, anchor, color="#333"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{content}</text>'


def side_of(axes, points, color):
    places = [axes.at(point) for point in report.front(points, "peak_bytes", "seconds")]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    shapes = [f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>']
    for i, point in enumerate(points):
        x, y = axes.at(point)
        fill = "#fff" if i == 0 else color
        shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{5 if i == 0 else 3.5}" fill="{fill}" stroke="{color}" '
                      f'stroke-width="2"><title>{point["name"]}: {point["peak_bytes"] / report.MB:.1f} MB, '
                      f'{point["seconds"]:.3f} s</title></circle>')
    return shapes


def draw(title, sides):
    """The picture of each side's points, of which the first is without checkpointing."""
    axes = Axes([point for points in sides.values() for point in points])
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
             "<!-- SPDX-License-Identifier: MIT -->", f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
             text(LEFT - 48, 20, title, "start", "#000"), *axes.draw()]
    for i, (side, points) in enumerate(sides.items()):
        parts += side_of(axes, points, COLORS[side])
        parts.append(text(WIDTH - RIGHT, 20 + 16 * i, side, "end", COLORS[side]))
    return "\n".join([*parts, "</svg>", ""])
