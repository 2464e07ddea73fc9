#!/usr/bin/env python3
"""Draws what the dashboard shows, as SVG: draw.py PROMETHEUS_URL SECONDS OUT.

Asks Prometheus every query of dashboard.json for the last SECONDS and draws each panel from the answers, as Grafana would
lay them out.
"""
import html
import json
import re
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

DASHBOARD = Path(__file__).with_name("dashboard.json")
POINTS = 60
CELL, ROW, MARGIN = 40, 26, 8
COLOURS = ["#3274d9", "#e0453a", "#37872d", "#ff9830", "#8f3bb8", "#19a3a3", "#c4162a", "#6b7280", "#b877d9", "#9d7400"]
UNITS = {"bytes": lambda value: f"{value / 1048576:.0f} MiB", "percentunit": lambda value: f"{value * 100:.0f} %",
         "percent": lambda value: f"{value:.0f} %", "ms": lambda value: f"{value:.3g} ms",
         "µs": lambda value: f"{value:.3g} µs", "s": lambda value: f"{value:.0f} s"}


def expression(text, interval):
    """A query of the dashboard with its variables filled in, for all services."""
    return text.replace("$__rate_interval", f"{interval}s").replace("$service", ".*")


def series(url, target, seconds, interval):
    """[(legend, [(time, value)])] of one query over the last `seconds`."""
    now = time.time()
    query = urllib.parse.urlencode({
        "query": expression(target["expr"], interval), "start": now - seconds, "end": now,
        "step": max(seconds / POINTS, 1)})
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{query}", timeout=20) as reply:
        answer = json.load(reply)
    legend = lambda labels: re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), target["legendFormat"])
    found = []
    for line in answer["data"]["result"]:
        points = [(at, float(value)) for at, value in line["values"] if value not in ("NaN", "+Inf", "-Inf")]
        if points:
            found.append((legend(line["metric"]), points))
    return found


def panels(url, seconds, interval):
    """[(panel, its series)] of the whole dashboard."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        yield panel, [line for target in panel["targets"] for line in series(url, target, seconds, interval)]


def text(x, y, words, colour="#374151", size=11, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{html.escape(words)}</text>')


def drawn(panel, lines, begin, end):
    """One panel as SVG elements."""
    place = panel["gridPos"]
    left, top = place["x"] * CELL + MARGIN, place["y"] * ROW + MARGIN
    width, height = place["w"] * CELL - 2 * MARGIN, place["h"] * ROW - 2 * MARGIN
    yield f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="4" fill="#ffffff" stroke="#d1d5db"/>'
    yield text(left + 8, top + 16, panel["title"], "#111827", 12, weight="bold")
    lines = sorted(lines, key=lambda line: -max(value for _, value in line[1]))
    shown = [line for line in lines if max(value for _, value in line[1]) > 0][:6] or lines[:1]
    highest = max([value for _, points in shown for _, value in points] or [0]) or 1.0
    form = UNITS.get(panel["fieldConfig"]["defaults"]["unit"], lambda value: f"{value:.3g}")
    x0, x1, y0, y1 = left + 50, left + width - 8, top + 26, top + height - 52
    for part in (0, 0.5, 1) if shown else ():
        y = y1 - part * (y1 - y0)
        yield f'<line x1="{x0}" y1="{y:.1f}" x2="{x1}" y2="{y:.1f}" stroke="#eceff3"/>'
        yield text(x0 - 4, y + 4, form(highest * part), "#6b7280", 9, "end")
    if not shown:
        yield text((x0 + x1) / 2, (y0 + y1) / 2 + 4, "no data", "#9ca3af", 11, "middle")
    for at, (legend, points) in enumerate(shown):
        colour = COLOURS[at % len(COLOURS)]
        where = [(x0 + (moment - begin) / (end - begin) * (x1 - x0), y1 - value / highest * (y1 - y0)) for moment, value in points]
        if len(where) == 1:
            where.append((where[0][0] + 2, where[0][1]))
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in where)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        column, row = at % 2, at // 2
        x, y = left + 8 + column * (width - 12) / 2, top + height - 33 + row * 13
        yield f'<rect x="{x:.1f}" y="{y - 7:.1f}" width="8" height="3" fill="{colour}"/>'
        yield text(x + 11, y - 2, legend[:27], size=9)


def draw(url, seconds, interval):
    """The whole dashboard as one SVG document."""
    shown = list(panels(url, seconds, interval))
    end = time.time()
    width = max(panel["gridPos"]["x"] + panel["gridPos"]["w"] for panel, _ in shown) * CELL
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel, _ in shown) * ROW
    elements = [element for panel, lines in shown for element in drawn(panel, lines, end - seconds, end)]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#f3f4f6"/>', *elements, "</svg>", ""])


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    url, seconds, out = sys.argv[1].rstrip("/"), float(sys.argv[2]), Path(sys.argv[3])
    out.write_text(draw(url, seconds, max(60, round(seconds / 15))), encoding="utf-8")


if __name__ == "__main__":
    main()
