"""Does a room need one that stands later? python tools/order.py

The number of a notebook is its place in the reading order. Its module may import those with smaller numbers only, at
its top or inside a function; the wing `compare/` may import all.
"""
import ast
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'minimax_diffusion'


def module(notebook):
    "The module that a notebook exports, None where it exports none."
    cells = json.loads(notebook.read_text(encoding='utf-8'))['cells']
    found = re.search(r'#\| *default_exp (\S+)', '\n'.join(''.join(cell['source']) for cell in cells))
    return found and found[1]


def needs(file):
    "The modules of the package that a file imports."
    for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
        if not isinstance(node, ast.ImportFrom): continue
        path = node.module or ''
        if node.level == 0 and not f'{path}.'.startswith('minimax_diffusion.'): continue
        room = path.removeprefix('minimax_diffusion').strip('.')
        yield from [room] if room else [alias.name for alias in node.names]


def main():
    places = {module(path): path.stem for path in sorted((ROOT / 'nbs').glob('[0-9]*.ipynb'))}
    arrows = [(room, other) for room in places for other in set(needs(PACKAGE / f'{room}.py')) & set(places)]
    late = sorted((places[room], places[other]) for room, other in arrows if places[other] > places[room])
    for room, other in late: print(f'{room} needs {other}, which stands later')
    print(f'{len(places)} rooms, {len(arrows)} arrows, {len(late)} of them to a later room')
    return int(bool(late) or not arrows)


if __name__ == '__main__': sys.exit(main())
