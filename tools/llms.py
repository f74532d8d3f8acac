"Write nbs/llms.txt, the site's pages for programs that read: python tools/llms.py [--check]"
import re
from pathlib import Path

import yaml
from execnb.nbio import read_nb
from fastcore.script import call_parse

from written import write_or_check

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / 'nbs'


def sidebars():
    "Title and notebooks of every sidebar, in reading order"
    site = yaml.safe_load((ROOT / '_quarto.yml').read_text(encoding='utf-8'))['website']
    return {bar['title']: pages(bar['contents']) for bar in site['sidebar']}


def pages(node):
    "Every page that a navigation tree names"
    if isinstance(node, str): return [node] if node.endswith(('.ipynb', '.qmd')) else []
    if isinstance(node, list): return [page for item in node for page in pages(item)]
    if isinstance(node, dict): return [page for value in node.values() for page in pages(value)]
    return []


def heading(page):
    "A page's title and the line that says what it is"
    path = NBS / page
    if path.suffix == '.qmd':
        text = path.read_text(encoding='utf-8')
        return tuple(re.search(rf'^{key}: *(.+)$', text, re.MULTILINE)[1] for key in ('title', 'description'))
    for cell in read_nb(path).cells:
        found = re.match(r'# (.+)\s+> (.+)', cell.source)
        if cell.cell_type == 'markdown' and found: return found[1].strip(), found[2].strip()
    raise ValueError(f'{page} has no cell with "# title" and "> what it is"')


def render():
    "The text of llms.txt"
    site = re.search(r'site-url: "(.+?)"', (NBS / 'nbdev.yml').read_text(encoding='utf-8'))[1]
    title, about = heading('index.ipynb')
    lines = [f'# {title}', '', f'> {about}', '']
    for section, members in sidebars().items():
        lines += [f'## {section}', '']
        for page in members:
            name, meaning = heading(page)
            lines.append(f'- [{name}]({site}/{Path(page).with_suffix(".html").as_posix()}): {meaning}')
        lines.append('')
    return '\n'.join(lines)


@call_parse
def main(check: bool = False):  # only compare, write nothing
    "Write nbs/llms.txt from _quarto.yml and the notebooks, or check that it is what would be written"
    stale = 'nbs/llms.txt is not what the pages say: run python tools/llms.py'
    write_or_check(NBS / 'llms.txt', render(), check, stale)
