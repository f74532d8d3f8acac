"Build every page up to the point where Quarto draws it, and follow the site's own links: python tools/pages.py"
import re
import sys
import warnings
from pathlib import Path

import yaml
from execnb.nbio import read_nb
from nbdev.doclinks import nbglob
from nbdev.serve import proc_nbs

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / 'nbs'
LINK = re.compile(r'(?:\]\(|(?:src|href)=")(?![a-z]+:|#|//)([^)\s"#?]+)')


def entries(node):
    "Every notebook that a navigation tree of _quarto.yml names"
    if isinstance(node, str): return [node] if node.endswith('.ipynb') else []
    if isinstance(node, list): return [e for item in node for e in entries(item)]
    if isinstance(node, dict): return [e for value in node.values() for e in entries(value)]
    return []


def navigation(notebooks):
    "Sidebar and navbar against the notebooks that exist"
    site = yaml.safe_load((ROOT / '_quarto.yml').read_text(encoding='utf-8'))['website']
    sidebar, navbar = entries(site['sidebar']), entries(site['navbar'])
    yield from (f'_quarto.yml names {e}, which does not exist' for e in sidebar + navbar if e not in notebooks)
    yield from (f'{n} is missing in the sidebar of _quarto.yml' for n in notebooks if n not in sidebar)


def links(notebook):
    "Relative links in a notebook's markdown that lead nowhere"
    for cell in read_nb(NBS / notebook).cells:
        if cell.cell_type != 'markdown': continue
        text = re.sub(r'```.*?```|`[^`\n]*`', '', cell.source, flags=re.DOTALL)
        for target in LINK.findall(text):
            if not ((NBS / notebook).parent / target).exists(): yield f'{notebook} links to {target}: no such file'


def build(notebooks):
    "nbdev's own processing of every page, which executes imports, exported cells and `show_doc`"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        try: cache = proc_nbs(n_workers=0, force=True)
        except Exception as error:
            yield f'{error}\n{error.__cause__!r}'
            return
    yield from (str(w.message) for w in caught if 'imports and other code' in str(w.message))
    yield from (f'{n} was not built' for n in notebooks if not (cache / n).exists())


if __name__ == '__main__':
    notebooks = [p.relative_to(NBS).as_posix() for p in nbglob(NBS, as_path=True)]
    problems = [*navigation(notebooks), *(p for n in notebooks for p in links(n)), *build(notebooks)]
    if problems: sys.exit('\n'.join(problems))
    print(f'{len(notebooks)} pages built')
