"How a function or class of the package is shown on its page: signature, summary, and a table of what goes in and out"
import inspect
import re
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


def default_of(field):
    if field.default is not MISSING: return value(field.default)
    return '' if field.default_factory is MISSING else value(field.default_factory())


def rows_of_record(record):
    "Name, type, default and meaning of a dataclass's fields"
    meanings = docments(record, returns=False)
    return [(f.name, kind(f.type), default_of(f), meanings.get(f.name)) for f in fields(record)]


def rows_of_function(symbol):
    "The same of a function's parameters, and what it returns"
    try: annotations = {key: p.annotation for key, p in inspect.signature(symbol).parameters.items()}
    except (TypeError, ValueError): return []
    rows = []
    for name, found in docments(symbol, full=True).items():
        if name in ('self', 'cls'): continue
        if name == 'return':
            if found.docment or kind(found.anno): rows.append(('*returns*', kind(found.anno), '', found.docment))
            continue
        default = '' if found.default is EMPTY else value(found.default)
        rows.append((name, kind(annotations.get(name, EMPTY)), default, found.docment))
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


def from_package(symbol, name):
    "The package's own object, whose source can be read, for one that a page has just executed"
    found = NbdevLookup()[name]
    if not isinstance(found, tuple): return symbol
    module = import_module(found[1].removesuffix('.py').replace('/', '.'))
    for part in name.split('.'): module = getattr(module, part)
    return module


class Reference:
    "What `show_doc` shows; takes the place of nbdev's renderer while pages are built"
    def __init__(self, symbol, name=None, title_level=3, **_):
        named = symbol.fget if isinstance(symbol, property) else symbol
        self.name = name or getattr(named, '__qualname__', str(named))
        symbol = from_package(symbol, self.name)
        self.symbol = symbol.fget if isinstance(symbol, property) else symbol
        self.level = title_level

    def _repr_markdown_(self):
        symbol = self.symbol
        source = NbdevLookup().code(self.name)
        link = f'[source]({source}){{target="_blank" style="float:right; font-size:smaller"}}\n\n' if source else ''
        parts = [
            f"---\n\n{link}{'#' * self.level} {self.name}",
            f'```python\n{signature(symbol, self.name)}\n```',
            summary(symbol),
            table(rows_of_record(symbol) if is_dataclass(symbol) else rows_of_function(symbol)),
        ]
        if isinstance(symbol, type): parts.append(methods(symbol))
        return '\n\n'.join(part for part in parts if part)

    def __repr__(self): return f'{signature(self.symbol, self.name)}\n    {summary(self.symbol)}'
