"Can every color of the site be read? WCAG contrast of text on its background, both themes: python tools/contrast.py"
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAST = 4.5  # WCAG 2.1, level AA, for text of ordinary size
PAGE = {'light': '#ffffff', 'dark': '#222222'}  # backgrounds of Quarto's cosmo and darkly
SURFACES = {  # what text stands on: the page, and cards tinted over it
    'page': None, 'card': 'accent-soft',
}
TEXTS = {  # variable of nbs/styles.css -> surfaces where it is text
    'accent': ('page', 'card'), 'quiet': ('page', 'card'), 'crumb': ('page',),
    **{name: ('card',) for name in ('code', 'comment', 'keyword', 'string', 'number', 'function', 'operator')},
}


def rgba(color):
    "Red, green and blue from 0 to 255, and opacity"
    color = color.strip()
    if color.startswith('#'): return *(int(color[i:i + 2], 16) for i in (1, 3, 5)), 1.0
    found = [float(x) for x in re.findall(r'[\d.]+', color)]
    return *found[:3], found[3] if len(found) > 3 else 1.0


def over(color, background):
    "A color with opacity, laid over an opaque one"
    *top, opacity = rgba(color)
    below = rgba(background)[:3]
    mixed = [opacity * a + (1 - opacity) * b for a, b in zip(top, below)]
    return '#' + ''.join(f'{round(value):02x}' for value in mixed)


def luminance(color):
    "Relative luminance as WCAG defines it"
    linear = []
    for value in rgba(color)[:3]:
        share = value / 255
        linear.append(share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ratio(text, background):
    "Contrast ratio of two opaque colors, 1 to 21"
    low, high = sorted([luminance(text), luminance(background)])
    return (high + 0.05) / (low + 0.05)


def variables():
    "Theme -> the variables that nbs/styles.css gives it; the dark theme keeps what it does not set"
    css = (ROOT / 'nbs/styles.css').read_text(encoding='utf-8')
    found = (re.search(rf'^{name} *{{(.*?)}}', css, re.MULTILINE | re.DOTALL) for name in (':root', r'\.quarto-dark'))
    light, dark = (match[1] for match in found)
    light, dark = (dict(re.findall(r'--([\w-]+): *([^;]+);', block)) for block in (light, dark))
    return {'light': light, 'dark': light | dark}


def measured():
    "Theme, text, surface and contrast of every pair, and of the navbar"
    for theme, colors in variables().items():
        for text, surfaces in TEXTS.items():
            for surface in surfaces:
                tint = SURFACES[surface]
                background = over(colors[tint], PAGE[theme]) if tint else PAGE[theme]
                yield theme, text, surface, ratio(over(colors[text], background), background)
    navbar = (ROOT / '_quarto.yml').read_text(encoding='utf-8')
    below, text = (re.search(rf'^ +{key}: "(#\w+)"', navbar, re.MULTILINE)[1] for key in ('background', 'foreground'))
    yield 'both', 'foreground', 'navbar', ratio(text, below)


def problems():
    "Pairs that are too faint"
    for theme, text, surface, value in measured():
        if value < LEAST: yield f'{theme} theme: {text} on {surface} has contrast {value:.2f}, {LEAST} is the least'


if __name__ == '__main__':
    assert round(ratio('#000000', '#ffffff'), 6) == 21 and round(ratio('#777777', '#ffffff'), 2) == 4.48
    for theme, text, surface, value in measured(): print(f'{theme:6} {text:10} on {surface:7} {value:5.2f}')
    if found := list(problems()): sys.exit('\n'.join(found))
