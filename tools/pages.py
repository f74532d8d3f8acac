"Build every page up to the point where Quarto draws it, and look at what came out: python tools/pages.py"
import ast
import io
import json
import re
import sys
import tokenize
import warnings
from collections import Counter
from pathlib import Path

import yaml
from execnb.nbio import read_nb
from nbdev import showdoc
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup, nbglob
from nbdev.serve import proc_nbs

import contrast
from llms import pages, render
from reference import Reference, cell, modules_with

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / 'nbs'
LARGEST = 400  # KB of a notebook
FOLDED = 40  # lines of code; more are folded on the site
WORDS = {'digits'}  # a dataset, a backbone, a protocol and a recipe, and the function that loads the first
NAMED = re.compile(r'\[(`([\w.]+)(?:\(\))?`)\]\([^)]*\)')
LINK = re.compile(r'(?:\]\(|(?:src|href)=")(?![a-z]+:|//)([^)\s"?]+)')
BADGE = re.compile(r'<a href="https://colab\.research\.google\.com/[^"]+"><img [^>]*alt="Open in Colab"')
FLAGGED = re.compile(r'^#\|\s*(?:slow|cuda)\b', re.MULTILINE)
STAMP = re.compile(r'(?:commit|version)(?: before)? [\w.]+,.*\b(?:CPU|GPU|H200|T4|A100)\b.*\b20\d\d\b')
FENCE = re.compile(r'```.*?```', re.DOTALL)


def navigation(notebooks):
    "Every notebook stands in exactly one sidebar, every sidebar in the navbar, and nothing else in either"
    site = yaml.safe_load((ROOT / '_quarto.yml').read_text(encoding='utf-8'))['website']
    listed = Counter(pages(site['sidebar']))
    yield from (f'_quarto.yml names {page}, which does not exist' for page in listed if not (NBS / page).exists())
    yield from (f'{n} stands in {listed[n]} sidebars of _quarto.yml, not in one' for n in notebooks if listed[n] != 1)
    shown = [entry.removeprefix('sidebar:') for entry in site['navbar']['left']]
    given = [bar['id'] for bar in site['sidebar']]
    if shown != given: yield f'the navbar of _quarto.yml shows {shown}, the sidebars are {given}'


def told():
    "What the site says of itself elsewhere: the version in the footer, llms.txt"
    version = get_config(path=ROOT).version
    if f'Version {version}.' not in (ROOT / '_quarto.yml').read_text(encoding='utf-8'):
        yield f'the footer in _quarto.yml does not say "Version {version}."'
    stored = NBS / 'llms.txt'
    if not stored.exists() or stored.read_text(encoding='utf-8') != render():
        yield 'nbs/llms.txt is not what the pages say: run python tools/llms.py'


def cited(text):
    "Surname and year of works named in a text, such as (Sener and Savarese, 2018) and Ho et al. 2020"
    others = r'(?: et al\.| (?:and|&) [A-Z][\w-]+)'
    found = re.findall(rf'\b([A-Z][\w-]+){others},? \(?((?:19|20)\d\d)\b', text)
    return set(found)


def unlisted(notebooks):
    "Works that a page cites by name and year, and that the list of references lacks"
    lines = markdown('references.ipynb').splitlines()
    for notebook in notebooks:
        for name, year in sorted(cited(markdown(notebook))):
            if any(name in line and f'({year})' in line for line in lines): continue
            yield f'{notebook} cites {name} {year}: not in references.ipynb'


def markdown(notebook):
    "The markdown of a notebook, without code"
    cells = [cell.source for cell in read_nb(NBS / notebook).cells if cell.cell_type == 'markdown']
    return re.sub(r'```.*?```|`[^`\n]*`', '', '\n'.join(cells), flags=re.DOTALL)


