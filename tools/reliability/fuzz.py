"""Give damaged and hostile files to every reader: python tools/reliability/fuzz.py --cases 1000

Each case takes a whole product, spoils one of its files (bits, an end, zeros, another file's content, JSON of other
types, an impossible header, a path for a name), and opens it. It must be read, or refused with a documented error: one
line that names what is wrong. Anything else is a failure, and so is a case that takes more than 20 seconds, or a file
that appears outside the folder of the case.
"""
import argparse
import copy
import json
import os
import random
import shutil
import sys
import time
import traceback
import warnings
from collections import Counter as Tally
from pathlib import Path

from common import in_children, needs, prepare, scratch
import torch

from minimax_diffusion.adapter import phase_adapters, read_adapter, save_pipeline
from minimax_diffusion.backbone import load_backbone
from minimax_diffusion.checkpoints import from_original, read_checkpoint, to_original, write_checkpoint
from minimax_diffusion.distill import RunRecord, identity, open_split, request
from minimax_diffusion.evaluate import check_whole
from minimax_diffusion.images import digits, image_folder, read_image
from minimax_diffusion.latents import LatentCache
from minimax_diffusion.report import load_report, report_markdown
from minimax_diffusion.sample import sample
from minimax_diffusion.stage import Checkpoint, Stage, verify
from minimax_diffusion.training import load_teacher
import stages

