"Do lines say one thing? Width, syntax nodes on a line, size of functions: python tools/plain.py [FILE...]"
import ast
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH, NODES_P90, NODES_MOST, PARAMETERS, LINES = 120, 14, 30, 12, 40


def code_lines(text):
    "Number and text of every line that holds code."
    lines = enumerate(text.splitlines(), 1)
    return [(n, line) for n, line in lines if line.strip() and not line.lstrip().startswith('#')]


def crowded(tree):
    "Syntax nodes that begin on each line."
    return Counter(node.lineno for node in ast.walk(tree) if hasattr(node, 'lineno'))


def has_record(function):
    "Whether its keywords come from a record, as a stage's and its command's do."
    names = [ast.unparse(decorator) for decorator in function.decorator_list]
    return any(name.startswith(('script', 'takes_settings', 'explain', 'options')) for name in names)


def made_lines(tree):
    "Numbers of the lines that nbdev writes: the list of public names."
    lists = [node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__all__']
    return {n for node in lists for n in range(node.lineno, node.end_lineno + 1)}


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def complaints(path):
    "What is too wide, too crowded or too long in one file; and the counts of its lines."
    text = path.read_text(encoding='utf-8')
    tree = ast.parse(text)
    nodes = crowded(tree)
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    made = made_lines(tree)
    wide = [(n, len(line)) for n, line in code_lines(text) if len(line) > WIDTH and n not in made]
    found = [f'{name}:{n}: {width} columns' for n, width in wide]
    found += [f'{name}:{n}: {count} syntax nodes' for n, count in sorted(nodes.items()) if count > NODES_MOST]
    for function in functions(tree):
        arguments = function.args
        count = len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs)
        if count > PARAMETERS and not has_record(function):
            found.append(f'{name}:{function.lineno}: {function.name} has {count} parameters')
        length = function.end_lineno - function.lineno + 1
        if length > LINES and not has_record(function):
            found.append(f'{name}:{function.lineno}: {function.name} has {length} lines')
    return found, list(nodes.values())


def main(paths):
    package = ROOT/'minimax_diffusion'
    paths = paths or sorted(p for p in package.rglob('*.py') if p.name != '_modidx.py')
    found, counts = [], []
    for path in paths:
        more, nodes = complaints(Path(path).resolve())
        found += more
        counts += nodes
    counts.sort()
    at_90 = counts[int(0.9 * len(counts))]
    if at_90 > NODES_P90: found.append(f'a line in ten holds more than {at_90} syntax nodes, {NODES_P90} are the limit')
    print(f'{len(paths)} files, {len(counts)} lines: syntax nodes on a line p90 {at_90}, most {counts[-1]}')
    if found: sys.exit('\n'.join(found))


if __name__ == '__main__':
    main(sys.argv[1:])
