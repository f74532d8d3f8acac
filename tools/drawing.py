"""Draw nbs/images/forces.svg, the home page's picture of the two criteria: python tools/drawing.py [--check]

Four panels show the same class, a cloud of grey points with two far corners, and four red surrogates: left alone,
pulled, pushed, and both. The picture brings its own light ground, so that it can be read in a dark theme, too.
"""
import itertools
import math
import random
from pathlib import Path

from fastcore.script import call_parse

from written import write_or_check

PICTURE = Path(__file__).resolve().parent.parent / 'nbs/images/forces.svg'
WIDTH, HEIGHT, MARGIN = 270, 258, 12  # of a panel and of the space around it
INK, REAL, SURROGATE = '#24292f', '#8c96a3', '#c4183c'
CORNERS = (48, 54), (222, 54)
CROWD = (135, 150)
HUDDLE = (122, 140), (134, 160), (147, 143), (151, 164)
SPREAD = (56, 62), (214, 62), (112, 146), (162, 156)


def cloud():
    "Real pictures of a class: most in a crowd, some on the way to two corners, a few in these"
    chance = random.Random(3)
    def near(place, width): return chance.gauss(place[0], width), chance.gauss(place[1], 0.7 * width)
    def between(corner, part): return tuple(a + part * (b - a) for a, b in zip(CROWD, corner))
    points = [near(CROWD, 24) for _ in range(34)]
    for corner in CORNERS:
        points += [near(between(corner, part), 9) for part in (0.35, 0.5, 0.6, 0.75)]
        points += [near(corner, 8) for _ in range(4)]
    return points


def dot(place, radius, color): return f'<circle cx="{place[0]:.0f}" cy="{place[1]:.0f}" r="{radius}" fill="{color}"/>'


def ring(place):
    x, y = place
    return f'<circle cx="{x:.0f}" cy="{y:.0f}" r="8" fill="none" stroke="{INK}" stroke-width="1.5"/>'


def towards(start, end, length):
    "The point that lies so far from the start on the way to the end; behind it, if the length is negative"
    part = length / math.dist(start, end)
    return tuple(round(a + part * (b - a)) for a, b in zip(start, end))


def arrow(start, end):
    line = 'x1="{}" y1="{}" x2="{}" y2="{}"'.format(*start, *end)
    return f'<line {line} stroke="{INK}" stroke-width="2" marker-end="url(#tip)"/>'


def text(line, height, size=13, weight='normal'):
    return f'<text x="{WIDTH // 2}" y="{height}" font-size="{size}" font-weight="{weight}">{line}</text>'


def panel(number, title, lines, surrogates, marks=()):
    "One panel: title, cloud, surrogates, what happens to them, and two lines below"
    row, column = divmod(number, 2)
    x, y = MARGIN + column * (WIDTH + MARGIN), MARGIN + row * (HEIGHT + MARGIN)
    parts = [f'<g transform="translate({x} {y})">']
    parts.append(f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#f4f6f8"/>')
    parts.append(text(title, 24, 15, 'bold'))
    parts += [dot(point, 3, REAL) for point in cloud()]
    parts += [*marks, *(dot(place, 6, SURROGATE) for place in surrogates)]
    parts += [text(line, 222 + 18 * i) for i, line in enumerate(lines)]
    return [*parts, '</g>']


def render():
    "The text of the SVG file"
    wide, high = 2 * WIDTH + 3 * MARGIN, 2 * HEIGHT + 3 * MARGIN
    pulled = HUDDLE[0]
    far = max(cloud(), key=lambda point: math.dist(point, pulled))
    pull = [ring(far), arrow(pulled, towards(far, pulled, 15))]
    pair = min(itertools.combinations(HUDDLE, 2), key=lambda two: math.dist(*two))
    push = [arrow(a, towards(a, b, -42)) for a, b in (pair, pair[::-1])]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="6" markerHeight="6" orient="auto">',
        f'<path d="M0 0 8 4 0 8z" fill="{INK}"/></marker></defs>',
        f'<rect width="{wide}" height="{high}" rx="10" fill="#ffffff"/>',
        f'<g font-family="Helvetica, Arial, sans-serif" fill="{INK}" text-anchor="middle">',
        *panel(0, 'left alone', ('a generator gives what is common:', 'all surrogates in the crowd'), HUDDLE),
        *panel(1, 'pull: representativeness', ('towards the real picture', 'that it resembles least'), HUDDLE, pull),
        *panel(2, 'push: diversity', ('away from the surrogate', 'that it resembles most'), HUDDLE, push),
        *panel(3, 'both', ('the few stand for the whole class,', 'and no two say the same'), SPREAD),
        '</g></svg>',
    ]
    return '\n'.join(lines) + '\n'


@call_parse
def main(check: bool = False):  # only compare, write nothing
    "Draw the picture, or check that it is what would be drawn"
    PICTURE.parent.mkdir(exist_ok=True)
    stale = 'nbs/images/forces.svg is not what tools/drawing.py draws: run python tools/drawing.py'
    write_or_check(PICTURE, render(), check, stale)
