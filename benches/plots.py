#!/usr/bin/env python3
"""Draws how cost grows, as SVG: plots.py FIGURES DIRECTORY.

FIGURES is what a run of the bench wrote: each figure is a median, drawn with its quartiles NAME_q1 and NAME_q3 as
whiskers. All are ratios to an Envoy without filters under the same conditions.
"""

import json
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "envoy" / "monitoring"))

from draw import COLOURS, text  # noqa: E402

# Columns are tick, second line of it, and what the figures' names begin with.
NUMBERS = {
    "routes": ("Routes", "routes in the configuration", [("1", "", "routes_1"), ("100", "", "routes_100"),
                                                          ("10,000", "", "routes_10000")]),
    "identities": ("Identities", "different tokens, in turn", [
        ("1", "", "identities_1"), ("100", "", "identities_100"), ("10,000", "", "identities_10000")]),
    "workers": ("Workers", "workers, 16 connections busy at once", [
        ("1", "", "workers_1"), ("2", "", "workers_2"), ("4", "", "workers_4")]),
}
KINDS = {
    "transports": ("Transport", "", [
        ("HTTP/1.1", "keep-alive", "http1"), ("TLS", "HTTP/1.1 in it", "tls"), ("HTTP/2", "one stream", "http2_single"),
        ("HTTP/2", "32 streams", "http2"), ("HTTP/1.1", "real upstream", "upstream")]),
    "modes": ("Mode", "", [
        ("enforce", "good request", "enforce"), ("monitor", "good request", "monitor"),
        ("enforce", "injection: 403", "enforce_attack"), ("monitor", "injection: passed", "monitor_attack")]),
}
PICTURES = {"cost-growth.svg": (NUMBERS, True), "cost-kinds.svg": (KINDS, False)}
SERIES = {"full": ("Portcullis, the whole pipeline", COLOURS[0]),
          "native_cached": ("jwt_authn with its cache, rbac, local_ratelimit", COLOURS[3])}

INK, SOFT, LINE, CARD, EDGE = "#111827", "#6b7280", "#eceff3", "#ffffff", "#d1d5db"
# The colours again where the reader's surroundings are dark.
DARK = {INK: "#e6edf3", SOFT: "#9aa4b2", LINE: "#262c36", CARD: "#0d1117", EDGE: "#3d444d",
        COLOURS[0]: "#6ea8fe", COLOURS[3]: "#ffb15c"}
WIDTH, HEIGHT, TOP, BOTTOM, LEFT, GAP = 960, 330, 66, 52, 56, 28


