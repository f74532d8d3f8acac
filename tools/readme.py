"Write README.md from nbs/index.ipynb, in markdown that GitHub and PyPI both show: python tools/readme.py [--check]"
import posixpath
import re
import sys
from pathlib import Path

from execnb.nbio import read_nb
from fastcore.script import call_parse

from written import write_or_check

ROOT = Path(__file__).resolve().parent.parent
HIDDEN = re.compile(r'^#\|\s*(hide\s*$|include:\s*false|echo:\s*false)', re.MULTILINE)
PYTHON = '```python\n'
NOTE = '<!-- Written by tools/readme.py from nbs/index.ipynb: edit that notebook, not this file. -->'


def relink(text):
    "Targets are written from nbs/; the README stands one folder above"
    def move(m): return m[1] + posixpath.normpath(posixpath.join('nbs', m[2]))
    text = re.sub(r'(\]\()(?![a-z]+:|#)([^)\s]+)', move, text)
    return re.sub(r'(<img [^>]*?src=")(?![a-z]+:)([^"]+)', move, text)


def callout(m):
    "`::: {.callout-note}` becomes a quotation that opens with its kind or its title"
    kind, attributes, body = m[1], m[2], m[3].strip()
    title = re.search(r'title="([^"]*)"', attributes) or re.match(r'#+ +(.+)\n', body)
    body = re.sub(r'^#+ +.+\n+', '', body)
    head = title[1] if title else kind.capitalize()
    return '\n'.join(f'> {line}'.rstrip() for line in f'**{head}**\n\n{body}'.splitlines())


def figure(m):
    "A captioned picture: its alternative text where Quarto has it, its caption below"
    caption, target, attributes = m.groups()
    alt = re.search(r'fig-alt="([^"]*)"', attributes)
    return f'![{alt[1] if alt else caption}]({target})' + f'\n\n*{caption}*' * bool(caption and alt)


def plain(text):
    "Quarto's markdown without what only Quarto understands; code keeps every character"
    text = re.sub(r'^:{3,} *\{\.callout-(\w+)([^}]*)\}\n(.*?)^:{3,} *$', callout, text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r'^:{3,}.*\n?', '', text, flags=re.MULTILINE)             # other divs: their content stays
    text = re.sub(r'!\[([^\]]*)\]\(([^)]*)\)\{([^}]*)\}', figure, text)
    text = re.sub(r'(\]\([^)]*\))\{[^}]*\}', r'\1', text)                   # attributes of links
    text = re.sub(r'^(#+ .*?) *\{[#.][^}]*\} *$', r'\1', text, flags=re.MULTILINE)
    text = re.sub(r'\{\{<.*?>\}\}', '', text)                               # shortcodes
    text = re.sub(r'@fig-[\w-]*\w', 'the figure', text)
    return relink(text)


def markdown(source):
    "One markdown cell, fenced code left as it stands"
    parts = re.split(r'(^```.*?^```[ \t]*$)', source, flags=re.MULTILINE | re.DOTALL)
    return ''.join(part if part.startswith('```') else plain(part) for part in parts).strip()


def printed(output):
    "What a code cell printed; a picture must be a file of its own, or the README could not link to it"
    data = output.get('data', {})
    if any(kind.startswith('image/') for kind in data):
        raise ValueError('nbs/index.ipynb holds a picture as output: save it under nbs/images and link it in markdown')
    if 'text/markdown' in data: return markdown(''.join(data['text/markdown']))
    text = ''.join(output.get('text') or data.get('text/plain') or '')
    return f'```\n{text.rstrip()}\n```' if text else ''


def code(cell):
    "A code cell as a fence, followed by what it printed"
    source = re.sub(r'^#\|.*\n?', '', cell.source, flags=re.MULTILINE).strip()
    return [f'{PYTHON}{source}\n```'] * bool(source) + [printed(o) for o in cell.get('outputs', [])]


def joined(parts):
    "Neighbouring code cells that print nothing read as one"
    result = []
    for part in filter(None, parts):
        if result and part.startswith(PYTHON) and result[-1].startswith(PYTHON):
            result[-1] = result[-1].removesuffix('\n```') + '\n\n' + part.removeprefix(PYTHON)
        else: result.append(part)
    return result


def render(notebook=ROOT / 'nbs/index.ipynb'):
    "The text of README.md"
    parts = []
    for cell in read_nb(notebook).cells:
        if cell.cell_type == 'markdown': parts.append(markdown(cell.source))
        elif cell.cell_type == 'code' and not HIDDEN.search(cell.source): parts += code(cell)
    return '\n\n'.join([NOTE, *joined(parts)]) + '\n'


def missing(text):
    "Relative links of the README that lead nowhere"
    targets = re.findall(r'\]\((?![a-z]+:|#)([^)#\s]+)', text) + re.findall(r'src="(?![a-z]+:)([^"]+)', text)
    return sorted({t for t in targets if not (ROOT / t).exists()})


@call_parse
def main(check: bool = False):  # only compare, write nothing
    "Write README.md from nbs/index.ipynb, or check that it is what would be written"
    text = render()
    stale = 'README.md is not what nbs/index.ipynb makes: run python tools/readme.py'
    write_or_check(ROOT / 'README.md', text, check, stale)
    if lost := missing(text): sys.exit('README.md links to files that do not exist: ' + ', '.join(lost))