def anchors(notebook):
    "What a link into a page may name: its headings, labels and documented names"
    cells = read_nb(NBS / notebook).cells
    text = '\n'.join(cell.source for cell in cells)
    headings = re.findall(r'^#+ +(.*?)(?: *\{#([\w-]+)[^}]*\})?$', text, re.MULTILINE)
    found = {given or slug(title) for title, given in headings}
    found |= set(re.findall(r'^#\| label: *(\S+)', text, re.MULTILINE))
    return found | {name.lower() for name in re.findall(r'^(?:class|def) +(\w+)', text, re.MULTILINE)}


def slug(title):
    "Pandoc's name for a heading"
    title = re.sub(r'[*`$\\]|\]\([^)]*\)|\[', '', title).lower()
    return re.sub(r'\s+', '-', re.sub(r'[^\w\s.-]', '', title).strip()).lstrip('0123456789-.')


def links(notebook):
    "Relative links in a notebook's markdown that lead nowhere"
    for target in LINK.findall(markdown(notebook)):
        path, _, anchor = target.partition('#')
        there = (NBS / notebook).parent / path if path else NBS / notebook
        if not there.exists(): yield f'{notebook} links to {target}: no such file'
        elif anchor and there.suffix == '.ipynb' and anchor not in anchors(there.resolve().relative_to(NBS)):
            yield f'{notebook} links to {target}: no such heading'


def contents(notebook):
    "What a stored notebook must not hold, and the badge that it must"
    path = NBS / notebook
    size = path.stat().st_size // 1024
    if size > LARGEST: yield f'{notebook} has {size} KB, {LARGEST} are the limit'
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    outputs = [(i, out) for i, cell in enumerate(cells) for out in cell.get('outputs', [])]
    yield from (f'{notebook} [{i}] stores an error' for i, out in outputs if out['output_type'] == 'error')
    yield from (f'{notebook} [{i}] stores a warning' for i, out in outputs if out.get('name') == 'stderr')
    texts = [''.join(cell['source']) for cell in cells]
    hidden = 'has its caption in a comment: write it in italics in the Markdown cell below'
    yield from (f'{notebook} [{i}] {hidden}' for i, source in enumerate(texts) if '#| fig-cap' in source)
    text = '\n'.join(texts)
    runs = any(cell['cell_type'] == 'code' for cell in cells)
    if notebook != 'index.ipynb' and runs and not BADGE.search(text): yield f'{notebook} has no Colab badge as raw HTML'


def unstamped(notebook):
    "Outputs of cells that no build runs, without a word on what made them: version or commit, device, date"
    cells = json.loads((NBS / notebook).read_text(encoding='utf-8'))['cells']
    texts = [''.join(cell['source']) for cell in cells]
    if any('All stored outputs' in text and STAMP.search(text) for text in texts): return
    kept = [i for i, text in enumerate(texts) if FLAGGED.search(text) and cells[i].get('outputs')]
    for i in kept:
        if {i + 1, i + 2} & set(kept): continue  # the stamp stands under the last of a group, below captions
        if not STAMP.search(''.join(texts[i + 1:i + 4])): yield f'{notebook} [{i}]: stored output without a stamp'


def build(notebooks):
    "nbdev's own processing of every page, which executes imports, exported cells and `show_doc`"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        showdoc.BasicMarkdownRenderer = Reference
        try: cache = proc_nbs(n_workers=0, force=True)
        except Exception as error:
            yield f'{error}\n{error.__cause__!r}'
            return
    yield from (str(w.message) for w in caught if 'imports and other code' in str(w.message))
    yield from (f'{n} was not built' for n in notebooks if not (cache / n).exists())
    said = written()
    for notebook in notebooks: yield from processed(cache / notebook, said)


def documented(built):
    "What a built cell says of a name; empty for other cells"
    if built['cell_type'] != 'code' or 'show_doc(' not in ''.join(built['source']): return ''
    return ''.join(''.join(out.get('data', {}).get('text/markdown', '')) for out in built.get('outputs', []))


