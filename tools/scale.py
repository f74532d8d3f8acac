"""Many images, read and sampled: python tools/scale.py --images 300000 --classes 1000 --set 100000 --out scale.json

Makes tiny JPEG images as files, tars and Parquet (the latter where the library `datasets` is there), and reads them in
turn, each time in a process of its own: torchvision's ImageFolder, and this library from each of the three, through a
DataLoader with the same batches, workers, and crop. Noted are the seconds of the index, its bytes an image, the seconds
to the first batch, images a second, a processor's time for each, and the memory of all processes while they read. Then
a set is sampled (the drawing itself is left out: what is measured is everything around it) and opened again. Needs
Linux; one thread a process; the folder it works in takes about 2.5 GB for 300,000 images, and is deleted at the end
where it is a temporary one. Without options: a small try.
"""
import argparse
import io
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from minimax_diffusion.images import center_crop, image_folder, image_to_tensor
from minimax_diffusion.shards import read_shards, shard_files, write_tar

SIDES = ('ImageFolder', 'files', 'tars', 'parquet')
POINTS = 20  # how often memory is looked at


def pictures(side, count=997):
    "JPEG files of smooth noise, as bytes."
    rng = np.random.default_rng(7)
    found = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(file, 'JPEG', quality=90)
        found.append(file.getvalue())
    return found


def make_files(root, images, classes, side):
    "root/files/<class>/<image>, class by class."
    contents = pictures(side)
    files = []
    for c in range(classes):
        folder = root/'files'/f'n{c:08}'
        folder.mkdir(parents=True)
        for i in range(c, images, classes):
            files.append((folder.name, folder/f'{folder.name}_{i}.JPEG', c))
            files[-1][1].write_bytes(contents[i % len(contents)])
    return files


def make_shards(root, files, images_a_shard=10_000):
    "The same in tars and Parquet files, their classes mixed."
    order = np.random.default_rng(0).permutation(len(files))
    names = sorted({kind for kind, *_ in files})
    (root/'tars').mkdir()
    (root/'tars'/'classes.txt').write_text('\n'.join(names))
    (root/'parquet').mkdir()
    for number, first in enumerate(range(0, len(files), images_a_shard)):
        mine = [files[i] for i in order[first:first + images_a_shard]]
        write_tar(root/'tars'/f'{number:05}.tar', mine)
        if find_spec('datasets'): make_parquet(root/'parquet'/f'{number:05}.parquet', mine, names)


def make_parquet(path, files, names):
    import datasets
    datasets.disable_progress_bars()
    rows = {'image': [{'bytes': file.read_bytes(), 'path': file.name} for _, file, _ in files]}
    rows['label'] = [number for *_, number in files]
    kinds = datasets.Features({'image': datasets.Image(), 'label': datasets.ClassLabel(names=names)})
    datasets.Dataset.from_dict(rows, kinds).to_parquet(path, batch_size=1000)


def memory(process):
    "Megabytes of a process: what it has in memory, its share where several have the same, and what is its own."
    found = dict(line.split(':') for line in Path(f'/proc/{process}/smaps_rollup').read_text().splitlines()[1:])
    def _of(name): return int(found[name].split()[0]) / 1024
    return [round(x, 2) for x in (_of('Rss'), _of('Pss'), _of('Private_Clean') + _of('Private_Dirty'))]


def workers_of(process):
    "The processes that a process started."
    found = []
    for task in Path(f'/proc/{process}/task').iterdir(): found += (task/'children').read_text().split()
    return sorted(map(int, found))


def dataset_of(kind, root, side):
    "What is to be read; both crop alike."
    if kind == 'files': return image_folder(root/'files', side)
    if kind in ('tars', 'parquet'): return read_shards(shard_files(root/kind), side)
    return ImageFolder(root/'files', transform=lambda image: image_to_tensor(center_crop(image, side)))


def processor():
    "Seconds of a processor that this process and those it started and ended have taken."
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def measure(kind, root, asked, turn):
    "Index and read once; run in a process of its own."
    before = memory(os.getpid())
    start, used = time.perf_counter(), processor()
    dataset = dataset_of(kind, root, asked.side)
    index, index_used = time.perf_counter() - start, processor() - used
    after = memory(os.getpid())
    wanted = asked.read or len(dataset)
    begin_at = 0 if wanted == len(dataset) else turn * wanted % (len(dataset) - wanted + 1)
    loader = DataLoader(dataset, asked.batch, sampler=range(begin_at, begin_at + wanted), num_workers=asked.workers,
                        generator=torch.Generator())
    points, first, seen = [], None, 0
    begin, used = time.perf_counter(), processor()
    looked = 0
    for batch, _ in loader:
        first = first or time.perf_counter() - start
        seen += len(batch)
        if seen >= len(points) * wanted / POINTS:
            look = time.perf_counter()
            points.append([seen, *map(memory, [os.getpid(), *workers_of(os.getpid())])])
            looked += time.perf_counter() - look
    seconds = time.perf_counter() - begin - looked
    assert seen == wanted and len(dataset) == asked.images
    del loader
    return {
        'index processor seconds': index_used, 'processor microseconds an image': 1e6 * (processor() - used) / seen,
        'index seconds': index, 'first batch seconds': first, 'images a second': seen / seconds,
        'index bytes an image': (after[2] - before[2]) * 2**20 / len(dataset), 'points': points,
    }


