"How a function or class of the package is shown on its page: signature, summary, and a table of what goes in and out"
import ast
import inspect
import io
import re
import textwrap
import tokenize
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module

from fastcore.docments import docments
from nbdev.doclinks import NbdevLookup

EMPTY = inspect.Parameter.empty


def kind(annotation):
    "A type as one writes it: `int | None`, `Tensor`, `list[str]`"
    if annotation in (EMPTY, None): return ''
    if isinstance(annotation, str): text = annotation
    elif isinstance(annotation, type) and not getattr(annotation, '__args__', None): text = annotation.__name__
    else: text = str(annotation)
    return re.sub(r'\b(?:\w+\.)+(?=\w)', '', text)


def value(default):
    "A default as one writes it; long ones are cut"
    text = getattr(default, '__name__', None) or repr(default)
    return text if len(text) <= 40 else text[:37] + '...'


def parameter(name, p):
    star = {p.VAR_POSITIONAL: '*', p.VAR_KEYWORD: '**'}.get(p.kind, '')
    annotation = kind(p.annotation)
    text = f'{star}{name}' + f': {annotation}' * bool(annotation)
    if p.default is EMPTY: return text
    return f'{text} = {value(p.default)}' if annotation else f'{text}={value(p.default)}'


def signature(symbol, name):
    "The definition's first line, broken where it is wide"
    word = 'class' if isinstance(symbol, type) else 'def'
    try: found = inspect.signature(symbol)
    except (TypeError, ValueError): return f'{word} {name}'
    parts = []
    for key, p in found.parameters.items():
        starred = any(part.startswith('*') for part in parts)
        if p.kind is p.KEYWORD_ONLY and not starred: parts.append('*')
        parts.append(parameter(key, p))
    result = kind(found.return_annotation)
    end = f' -> {result}' if result and word == 'def' else ''
    line = f"{word} {name}({', '.join(parts)}){end}"
    if len(line) <= 88: return line
    return f'{word} {name}(\n    ' + ',\n    '.join(parts) + f',\n){end}'


def cell(text):
    return ' '.join(str(text or '').split()).replace('|', r'\|')


def tree(symbol):
    "A definition's syntax, and its comments by line; `docments` overlooks those where it cannot read the signature"
    source = textwrap.dedent(inspect.getsource(symbol))
    found = tokenize.generate_tokens(io.StringIO(source).readline)
    return ast.parse(source).body[0], {t.start[0]: t.string.lstrip('# ') for t in found if t.type == tokenize.COMMENT}


def words(symbol):
    "What the comments of a definition say: name of a parameter or field -> its meaning, and `return`"
    try: node, comments = tree(symbol)
    except (TypeError, OSError): return {}
    if isinstance(node, ast.FunctionDef): return words_of_function(node, comments)
    said = {item.target.id: comments.get(item.end_lineno) for item in node.body if isinstance(item, ast.AnnAssign)}
    for item in node.body:
        if getattr(item, 'name', '') == '__init__': said |= words_of_function(item, comments)
    return said


def words_of_function(node, comments):
    given = node.args
    defaults = dict(zip([a.arg for a in (given.posonlyargs + given.args)[::-1]], given.defaults[::-1]))
    defaults |= {a.arg: d for a, d in zip(given.kwonlyargs, given.kw_defaults) if d}
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    lines = {a.arg: getattr(defaults.get(a.arg), 'end_lineno', a.end_lineno) for a in every if a}
    said = {name: comments.get(line) for name, line in lines.items() if line > node.lineno}
    last = max([node.lineno, *(line for line in lines.values() if line > node.lineno)])
    start = last if last == node.lineno else last + 1  # a signature of one line has its end there
    ends = [line for line in range(start, node.body[0].lineno) if line in comments]
    return said | {'return': comments[ends[-1]]} if ends else said


def rows_of_record(record):
    "Name, type, default and meaning of the fields of a dataclass or named tuple"
    meanings = words(record)
    if not is_dataclass(record):
        types, defaults = record.__annotations__, record._field_defaults
        names = [(name, types[name], value(defaults[name]) if name in defaults else '') for name in record._fields]
    else: names = [(f.name, f.type, default_of(f)) for f in fields(record)]
    inherited = docments(record, returns=False) if is_dataclass(record) else {}
    return [(name, kind(t), default, meanings.get(name) or inherited.get(name)) for name, t, default in names]


def default_of(field):
    if field.default is not MISSING: return value(field.default)
    return '' if field.default_factory is MISSING else value(field.default_factory())


