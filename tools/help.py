"Write the help texts of the console scripts into the package: python tools/help.py [--check]"
import sys
from importlib import import_module
from pathlib import Path

from minimax_diffusion.console import COMMANDS, command_parser

FOLDER = Path(__file__).resolve().parent.parent/'minimax_diffusion'/'help'


def texts():
    "File name -> help text, of every command"
    found = {}
    for name, command in COMMANDS.items():
        function = getattr(import_module(f'minimax_diffusion.{command.room}'), name)
        found[f'{name}.txt'] = command_parser(function).format_help()
    return found


def main(check):
    wanted = texts()
    there = {path.name: path.read_text('utf-8') for path in FOLDER.glob('*.txt')}
    if check:
        old = [name for name in {**wanted, **there} if wanted.get(name) != there.get(name)]
        return f'run python tools/help.py: other texts for {", ".join(sorted(old))}' if old else None
    FOLDER.mkdir(exist_ok=True)
    for name in there.keys() - wanted.keys(): (FOLDER/name).unlink()
    for name, text in wanted.items(): (FOLDER/name).write_text(text, 'utf-8')


if __name__ == '__main__':
    sys.exit(main('--check' in sys.argv))
