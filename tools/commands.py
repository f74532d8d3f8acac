"Do the command lines in the pages parse, and do commands find their helpers? python tools/commands.py"
import ast
import json
import re
import shlex
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path

from minimax_diffusion.console import COMMANDS, command_parser

ROOT = Path(__file__).resolve().parent.parent
NAMES = '|'.join(COMMANDS)
LINE = re.compile(rf'^\s*[!$]?\s*(?:accelerate launch .*\$\(which )?({NAMES})\)?(?= |$)(.*)$', re.MULTILINE)
SPAN = re.compile(rf'`({NAMES}) ([^`\n]+)`')


def words_of(path):
    "The text of a page that holds command lines: of a notebook, its prose and the lines that a shell gets."
    if path.suffix != '.ipynb': return path.read_text(encoding='utf-8')
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    prose = [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'markdown']
    code = [line for cell in cells if cell['cell_type'] == 'code' for line in cell['source'] if line.startswith('!')]
    return '\n'.join([*prose, *code])


def commands_in(text):
    "Name and arguments of every command line in a text."
    text = text.replace('\\\n', ' ')
    found = [(name, rest) for pattern in (LINE, SPAN) for name, rest in pattern.findall(text)]
    return [(name, shlex.split(rest, comments=True)) for name, rest in found]


def problem(name, arguments):
    "What the command's parser says against its arguments, or None."
    function = getattr(import_module(f'minimax_diffusion.{COMMANDS[name].room}'), name)
    said = StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(StringIO()): command_parser(function).parse_args(arguments)
    except SystemExit as error: return said.getvalue().strip() if error.code else None


def defined_late(room):
    "Functions and classes that a room defines after its last command, which `python -m` runs as soon as it is there."
    body = ast.parse((ROOT/'minimax_diffusion'/f'{room.replace(".", "/")}.py').read_text(encoding='utf-8')).body
    names = [getattr(node, 'name', None) for node in body]
    last = max(names.index(name) for name in COMMANDS if COMMANDS[name].room == room)
    return [name for name in names[last + 1:] if name]


def main():
    pages = [ROOT/'README.md', *sorted((ROOT/'nbs').rglob('*.ipynb'))]
    count, wrong = 0, []
    for page in pages:
        for name, arguments in commands_in(words_of(page)):
            count += 1
            said = problem(name, arguments)
            if said: wrong.append(f'{page.relative_to(ROOT)}: {shlex.join([name, *arguments])}\n  {said}')
    for room in sorted({command.room for command in COMMANDS.values()}):
        late = defined_late(room)
        if late: wrong.append(f'{room}: {", ".join(late)} must stand before the command')
    print(f'{count} command lines in {len(pages)} pages')
    return '\n'.join(wrong) or None


if __name__ == '__main__':
    sys.exit(main())
