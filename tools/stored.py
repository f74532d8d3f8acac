"""Does a notebook print what is stored in it? Used by tools/run_all.py

Compared is the text of cells that every run executes: what they print, and plain text and Markdown of what they show.
Times, speeds, sizes, paths, addresses, dates, versions and hashes differ from machine to machine and are passed over,
as are pictures and warnings. Two numbers agree within 2 % or 0.02, whichever is more: other processors and versions add
floats in another order, which training carries into the last digits that we print. A mean that stands with its spread
may move by that spread.
"""
import json
import re

FLAGS = re.compile(r'^#\|\s*(?:slow|cuda|notest|eval:\s*false)', re.MULTILINE)
OBJECT = re.compile(r'^<[^>]*>$|\d+%\|.*\[|^interactive\(|^\w*(?:Box|Slider|Image|Output|Play)\(')  # and progress bars
NUMBER = re.compile(r'[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?')
UNIT = r'(?:s|ms|µs|min|minutes?|seconds?|hours?|h|images?/s|it/s|GB|MB|KB|kB|bytes)'
PASSED_OVER = [
    (r'\x1b\[[0-9;]*m', ''),  # colors
    (r'0x[0-9a-f]+', 'ADDRESS'),
    (r'\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?\S*)?|\d\d:\d\d:\d\d', 'DATE'),
    (r'(?:[A-Za-z]:)?(?:/[\w.+-]+){2,}/?', 'PATH'),
    (r'\d+\.\d+\.\d+[\w.+]*', 'VERSION'),
    (r'\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{7,64}\b', 'HASH'),
    (rf'[-+]?\d[\d.,]*(?: (?:to|±|and) \d[\d.,]*)? ?{UNIT}(?![\w/])', 'MEASURED'),
    (r'\bjobs? \d+(?:, \d+)*', 'JOBS'),  # a queue's numbers
    (r'[ \t]+', ' '),
    (r'-{3,}|─+|═+', '---'),  # rules as wide as their table
]
RELATIVE, ABSOLUTE = 0.02, 0.02


def plain(text):
    "Text without what no two runs share"
    for pattern, word in PASSED_OVER: text = re.sub(pattern, word, text)
    return text.strip()


def texts(cell):
    "What a cell says: one text of all it prints, then those of what it shows"
    printed, shown = '', []
    for out in cell.get('outputs', []):
        if out['output_type'] == 'stream':
            if out['name'] == 'stdout': printed += ''.join(out['text'])
            continue
        if any(kind.startswith(('image/', 'text/html')) for kind in out.get('data', {})): continue  # seen as a picture
        for kind in ('text/plain', 'text/markdown'):
            said = ''.join(out.get('data', {}).get(kind, ''))
            if said and not OBJECT.search(said): shown.append(plain(said))
    return [plain(printed.split('\r')[-1]), *shown]


def warned(cell):
    "What a cell writes to stderr, such as warnings and progress"
    outputs = cell.get('outputs', [])
    return ''.join(''.join(out['text']) for out in outputs if out.get('name') == 'stderr')


def close(line, i, old, new):
    "Whether number i of a line agrees; what follows a ± is a spread, and widens the mean before it"
    a, b = float(old[i][0]), float(new[i][0])
    before = line[:old[i].start()].rstrip()
    if before.endswith(('±', '+-')): return True
    spread = 0.0
    if re.match(r' ?(?:±|\+-)', line[old[i].end():]) and i + 1 < len(old):
        spread = float(old[i + 1][0]) + float(new[i + 1][0])
    return abs(a - b) <= max(ABSOLUTE, RELATIVE * max(abs(a), abs(b)), spread)


def same(old, new):
    "Whether two texts agree: words exactly, numbers within the tolerance"
    if NUMBER.sub('N', old) != NUMBER.sub('N', new): return False
    numbers = list(NUMBER.finditer(old)), list(NUMBER.finditer(new))
    return all(close(old, i, *numbers) for i in range(len(numbers[0])))


def differing(old, new):
    "The first pair of lines that differ, or nothing"
    before, after = ([line.strip() for line in text.splitlines() if line.strip()] for text in (old, new))
    for a, b in zip(before, after):
        if not same(a, b): return a, b
    if len(before) == len(after): return None
    longer = max(before, after, key=len)
    extra = longer[min(len(before), len(after))]
    return (extra, '') if longer is before else ('', extra)


def compared(path, done):
    "Number, stored cell, cell as it ran, and first pair of lines that differ, for each cell that every run executes"
    cells, ran = (json.loads(p.read_text(encoding='utf-8'))['cells'] for p in (path, done))
    ran = {cell['id']: cell for cell in ran}
    for i, old in enumerate(cells):
        new = ran.get(old['id'])
        if old['cell_type'] != 'code' or FLAGS.search(''.join(old['source'])): continue
        if new is None or ''.join(new['source']) != ''.join(old['source']): continue  # changed meanwhile
        yield i, old, new, differing('\n'.join(texts(old)), '\n'.join(texts(new)))


PROCESSOR = 'has no instructions for bfloat16'  # a warning that depends on where a page runs


def differences(path, done):
    "Sentences naming each cell of a notebook that says something else when run"
    for i, _, new, pair in compared(path, done):
        if 'Warning' in warned(new) and PROCESSOR not in warned(new): yield f'[{i}] warns: {warned(new).strip()[:160]}'
        if pair: yield f'[{i}] stored {pair[0][:100]!r}, printed {pair[1][:100]!r}'


def take_over(path, done):
    "Store what the cells say that say something else"
    notebook = json.loads(path.read_text(encoding='utf-8'))
    for i, _, new, pair in compared(path, done):
        if not pair: continue
        outputs = [out for out in new['outputs'] if out.get('name') != 'stderr']
        for out in outputs: out.update({'execution_count': None} if 'execution_count' in out else {})
        notebook['cells'][i]['outputs'] = outputs
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + '\n', encoding='utf-8')
