"""No cell that the tests run may need a name that only a cell they skip defines: python tools/flagged.py

Continuous integration runs every cell of a notebook, as a reader does; `nbdev_test` leaves out those that are flagged.
A copy of each notebook without these is looked through for names that nothing defines.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from nbdev.doclinks import nbglob

from stored import FLAGS

NBS = Path(__file__).resolve().parent.parent / 'nbs'


def without_flagged(path):
    "A notebook's content without the cells that tests skip"
    notebook = json.loads(path.read_text(encoding='utf-8'))
    notebook['cells'] = [cell for cell in notebook['cells'] if not FLAGS.search(''.join(cell['source']))]
    return json.dumps(notebook)


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        for path in nbglob(NBS, as_path=True):
            copy = Path(folder) / path.relative_to(NBS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(without_flagged(path), encoding='utf-8')
        sys.exit(subprocess.run(['ruff', 'check', '--isolated', '--quiet', '--select', 'F821', folder]).returncode)
