"""Drop what notebooks store of widgets: python tools/widgets.py [--check]

A stored widget is a number of a thing that lived in a kernel. It shows nothing in a fresh clone, and its state is
kilobytes that nobody reads. Beside every widget stands a still picture instead.
"""
import json
import sys
from pathlib import Path

from fastcore.script import call_parse
from nbdev.doclinks import nbglob

NBS = Path(__file__).resolve().parent.parent / 'nbs'


def is_widget(output):
    return any(kind.startswith('application/vnd.jupyter.widget') for kind in output.get('data', {}))


def drop(notebook):
    "Take state and views of widgets out of a notebook; whether there were any"
    found = notebook['metadata'].pop('widgets', None) is not None
    for cell in notebook['cells']:
        outputs = cell.get('outputs', [])
        kept = [output for output in outputs if not is_widget(output)]
        if len(kept) == len(outputs): continue
        cell['outputs'] = kept
        found = True
    return found


@call_parse
def main(check: bool = False):  # only look, write nothing
    "Drop state and views of widgets from all notebooks, or check that none stores any"
    changed = []
    for path in nbglob(NBS, as_path=True):
        notebook = json.loads(path.read_text(encoding='utf-8'))
        if not drop(notebook): continue
        changed.append(path.relative_to(NBS).as_posix())
        text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + '\n'
        if not check: path.write_text(text, encoding='utf-8')
    if check and changed: sys.exit('widgets are stored in ' + ', '.join(changed) + ': run python tools/widgets.py')