class Picture:
    """Panels side by side over one scale."""

    def __init__(self, figures, panels, connected):
        self.figures, self.panels, self.connected = figures, panels.values(), connected
        # What is far above everything else is said at the upper edge instead of flattening the rest.
        ours = [figures[f"{name}_full_vs_bare_q3"] for _, _, columns in self.panels for _, _, name in columns]
        self.highest = math.ceil(max(ours) + 0.4)

    def svg(self):
        style = "".join(f'[{kind}="{light}"]{{{kind}:{dark}}}' for light, dark in DARK.items() for kind in ("fill", "stroke"))
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
            f"<style>@media (prefers-color-scheme:dark){{{style}}}</style>",
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="6" fill="{CARD}" stroke="{EDGE}"/>',
            *self._legend(), *self._axis(), *self._panels(), "</svg>", ""])

    def _y(self, value):
        return HEIGHT - BOTTOM - value / self.highest * (HEIGHT - BOTTOM - TOP)

    def _legend(self):
        x = LEFT
        for series, (words, colour) in SERIES.items():
            yield from mark(series, x + 5, 20, colour)
            yield text(x + 16, 24, words, INK, 12)
            x += 42 + 6.4 * len(words)
        yield f'<line x1="{x:.1f}" y1="20" x2="{x + 22:.1f}" y2="20" stroke="{SOFT}" stroke-dasharray="4 3"/>'
        yield text(x + 28, 24, "Envoy without filters", INK, 12)

    def _axis(self):
        for value in range(self.highest + 1):
            yield text(LEFT - 8, self._y(value) + 4, f"{value}×", SOFT, 11, "end")
        middle = (self._y(0) + self._y(self.highest)) / 2
        yield f'<g transform="rotate(-90 16 {middle:.1f})">{text(16, middle, "CPU time per request, ratio", SOFT, 11, "middle")}</g>'

    def _panels(self):
        """As wide as they have columns."""
        total = sum(len(columns) for _, _, columns in self.panels)
        width = (WIDTH - LEFT - 16 - GAP * (len(self.panels) - 1)) / total
        left = LEFT
        for title, label, columns in self.panels:
            right = left + width * len(columns)
            yield text(left, TOP - 14, title, INK, 13, weight="bold")
            for value in range(self.highest + 1):
                line = f'stroke="{SOFT}" stroke-dasharray="4 3"' if value == 1 else f'stroke="{LINE}"'
                yield f'<line x1="{left:.1f}" y1="{self._y(value):.1f}" x2="{right:.1f}" y2="{self._y(value):.1f}" {line}/>'
            yield text((left + right) / 2, HEIGHT - 12, label, SOFT, 11, "middle")
            for at, (tick, below, _) in enumerate(columns):
                x = left + (at + 0.5) * width
                yield text(x, HEIGHT - BOTTOM + 17, tick, INK, 11, "middle")
                yield text(x, HEIGHT - BOTTOM + 31, below, SOFT, 10, "middle")
            for number, series in enumerate(SERIES):
                yield from self._series(series, columns, left + (number - 0.5) * 10, width)
            left = right + GAP

    def _series(self, series, columns, left, width):
        colour, drawn = SERIES[series][1], []
        for at, (_, _, name) in enumerate(columns):
            key = f"{name}_{series}_vs_bare"
            if key in self.figures:
                drawn.append((left + (at + 0.5) * width, *(self.figures[key + end] for end in ("", "_q1", "_q3"))))
        if self.connected and drawn:
            points = " ".join(f"{x:.1f},{self._y(min(value, self.highest)):.1f}" for x, value, _, _ in drawn)
            yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-opacity="0.6"/>'
        for x, value, low, high in drawn:
            if value > self.highest:
                yield from beyond(x, self._y(self.highest), f"{value:.0f}×", colour)
                continue
            low, high = self._y(low), self._y(min(high, self.highest))
            yield (f'<path d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8" fill="none" '
                   f'stroke="{colour}" stroke-width="1.5"/>')
            yield from mark(series, x, self._y(value), colour)
            # Above the dearer of the two, below the cheaper one, and no line through it.
            above = series == "full"
            y = min(high, self._y(value) - 5) - 5 if above else max(low, self._y(value) + 5) + 13
            yield f'<rect x="{x - 13:.1f}" y="{y - 9:.1f}" width="26" height="11" fill="{CARD}"/>'
            yield text(x, y, f"{value:.2f}", INK, 10, "middle")


def mark(series, x, y, colour):
    """A series' sign: told apart without colours too."""
    if series == "full":
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'
    else:
        yield f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{colour}"/>'


def beyond(x, y, words, colour):
    """An arrow that leaves the scale, and how far."""
    yield f'<path d="M{x - 5:.1f} {y + 2:.1f}L{x:.1f} {y - 7:.1f}L{x + 5:.1f} {y + 2:.1f}Z" fill="{colour}"/>'
    yield text(x - 9, y + 4, words, INK, 10, "end")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    figures, directory = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2])
    for name, (panels, connected) in PICTURES.items():
        missing = [key for _, _, columns in panels.values() for _, _, key in columns if f"{key}_full_vs_bare" not in figures]
        if missing:
            sys.exit(f"plots: {sys.argv[1]} lacks {missing[0]}_full_vs_bare: it comes from `make bench`, or from its part `growth`")
        (directory / name).write_text(Picture(figures, panels, connected).svg(), encoding="utf-8")
        print(f"plots: {directory / name}")


if __name__ == "__main__":
    main()