def in_signature(source, node):
    "Comments between a definition's name and its first line; those of a class's fields and of what makes it"
    if isinstance(node, ast.ClassDef):
        inits = [inner for inner in node.body if getattr(inner, 'name', '') == '__init__']
        lines = {inner.lineno for inner in node.body if isinstance(inner, ast.AnnAssign)}
        return [text for init in inits for text in in_signature(source, init)] + comments(source, lines)
    lines = set(range(node.lineno, node.body[0].lineno))
    decorated = ast.unparse(ast.List(node.decorator_list))
    if re.search('takes_settings|delegates|options', decorated): lines -= {node.args.kwarg.lineno}  # shown one by one
    return comments(source, lines)


def comments(source, lines):
    found = tokenize.generate_tokens(io.StringIO(source).readline)
    return [t.string.lstrip('# ') for t in found if t.type == tokenize.COMMENT and t.start[0] in lines]


def written():
    "Of every name of every module, the comments that say what goes in and out, as they stand in its source"
    said = {}
    for path in sorted((ROOT / 'minimax_diffusion').rglob('*.py')):
        source = path.read_text(encoding='utf-8')
        for node in ast.parse(source).body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)): continue
            said[path.name, patched(node) + node.name] = in_signature(source, node)
    return said


def patched(node):
    "The class to which a function is added, with a dot; nothing for others"
    decorated = {getattr(d, 'id', '') for d in node.decorator_list}
    if not decorated & {'patch'}: return ''
    return node.args.args[0].annotation.id + '.'


def line_number(text):
    found = re.search(r'#L(\d+)', text)
    return int(found[1]) if found else 0


def in_order(cells):
    "Names documented side by side, in the order of their source"
    ordered, run = [], []
    for cell in [*cells, None]:
        if cell is not None and documented(cell):
            run.append(cell)
            continue
        ordered += sorted(run, key=lambda c: line_number(documented(c)))
        run = []
        if cell is not None: ordered.append(cell)
    return ordered


def at_home(path, link):
    "A link to a name that several modules define leads to the page's own, where it has one; a common word stays one"
    if link[2] in WORDS and not link[1].endswith('()`'): return link[1]
    names = NbdevLookup().entries['minimax_diffusion']['syms']
    for module in modules_with(link[2]):
        address = names[module][f'{module}.{link[2]}'][0]
        if Path(address.partition('#')[0]).stem == re.sub(r'^\d+_', '', path.stem): return f'[{link[1]}]({address})'
    return link[0]


def reader_form(path, built):
    "A built cell as a reader wants it: links to the right place, long code folded"
    source = ''.join(built['source'])
    if built['cell_type'] == 'markdown':
        return built | {'source': NAMED.sub(lambda found: at_home(path, found), source)}
    if built['cell_type'] != 'code' or documented(built) or source.count('\n') < FOLDED: return built
    return built | {'source': '#| code-fold: true\n#| code-summary: "Show the code"\n' + source}


def processed(path, said):
    "Put a built page's names in order, and find what is garbled or lost in what it says of them"
    page = json.loads(path.read_text(encoding='utf-8'))
    page['cells'] = [reader_form(path, built) for built in in_order(page['cells'])]
    path.write_text(json.dumps(page, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    for text in filter(None, map(documented, page['cells'])):
        name = re.search(r'^#+ *(.*)$', text, re.MULTILINE)[1]
        garbled = any('](' in fence for fence in FENCE.findall(text))
        if garbled: yield f'{path.name}: a raw link in the signature of {name}'
        module = re.search(r'/(\w+\.py)#L', text)
        plain = re.sub(r'\[(`[^`]+`)\]\([^)]*\)', r'\1', text)  # names that have become links
        lost = [comment for comment in said.get((module and module[1], name), []) if cell(comment) not in plain]
        yield from (f'{path.name}: {name} has lost "{comment}"' for comment in lost)


if __name__ == '__main__':
    notebooks = [p.relative_to(NBS).as_posix() for p in nbglob(NBS, as_path=True)]
    problems = [*navigation(notebooks), *told(), *unlisted(notebooks), *contrast.problems()]
    for notebook in notebooks: problems += [*links(notebook), *contents(notebook), *unstamped(notebook)]
    problems += build(notebooks)
    if problems: sys.exit('\n'.join(problems))
    print(f'{len(notebooks)} pages built')