DOCUMENTED = (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
SLOW = 20  # seconds
VALUES = (None, True, -1, 0, 7, 1e308, 10**30, float('nan'), '', 'x', '../../ESC', '/tmp/ESC', 'a\0b', [], [None],
          [[]], {}, {'a': 1}, {'0': '../../ESC'}, ['../../ESC'], 'e' * 300, [1e999], -10**9, 2**31)


def read_latents(folder, whole):
    cache = LatentCache(folder)
    cache.sample(torch.tensor([0, len(cache) - 1]))
    return cache.means(), repr(cache), cache.digest()


def read_adapters(folder, whole):
    state = [read_adapter(adapter, whole.backbone) for adapter in phase_adapters(folder)]
    save_pipeline(whole.backbone, next(iter(phase_adapters(folder))), folder.parent/'merged')
    return state


def draw_adapter(folder, whole):
    "Draw with an adapter: the names of its classes become folders."
    return sample(whole.backbone, folder, folder.parent/'drawn', ipc=1, num_inference_steps=2, progress=False)


def read_pipeline(folder, whole):
    backbone = load_backbone(folder, 'cpu')
    return backbone.digest(), backbone.encode(torch.zeros(1, 3, stages.SIDE, stages.SIDE, dtype=torch.uint8))


def read_job(folder, whole):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return Checkpoint(folder/'checkpoint.safetensors').load()


def read_set(folder, whole):
    dataset = image_folder(folder, stages.SIDE)
    check_whole(folder, dataset)
    return [dataset[i] for i in range(len(dataset))]


def read_report(folder, whole):
    report = load_report(folder)
    return report_markdown(report), report.noise


def read_again(folder, whole):
    "A finished stage that is asked for once more."
    config = whole.configs[folder.name]
    stage = Stage(folder, config['stage'], {k: v for k, v in config['config'].items()})
    return stage.complete and verify(folder)


def read_teacher(folder, whole):
    return load_teacher(folder, whole.classes)


def read_run(folder, whole):
    asked = request('digits', 'cpu', **stages.distill_request(whole.inputs))
    return RunRecord(folder, identity(asked, *whole.splits(asked))).finished and load_report(folder)


def read_pt(folder, whole):
    return from_original(read_checkpoint(folder/'model.pt'), 2)


def read_picture(folder, whole):
    return [read_image(path) for path in sorted(folder.rglob('*.*'))]


READERS = {  # name -> what is spoilt, and who reads it
    'latents': ('encode', read_latents),
    'adapter': ('finetune', read_adapters),
    'adapter drawn': ('finetune', draw_adapter),
    'phases': ('phases', read_adapters),
    'pipeline': ('pretrain/pipeline', read_pipeline),
    'checkpoint': ('job', read_job),
    'distilled set': ('sample', read_set),
    'images': ('pictures', read_picture),
    'report': ('evaluate', read_report),
    'finished stage': ('sample', read_again),
    'teacher': ('teacher', read_teacher),
    'run': ('run', read_run),
    'pt file': ('pt', read_pt),
}


MADE_FROM = {
    'run': 'distill', 'job': 'pretrain', 'pictures': 'pretrain', 'pt': 'pretrain', 'pretrain/pipeline': 'pretrain',
}


class Whole:
    "The products before they are spoilt."

    def __init__(self, inputs, readers):
        self.inputs = inputs
        sources = {READERS[name][0] for name in readers}
        made = {MADE_FROM.get(source, source) for source in sources} | {'pretrain'}
        prepare(inputs, [stage for stage in stages.STAGES if any(stage in needs(name) for name in made)])
        if 'job' in sources: self._job(inputs/'job')
        if 'pictures' in sources: self._pictures(inputs/'pictures')
        if 'run' in sources: self._run(inputs/'run')
        self.classes = [str(c) for c in range(10)]
        self.images = None
        self.configs = {}
        for folder in inputs.iterdir():
            if (folder/'config.json').is_file():
                self.configs[folder.name] = json.loads((folder/'config.json').read_text())

    def open(self):
        self.backbone = stages.backbone(self.inputs)
        self._pt(self.inputs/'pt')

    def splits(self, asked):
        "The images of a run."
        if self.images is None: self.images = [open_split(asked, split, None, False) for split in ('train', 'test')]
        return self.images

    def _job(self, folder):
        folder.mkdir(exist_ok=True)
        for step in (1, 2):
            state = {'step': step, 'w': torch.ones(7), 'more': [(1, None), {'a': torch.zeros(2, 3)}, 'text']}
            Checkpoint(folder/'checkpoint.safetensors').save(state)

    def _run(self, folder):
        "What a distillation says about itself, without its products."
        folder.mkdir(exist_ok=True)
        for name in ('run.json', 'report.json'): shutil.copy(self.inputs/'distill'/name, folder)

    def _pictures(self, folder):
        from PIL import Image
        folder.mkdir(exist_ok=True)
        pixels = digits('test', 32)[0][0].permute(1, 2, 0).numpy()
        for kind in ('png', 'jpg', 'gif', 'bmp', 'tif', 'webp'):
            Image.fromarray(pixels).save(folder/f'a.{kind}')

    def _pt(self, folder):
        if folder.is_dir(): return
        folder.mkdir()
        transformer = self.backbone.transformer
        state = to_original(dict(transformer.config), dict(transformer.named_parameters()))
        write_checkpoint(state, folder/'model.pt')


def files_of(folder):
    return sorted(path for path in folder.rglob('*') if path.is_file())


def flip(data, chance, others):
    "Some bits."
    for _ in range(chance.choice((1, 1, 8, 100))):
        if data: data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def flip_head(data, chance, others):
    "Some bits near the beginning."
    for _ in range(chance.choice((1, 3))):
        if data: data[chance.randrange(min(len(data), 400))] ^= 1 << chance.randrange(8)
    return data


def cut(data, chance, others):
    return data[:chance.randrange(len(data) + 1)] if chance.random() < 0.8 else bytearray()


def zero(data, chance, others):
    first = chance.randrange(len(data) + 1)
    last = len(data) if chance.random() < 0.5 else min(len(data), first + 4096)
    data[first:last] = bytes(last - first)
    return data


def exchange(data, chance, others):
    "The content of another file."
    return bytearray(chance.choice(others).read_bytes())


def longer(data, chance, others):
    return data + chance.randbytes(chance.choice((1, 100)))


def places(value, path=()):
    "Every place in a JSON value."
    yield path
    if isinstance(value, dict): items = list(value.items())
    elif isinstance(value, list): items = list(enumerate(value[:4]))
    else: items = []
    for key, inner in items: yield from places(inner, (*path, key))


def alter(value, chance):
    "Put something else, nothing, or a new name into a place of a JSON value."
    path = chance.choice(list(places(value)))
    if not path: return copy.deepcopy(chance.choice(VALUES))
    inner = value
    for key in path[:-1]: inner = inner[key]
    how = chance.random()
    if how < 0.2: del inner[path[-1]]
    elif how < 0.3 and isinstance(inner, dict): inner['../../ESC'] = inner.pop(path[-1])
    else: inner[path[-1]] = copy.deepcopy(chance.choice(VALUES))
    return value


def json_of_others(data, chance, others):
    try: value = json.loads(bytes(data))
    except (ValueError, RecursionError): return flip(data, chance, others)
    for _ in range(chance.choice((1, 1, 2))):
        if isinstance(value, (dict, list)) and value: value = alter(value, chance)
    text = json.dumps(value)
    if chance.random() < 0.03: text = '[' * 100_000
    return bytearray(text.encode('utf-8', 'surrogatepass'))


def header(data, chance, others):
    "Another header for the tensors of a safetensors file."
    if len(data) < 8: return data
    size = int.from_bytes(data[:8], 'little')
    try: value = json.loads(bytes(data[8:8 + size]))
    except (ValueError, RecursionError): return flip(data, chance, others)
    if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
        return flip(data, chance, others)  # it was spoilt before
    if chance.random() < 0.2: new = data[8:8 + size], chance.choice((0, 1, 2**40, 2**63, 10**8, size - 1))
    else:
        names = [name for name in value if name != '__metadata__']
        name = chance.choice(names) if names else 'w'
        entry = value.setdefault(name, {})
        how = chance.randrange(6)
        if how == 0: entry['shape'] = chance.choice(([2**40], [2**62, 4], [0, 10**15], [-1], [], [1] * 70, [10**30]))
        if how == 1: entry['dtype'] = chance.choice(('F8_E4M3', 'F64', 'BOOL', 'U64', 'F8_E8M0', 'F4', 'X', 7))
        if how == 2: entry['data_offsets'] = chance.choice(([0, 2**60], [5, 1], [0, 0], [-4, 4], [0]))
        if how == 3: value = alter(value, chance)
        if how == 4: value['../../ESC'] = value.pop(name)
        if how == 5: value['__metadata__'] = chance.choice(({'state': '[' * 99999, 'sha256': 'x'}, {'a': 1}, 'x', {}))
        text = bytearray(json.dumps(value).encode())
        new = text, len(text)
    text, length = new
    return bytearray(length.to_bytes(8, 'little')) + text + data[8 + size:]


def spoil(folder, chance):
    "Spoil one file of a folder, or two; what was done."
    files = files_of(folder)
    done = []
    for _ in range(chance.choice((1, 1, 1, 2))):
        file = chance.choice(files)
        hows = [flip, flip_head, cut, zero, exchange, longer, remove]
        if file.suffix == '.json': hows += [json_of_others] * 14
        if file.suffix == '.safetensors': hows += [header] * 7
        how = chance.choice(hows)
        done.append(f'{how.__name__} {file.relative_to(folder)}')
        if how is remove: file.unlink(missing_ok=True)
        elif file.exists():
            there = [f for f in files if f.exists()]
            file.write_bytes(how(bytearray(file.read_bytes()), chance, there))
    return ', '.join(done)


def remove(data, chance, others):
    "The file is gone."


def case(name, number, whole, place):
    "One case: how it was spoilt, what came of it, and how long it took."
    source, reader = READERS[name]
    chance = random.Random(f'{name} {number}')
    room = place/'a'/'b'  # what climbs two folders up is still in this place
    room.mkdir(parents=True)
    folder = room/Path(source).name
    shutil.copytree(whole.inputs/source, folder)
    done = spoil(folder, chance) if number >= 0 else ''
    start = time.monotonic()
    what, text = 'read', ''
    try: reader(folder, whole)
    except DOCUMENTED as error:
        what, text = 'refused', str(error)
        if type(error).__name__ == 'UnicodeDecodeError' or not text: what = 'failed'
        if len(text.splitlines()) > 3: what = 'failed'
        if what == 'failed': text = traceback.format_exc(limit=-5)
    except BaseException: what, text = 'failed', traceback.format_exc(limit=-5)
    seconds = time.monotonic() - start
    if seconds > SLOW: what, text = 'failed', f'took {seconds:.0f} s'
    escaped = [path for path in (*place.rglob('*ESC*'), *Path('/tmp').glob('ESC*')) if room not in path.parents]
    if escaped: what, text = 'failed', f'wrote {escaped[0]} outside its folder'
    shutil.rmtree(place)
    return done, what, text, round(seconds, 2)


def share(name, numbers, whole, root, log):
    "Some cases, written down one a line."
    torch.set_num_threads(1)
    whole.open()
    done, what, text, _ = case(name, -1, whole, root/f'{name}-whole'.replace(' ', '_'))
    if what != 'read': raise RuntimeError(f'a folder that was not spoilt is not read: {text}')
    os.environ['TMPDIR'] = str(root)
    with open(log, 'w') as file:
        for number in numbers:
            found = case(name, number, whole, root/f'{name}-{number}'.replace(' ', '_'))
            file.write(json.dumps([number, *found]) + '\n')
            file.flush()


def fuzz(name, cases, whole, root, workers):
    "All cases of a reader; a record of what came of them."
    logs = [root/f'{name}.{i}.log' for i in range(workers)]
    jobs = [lambda i=i: share(name, range(i, cases, workers), whole, root, logs[i]) for i in range(workers)]
    statuses = in_children(jobs, workers)
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    tally = Tally(what for _, _, what, _, _ in lines)
    failed = [(number, done, text) for number, done, what, text, _ in lines if what == 'failed']
    died = sum(status != 0 for status in statuses)
    slowest = max((seconds for *_, seconds in lines), default=0)
    return dict(reader=name, cases=len(lines), **tally, died=died, slowest=slowest), failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--cases', type=int, default=1000, help='of each reader')
    parser.add_argument('--reader', default=','.join(READERS), help='comma-separated; default: all')
    parser.add_argument('--workers', type=int, default=1, help='processes')
    parser.add_argument('--folder', help='where to work; default: a temporary folder')
    parser.add_argument('--show', type=int, default=5, help='failures to print of each reader')
    asked = parser.parse_args()
    bad = 0
    with scratch(asked.folder) as root:
        readers = asked.reader.split(',')
        whole = Whole(root/'inputs', readers)
        for name in readers:
            record, failed = fuzz(name, asked.cases, whole, root, asked.workers)
            print(json.dumps(record), flush=True)
            for number, done, text in failed[:asked.show]: print(f'  case {number}: {done}\n{text}', flush=True)
            bad += len(failed) + record['died']
    return min(1, bad)


if __name__ == '__main__': sys.exit(main())