def is_record(symbol):
    "A dataclass, or a named tuple"
    return is_dataclass(symbol) or (isinstance(symbol, type) and hasattr(symbol, '_field_defaults'))


def rows_of_function(symbol):
    "The same of a function's parameters, and what it returns"
    try: annotations = {key: p.annotation for key, p in inspect.signature(symbol).parameters.items()}
    except (TypeError, ValueError): return []
    said, rows = words(symbol), []
    for name, found in docments(symbol, full=True).items():
        if name in ('self', 'cls'): continue
        meaning = found.docment or said.get(name)
        if name == 'return':
            if meaning or kind(found.anno): rows.append(('*returns*', kind(found.anno), '', meaning))
            continue
        default = '' if found.default is EMPTY else value(found.default)
        rows.append((name, kind(annotations.get(name, EMPTY)), default, meaning))
    return rows


def table(rows):
    if not rows: return ''
    lines = ['| | type | default | |', '|:--|:--|:--|:--------|']
    for name, annotation, default, meaning in rows:
        name = name if name.startswith('*') else f'<code>{name}</code>'  # a backtick would become a link
        lines.append(f'| {name} | {cell(annotation)} | {cell(default)} | {cell(meaning)} |')
    return '\n'.join(lines) + '\n\n: {tbl-colwidths="[20,18,14,48]"}'


def summary(symbol):
    text = inspect.getdoc(symbol) or ''
    return text.partition('\n\nParameters\n')[0].strip()


def methods(symbol):
    "Public methods and properties that stand inside a class, with what they do"
    lines = []
    for name, member in vars(symbol).items():
        if name.startswith('_'): continue
        function = member.fget if isinstance(member, property) else getattr(member, '__func__', member)
        if not inspect.isfunction(function) or not summary(function): continue
        meaning = cell(summary(function).splitlines()[0])
        arguments = ', '.join(list(inspect.signature(function).parameters)[1:])
        shown = name if isinstance(member, property) else f'{name}({arguments})'
        lines.append(f'| <code>{shown}</code> | {meaning} |')
    if not lines: return ''
    return '\n'.join(['| | |', '|:--|:--------|', *lines]) + '\n\n: {tbl-colwidths="[40,60]"}'


def modules_with(name):
    "The modules of the package that define a name"
    entries = NbdevLookup().entries.values()
    found = [module for entry in entries for module, names in entry['syms'].items() if f'{module}.{name}' in names]
    return [module for module in found if module.startswith('minimax_diffusion')]


def from_package(symbol, name):
    "The package's own object, whose source can be read, for one that a page has just executed; and its module"
    alike = None
    for module in modules_with(name):
        own = import_module(module)
        for part in name.split('.'): own = getattr(own, part)
        if alike is None or inspect.getdoc(own) == inspect.getdoc(symbol): alike = own, module
    return alike or (symbol, None)


def address(symbol, module):
    "Of a definition's first line, on the project's host"
    if module is None: return ''
    page = NbdevLookup().entries['minimax_diffusion']['settings']
    file = module.replace('.', '/') + '.py'
    return f"{page['git_url']}/blob/{page['branch']}/{file}#L{first_line(symbol)}"


def first_line(symbol):
    named = inspect.unwrap(symbol.fget if isinstance(symbol, property) else symbol)
    return inspect.getsourcelines(named)[1]


class Reference:
    "What `show_doc` shows; takes the place of nbdev's renderer while pages are built"
    def __init__(self, symbol, name=None, title_level=3, **_):
        named = symbol.fget if isinstance(symbol, property) else symbol
        self.name = name or getattr(named, '__qualname__', str(named))
        symbol, self.module = from_package(symbol, self.name)
        self.symbol = symbol.fget if isinstance(symbol, property) else symbol
        self.level = title_level

    def _repr_markdown_(self):
        symbol = self.symbol
        source = address(symbol, self.module)
        link = f'[source]({source}){{target="_blank" style="float:right; font-size:smaller"}}\n\n' if source else ''
        parts = [
            f"---\n\n{link}{'#' * self.level} {self.name}",
            f'```python\n{signature(symbol, self.name)}\n```',
            summary(symbol),
            table(rows_of_record(symbol) if is_record(symbol) else rows_of_function(symbol)),
        ]
        if isinstance(symbol, type): parts.append(methods(symbol))
        return '\n\n'.join(part for part in parts if part)

    def __repr__(self): return f'{signature(self.symbol, self.name)}\n    {summary(self.symbol)}'