def growth(points):
    "By how much the memory of the main process, and of the workers, is larger at the end than after a tenth; in %."
    tenth, last = points[POINTS // 10], points[-1]
    def _of(process, kind): return 100 * (last[process][kind] / tenth[process][kind] - 1)
    kinds = enumerate(('RSS', 'PSS', 'own'))
    return {name: [round(_of(process, kind), 1) for process in range(1, len(last))] for kind, name in kinds}


def in_turn(root, asked):
    "All sides, in turn, as often as asked."
    found = {side: [] for side in SIDES if side != 'parquet' or find_spec('datasets')}
    warm = root/'warm'
    if not warm.exists(): make_shards(warm, make_files(warm, 20, 2, asked.side))
    for side in found: dataset_of(side, warm, asked.side)[0]  # imports what is imported late
    for number in range(asked.rounds):
        for side in list(found)[::1 if number % 2 == 0 else -1]:
            with ProcessPoolExecutor(1, get_context('fork')) as apart:
                found[side].append(apart.submit(measure, side, root, asked, number).result())
            figures = {name: round(value, 2) for name, value in found[side][-1].items() if name != 'points'}
            print(side, figures, flush=True)
    return found


def summary(rounds):
    "Medians over the rounds, and the growth of memory in the last."
    names = [name for name in rounds[0] if name != 'points']
    table = {name: round(statistics.median(one[name] for one in rounds), 3) for name in names}
    return table | {'growth, %': growth(rounds[-1]['points'])}


def sampled(root, count, classes=1000):
    "Sample a set whose drawing takes no time, and open it again: seconds, and bytes of its record."
    from minimax_diffusion import sample as door
    from minimax_diffusion.backbone import load_backbone
    place = sys.modules[door.__module__]
    backbone = load_backbone('digits', 'cpu')
    labels = {f'class {c}': c % 10 for c in range(classes)} if classes <= 10 else None
    noise = torch.rand(64, 3, backbone.image_size, backbone.image_size)
    def _drawn(ready, wanted, *args, **kwargs): return noise[:1].expand(len(wanted), -1, -1, -1)
    def _labels(*args): return {f'class {c}': c % 10 for c in range(classes)}
    found = {}
    for tars in (False, True):
        out = root/('set of tars' if tars else 'set')
        asked = dict(ipc=count // classes, classes=labels, tars=tars, progress=False, batch_size=64)
        with mock.patch.object(place, 'generate', _drawn), mock.patch.object(place, '_wanted_labels', _labels):
            seconds = {}
            for name in ('sample', 'open again'):
                start = time.perf_counter()
                door(backbone, None, out, **asked)
                seconds[name] = round(time.perf_counter() - start, 2)
        found['tars' if tars else 'folders'] = {**seconds, 'record bytes': (out/'config.json').stat().st_size}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=3000, help='to read')
    parser.add_argument('--classes', type=int, default=100, help='that they are of')
    parser.add_argument('--side', type=int, default=32, help='of the images, pixels')
    parser.add_argument('--batch', type=int, default=64, help='images a batch')
    parser.add_argument('--workers', type=int, default=2, help='processes that read')
    parser.add_argument('--rounds', type=int, default=3, help='how often each side reads')
    parser.add_argument('--read', type=int, default=0, help='images that it reads each time; 0: all')
    parser.add_argument('--set', type=int, default=1000, help='images to sample; 0: none')
    parser.add_argument('--out', default='scale.json', help='file to write')
    parser.add_argument('--folder', type=Path, help='where to work, and keep the images; default: a temporary folder')
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        root = asked.folder or Path(temporary)
        if not (root/'files').exists(): make_shards(root, make_files(root, asked.images, asked.classes, asked.side))
        rounds = in_turn(root, asked)
        record = {'asked': {name: str(value) for name, value in vars(asked).items()}, 'cores': os.cpu_count()}
        record |= {'read': {side: summary(found) for side, found in rounds.items()}, 'rounds': rounds}
        if asked.set: record['sampled'] = sampled(root, asked.set)
        Path(asked.out).write_text(json.dumps(record, indent=1))
        print(json.dumps({name: record[name] for name in ('read', 'sampled') if name in record}, indent=1))


if __name__ == '__main__': main()
