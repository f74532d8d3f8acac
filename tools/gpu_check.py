"""Ten minutes on a GPU, for whoever has one: what the tests cannot see without it, and how fast it is.

    python tools/gpu_check.py --out FOLDER [--imagewoof ARCHIVE] [--reference CLONE] [--parts step,training]

Every figure is written down as soon as it is there, in FOLDER/gpu_check.json and gpu_check.md, so that a run that is
cut off keeps what it has; the same command goes on with what is missing or has failed. Each part has a process of its
own; one that fails, or has no time left, does not stop the others, but the script then ends with status 1 and names it.
`--tiny` does the same in small, on a CPU too, where a tape stands in for the recordings. Nothing needs the network.

    step      the captured fine-tuning step beside the eager one, over 50 steps
    training  the same for the evaluation's step, with a short batch in every epoch
    memory    peak memory at batch 8, and of the setting for a T4
    bench     the bench's pieces, few turns each
    encode    JPEGs to latents, loader and both flips included
    run       encode, 12,000 steps, 1,000 images: how long
    cells     the cells for a GPU of every notebook, after its other cells
    woof      random photos under the paper's protocol, beside the published accuracies
"""
import argparse
import gc
import json
import os
import subprocess
import sys
import tarfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
from PIL import Image

from minimax_diffusion.benchmarks import load_dataset, published_rows
from minimax_diffusion.compare.bench import (
    PIECES, RUN, clock, comparison_table, matmul_ceiling, random_backbone, random_latents, run_bench, run_table,
    stage_table, step_memory, vae_flops, workload,
)
from minimax_diffusion.compare.reference import make_trainer
from minimax_diffusion.console import markdown_table
from minimax_diffusion.device import PRECISIONS, default_precision, record_tape, resolve_device
from minimax_diffusion.evaluate import evaluate
from minimax_diffusion.finetune import finetune
from minimax_diffusion.images import ImageDataset, image_folder
from minimax_diffusion.latents import LatentCache, encode_latents
from minimax_diffusion.protocols import get_protocol
from minimax_diffusion.sample import sample
from minimax_diffusion.stage import environment, write_json
from minimax_diffusion.training import Training, fresh_network

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = ('resnet_ap10', 'resnet18', 'convnet6')
T4 = dict(mixed_precision='fp16', accumulation_steps=8, gradient_checkpointing=True)
LIMITS = {'batch 8': 8, 'batch 8, captured': 8, 'for a T4': 15}  # GB


class Options(argparse.Namespace):
    "What the command line says; a key for what is made once."
    __hash__ = object.__hash__


@dataclass(frozen=True)
class Part:
    "Some rows of one table."
    about: str  # its title
    head: list  # its columns; the first is the name of a row
    rows: Callable  # options -> {name of a row: function that measures the rest of it}


# What the parts share

@lru_cache
def load(options):
    "Sizes of the model."
    return workload('digits' if options.tiny else options.size, options.device)


@lru_cache
def backbone(options):
    "Random weights: speed and memory do not depend on what they are."
    return random_backbone(load(options), options.device)


@lru_cache
def latents(options):
    folder = options.work/'random-latents'
    return LatentCache(folder) if folder.exists() else random_latents(load(options), folder)


def half(options):
    "The half precision of the card; a CPU tries the code out in bfloat16."
    return default_precision(options.device) if options.device.type == 'cuda' else 'bf16'


def prepared(captured, optimizer, options):
    "Both sides take the optimizer of a recording; on a CPU a tape records."
    for group in optimizer.param_groups: group['fused'] = True
    if captured is not None and options.device.type == 'cpu': captured.record = record_tape


def peak(options):
    "The most tensors there were, in GB; nothing on a CPU."
    return torch.cuda.max_memory_allocated(options.device) / 1e9 if options.device.type == 'cuda' else None


def fresh(options):
    "Empty the card, and count its peak anew."
    gc.collect()
    if options.device.type != 'cuda': return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(options.device)


def apart(ours, theirs):
    "The largest relative distance between two lists of tensors."
    pairs = zip(ours, theirs)
    return max(((a - b).norm() / b.norm().clamp_min(1e-12)).item() for a, b in pairs)


def verdict(distance, itself):
    "How near a recording comes to the eager step, of which two runs may differ as well."
    if distance == 0: return 'to the bit'
    if distance <= 1e-5: return 'within 1e-5'
    if distance <= 3 * itself: return 'as near as the eager step to itself'
    return 'FAILED: apart'


# step: fine-tuning

def steps_of(options, precision, capture):
    "Fifty steps, or eight in small: seconds of a step, and what they led to."
    fresh(options)
    trainer = make_trainer(latents(options), backbone(options), mixed_precision=precision, capture=capture)
    prepared(trainer.captured, trainer.optimizer, options)
    before, timed = (5, 3) if options.tiny else (5, 45)
    for _ in range(before): trainer.step()
    start = clock(options.device)
    for _ in range(timed): trainer.step()
    seconds = (clock(options.device) - start) / timed
    return seconds, [torch.stack(trainer.history), *trainer.ema], peak(options)


def compare_steps(options, precision):
    (slow, eager, _), (_, again, _) = (steps_of(options, precision, False) for _ in range(2))
    fast, replayed, gigabytes = steps_of(options, precision, True)
    distance, itself = apart(replayed, eager), apart(again, eager)
    return [1000 * slow, 1000 * fast, gigabytes, distance, itself, verdict(distance, itself)]


def step_rows(options):
    precisions = dict.fromkeys(['no', half(options)])
    return {name: partial(compare_steps, options, name) for name in precisions if name != 'fp16'}


# training: the evaluation

@lru_cache
def pictures(n, size):
    "Smooth random pictures of ten classes."
    coarse = 255 * torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size, mode='bicubic')
    return smooth.clamp(0, 255).byte(), torch.arange(n) % 10


def epochs_of(options, network, protocol, capture):
    "Epochs of a long and a short batch: seconds of an image, and what they led to."
    fresh(options)
    images, targets = pictures(20 if options.tiny else 100, protocol.image_size)
    model = fresh_network(network, 10, protocol, seed=0)
    training = Training(model, images, targets, protocol, 25, device=options.device, capture=capture)
    prepared(training.captured, training.optimizer, options)
    before, timed = (4, 2) if options.tiny else (5, 20)
    losses = [training.epoch() for _ in range(before)]
    start = clock(options.device)
    losses += [training.epoch() for _ in range(timed)]
    seconds = (clock(options.device) - start) / timed / len(images)
    return seconds, [torch.stack(losses), *training.network.state_dict().values()], peak(options)


def compare_epochs(options, network):
    settings = dict(batch_size=12, image_size=16) if options.tiny else {}
    protocol = get_protocol('digits' if options.tiny else 'hard', **settings)
    (slow, eager, _), (_, again, _) = (epochs_of(options, network, protocol, False) for _ in range(2))
    fast, replayed, gigabytes = epochs_of(options, network, protocol, True)
    distance, itself = apart(replayed, eager), apart(again, eager)
    return [1000 * slow, 1000 * fast, gigabytes, distance, itself, verdict(distance, itself)]


def training_rows(options):
    networks = ('convnet3',) if options.tiny else NETWORKS
    return {name: partial(compare_epochs, options, name) for name in networks}


# memory

def counted(options, settings):
    "Bytes that a step holds, in bfloat16 as in float16."
    settings = settings | dict(mixed_precision='bf16')
    checkpointing = settings.pop('gradient_checkpointing', False)
    return step_memory(load(options), checkpointing, **settings)[1]


def held(options, name, settings):
    "The most that steps of fine-tuning hold, and how long one takes; on a CPU counted."
    if options.device.type == 'cpu': return [counted(options, settings) / 1e9, None, LIMITS[name], 'counted']
    fresh(options)
    trainer = make_trainer(latents(options), backbone(options), **settings)
    for _ in range(5): trainer.step()
    start = clock(options.device)
    trainer.step()
    seconds, most = clock(options.device) - start, peak(options)
    return [most, 1000 * seconds, LIMITS[name], 'fits' if most <= LIMITS[name] else 'FAILED: too much']


def memory_rows(options):
    settings = {'batch 8': dict(mixed_precision=half(options)), 'for a T4': dict(T4)}
    if half(options) == 'bf16': settings['batch 8, captured'] = dict(mixed_precision='bf16', capture=True)
    return {name: partial(held, options, name, chosen) for name, chosen in settings.items()}


# bench

def bench_piece(options, name):
    size = 'digits' if options.tiny else options.size
    repeats = 1 if options.tiny else None
    record = run_bench(size, options.out/'bench', options.reference, options.device, [name], True, repeats, False)
    took = sum(seconds for piece, seconds in record['took'].items() if piece.partition(',')[0] == name)
    wrong = [text for piece, text in record['failed'].items() if piece.partition(',')[0] == name]
    return [took, f'FAILED: {"; ".join(wrong)}' if wrong else 'measured']


def bench_rows(options):
    names = dict.fromkeys(['ceiling', *(name.partition(',')[0] for name in PIECES)])
    if options.tiny: names = ['encode']
    return {name: partial(bench_piece, options, name) for name in names}


def bench_tables(options):
    "The bench's own tables, as far as it has come."
    file = options.out/'bench'/'bench.json'
    if not file.exists(): return ''
    record = json.loads(file.read_text(encoding='utf-8'))
    tables = [stage_table(record), comparison_table(record)]
    if not options.tiny: tables.append(run_table(record))
    return '\n\n'.join(['', *tables])


# encode

@lru_cache
def photos(options):
    "The photos of ImageWoof; without them, random pictures as JPEGs."
    folder = woof_folder(options)
    if folder is not None: return labelled(image_folder(folder/'train', load(options).image_size))
    folder, n = options.work/'photos', 20 if options.tiny else 1000
    for i, (image, c) in enumerate(zip(*pictures(n, load(options).image_size))):
        file = folder/f'{c:02d}'/f'{i:04d}.jpg'
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists(): Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, quality=85)
    return labelled(image_folder(folder, load(options).image_size))


def labelled(dataset):
    dataset.label_ids = list(range(len(dataset.classes)))
    return dataset


def in_memory(options):
    "The same pictures without files to read."
    files = photos(options)
    with_pixels = torch.stack([files[i][0] for i in range(len(files))])
    return labelled(ImageDataset(with_pixels, files.targets, files.classes, files.image_size))


@lru_cache
def ceiling(options):
    return matmul_ceiling(options.device, PRECISIONS[default_precision(options.device)])


def encoded(options, images, batch_size, name):
    "Photos a second, both flips, and the share of the largest matrix product."
    out = options.work/f'encoded-{name.replace(" ", "-").replace(",", "")}-{time.time_ns()}'
    workers = min(16, os.cpu_count()) if not options.tiny else 0
    start = clock(options.device)
    encode_latents(images(options), backbone(options), out, batch_size, workers=workers, progress=False)
    speed = len(images(options)) / (clock(options.device) - start)
    flops = None if load(options).tiny_vae else 2 * vae_flops(load(options).image_size, 1)[0]
    return [speed, 2 * speed, None if flops is None else f'{speed * flops / ceiling(options):.0%}']


def encode_rows(options):
    sizes = (8,) if options.tiny else (32, 64, 128)
    rows = {f'JPEGs, batches of {n}': partial(encoded, options, photos, n) for n in sizes}
    rows['in memory'] = partial(encoded, options, in_memory, sizes[-1])
    return {name: partial(measure, name) for name, measure in rows.items()}


# run: all three stages

def agreed(options, part, name):
    "Whether a recording has been seen to agree with the eager step."
    rows = found(options)['parts'].get(part, {}).get('rows', [])
    return any(row[0] == name and 'FAILED' not in str(row[-1]) for row in rows)


def timed(function, *args, **settings):
    start = time.perf_counter()
    result = function(*args, **settings)
    return result, time.perf_counter() - start


def run_encode(options):
    images = photos(options)
    _, seconds = timed(encode_latents, images, backbone(options), options.work/'latents', 64, progress=False,
                       workers=0 if options.tiny else min(16, os.cpu_count()))
    whole = seconds * RUN['encode'] / (2 * len(images))
    return [whole, f'{len(images):,} photos and their mirror images in {seconds:.1f} s; 12,454 at that speed']


def run_finetune(options):
    "All steps; where a run was cut off, those that were left."
    seen = []
    def count(trainer): seen.append((trainer.at, time.perf_counter()))
    capture = options.device.type == 'cuda' and agreed(options, 'step', half(options))
    steps = 8 if options.tiny else options.steps
    finetune(options.work/'latents', backbone(options), options.work/'adapter', max_steps=steps, lr=1e-5,
             ema_decay='auto', capture=capture, callback=count, checkpoint_every=2000, progress=False)
    if not seen: return [None, f'FAILED: was done before; delete {options.work}']
    first, start = seen[0]
    each = (time.perf_counter() - start) / max(1, steps - first)
    way = 'captured' if capture else 'eager'
    return [12_000 * each, f'{steps - first:,} steps, {way}, {1000 * each:.1f} ms each, writing included']


def run_sample(options):
    ipc = 1 if options.tiny else 100
    settings = dict(num_inference_steps=2) if options.tiny else {}
    folder, seconds = timed(sample, backbone(options), options.work/'adapter', options.work/'set', ipc,
                            progress=False, **settings)
    images = len(list(folder.glob('*/*.png')))
    return [seconds * RUN['sample'] / images, f'{images:,} images in {seconds:.1f} s, reading and writing included']


def run_together(options):
    "The sum, beside the five minutes that were asked for."
    rows = found(options)['parts']['run']['rows']
    seconds = [row[1] for row in rows if row[0] in ('encode', 'fine-tune', 'sample')]
    if len(seconds) < 3 or None in seconds: return [None, 'FAILED: a stage is missing']
    return [sum(seconds), f'{sum(seconds) / 60:.1f} minutes; asked for on an H200 or H100: 5']


def run_rows(options):
    rows = {'encode': run_encode, 'fine-tune': run_finetune, 'sample': run_sample, 'together': run_together}
    return {name: partial(measure, options) for name, measure in rows.items()}


# cells

def test_notebook(options, path):
    if options.device.type != 'cuda': return ['not run: needs a CUDA GPU', 0.0]
    command = ['nbdev_test', '--path', str(path), '--flags', 'cuda', '--n_workers', '0']
    done, seconds = timed(subprocess.run, command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode: print(done.stdout[-3000:], done.stderr[-3000:])
    return ['FAILED' if done.returncode else 'passed', seconds]


def cell_rows(options):
    "The bench's own page is left to the part of that name."
    notebooks = sorted(path for path in (ROOT/'nbs').rglob('*.ipynb') if path.name != '51_bench.ipynb')
    marked = [path for path in notebooks if '#| cuda' in path.read_text(encoding='utf-8')]
    return {path.stem: partial(test_notebook, options, path) for path in marked}


# woof

@lru_cache
def woof_folder(options):
    "Where ImageWoof's photos are, unpacked."
    if options.tiny or options.imagewoof is None: return None
    if options.imagewoof.is_dir(): return options.imagewoof
    folder = options.work/'imagewoof'
    if not folder.exists():
        with tarfile.open(options.imagewoof) as archive: archive.extractall(folder, filter='data')
    return next(path.parent for path in folder.rglob('train') if path.is_dir())


def published(ipc, network):
    "The paper's accuracy of random photos, %."
    for row in published_rows('imagewoof', ipc):
        if (row['method'], row['network']) == ('Random', network): return row['accuracy']


def judged(options, ipc, network):
    "Three choices of photos, a network on each, and how far that is from the published mean."
    name, root = ('digits', None) if options.tiny else ('imagewoof', woof_folder(options))
    if not options.tiny and root is None: return [*[None] * 6, 'not run: needs --imagewoof']
    train, test = (load_dataset(name, root, split) for split in ('train', 'test'))
    settings = dict(epochs=2, protocol='digits') if options.tiny else {}
    capture = options.device.type == 'cuda' and agreed(options, 'training', network)
    report, seconds = timed(
        evaluate, {'Random': train}, test, options.work/f'woof-{ipc}-{network}', (network,), ipc=ipc, sets=3,
        repeats=1, device=str(options.device), capture=capture, progress=False, **settings)
    [row] = report.record['rows']
    ours = [row['best_mean'], row['best_std'], row['last_mean']]
    known = published(ipc, network)
    if options.tiny or known is None: return [*ours, None, None, seconds, 'nothing published']
    distance = (row['best_mean'] - known) / max(row['best_std'], 0.1)
    return [*ours, known, distance, seconds, 'within two deviations' if abs(distance) <= 2 else 'apart']


def woof_rows(options):
    sizes, networks = ((1,), ('convnet3',)) if options.tiny else ((10, 20, 50), NETWORKS)
    return {f'IPC {ipc}, {network}': partial(judged, options, ipc, network) for ipc in sizes for network in networks}


APART = ['peak, GB', 'apart', 'eager from itself', 'verdict']
JUDGED = ['best, %', '±', 'last, %', 'published', 'deviations away', 'seconds', 'verdict']
PARTS = {
    'step': Part('The captured fine-tuning step beside the eager one, over 50 steps',
                 ['precision', 'eager, ms', 'captured, ms', *APART], step_rows),
    'training': Part("The evaluation's captured step beside the eager one, over 25 epochs of two batches",
                     ['network', 'eager, ms an image', 'captured, ms an image', *APART], training_rows),
    'memory': Part('The most that fine-tuning holds: batch 8, and settings for a card of 16 GB',
                   ['setting', 'peak, GB', 'ms a step', 'limit, GB', 'verdict'], memory_rows),
    'bench': Part("The bench's pieces, few turns each", ['pieces', 'seconds', 'result'], bench_rows),
    'encode': Part('JPEGs to latents, with their mirror images',
                   ['from', 'photos a second', 'views a second', 'of the matrix product'], encode_rows),
    'run': Part('A run for ImageWoof: encode, 12,000 steps, 1,000 images', ['stage', 'seconds', 'how'], run_rows),
    'cells': Part('The cells for a GPU of every notebook, after its other cells',
                  ['notebook', 'result', 'seconds'], cell_rows),
    'woof': Part('Random photos of ImageWoof, three choices, beside the published accuracy',
                 ['set and network', *JUDGED], woof_rows),
}


# The script

def found(options):
    "What has been written down so far."
    file = options.out/'gpu_check.json'
    return json.loads(file.read_text(encoding='utf-8')) if file.exists() else {'parts': {}}


def keep(options, name, row, seconds):
    "Write a row down, in place of one that failed before."
    record = found(options)
    part = record['parts'].setdefault(name, {'rows': [], 'seconds': 0.0})
    part['rows'] = [other for other in part['rows'] if other[0] != row[0]] + [row]
    part['seconds'] += seconds
    part['about'] = environment(options.device) | {'commit': commit()}
    write_json(options.out/'gpu_check.json', record)
    (options.out/'gpu_check.md').write_text(page(options), encoding='utf-8')


def commit():
    done = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or None


def failures(options, name):
    "Rows of a part that failed."
    rows = found(options)['parts'].get(name, {}).get('rows', [])
    return [row[0] for row in rows if any('FAILED' in str(cell) for cell in row[1:])]


def todo(options, name):
    "Rows of a part that are missing, were not run, or failed."
    rows = found(options)['parts'].get(name, {}).get('rows', [])
    done = {row[0] for row in rows if not any('not run' in str(cell) for cell in row[1:])}
    done -= set(failures(options, name))
    return {row: measure for row, measure in PARTS[name].rows(options).items() if row not in done}


def page(options):
    "A table for each part."
    sections = []
    for name, part in found(options)['parts'].items():
        about = part['about']
        table = markdown_table(PARTS[name].head, part['rows'])
        if name == 'bench': table += bench_tables(options)
        machine = f'{about["hardware"]}, torch {about["torch"]}, commit {about["commit"]}'
        sections.append(f'## {PARTS[name].about}\n\n{table}\n\n{part["seconds"]:.0f} s; {machine}')
    return '\n\n'.join(sections) + '\n'


def run_part(options, name):
    "What is missing of a part, in this process."
    width = len(PARTS[name].head) - 2
    for row, measure in todo(options, name).items():
        start = time.perf_counter()
        try: values = measure()
        except Exception as error:
            traceback.print_exc()
            values = [None] * width + [f'FAILED: {type(error).__name__}: {str(error)[:200]}']
        keep(options, name, [row, *values], time.perf_counter() - start)
        print(f'{name}: {row}', *values, sep='  ', flush=True)


def run_apart(name, left):
    "A part in a process of its own: what went wrong, if anything did."
    command = [sys.executable, *sys.argv, '--only-part', name]
    try: done = subprocess.run(command, timeout=left)
    except subprocess.TimeoutExpired: return f'cut off after {left:.0f} s'
    return f'ended with status {done.returncode}' if done.returncode else None


def run_all(options):
    "Every part that is missing, while time is left; nonzero where one failed or is not whole."
    end = time.monotonic() + 60 * options.minutes
    wrong = {}
    for name in options.parts:
        left = end - time.monotonic()
        if not todo(options, name): pass
        elif options.tiny: run_part(options, name)
        elif left < 10: wrong[name] = 'no time left'
        else: wrong[name] = run_apart(name, left)
        if failed := failures(options, name): wrong[name] = f'failed: {", ".join(failed)}'
    print('\n' + page(options))
    said = [f'{name}: {what}' for name, what in wrong.items() if what]
    sys.exit('\n'.join(said) or 0)


def names(text):
    wrong = set(text.split(',')) - set(PARTS)
    if wrong: raise argparse.ArgumentTypeError(f'no such part: {", ".join(wrong)}; choose from {", ".join(PARTS)}')
    return text.split(',')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='folder for everything that is measured')
    parser.add_argument('--work', type=Path, help='folder for what is made on the way; default: FOLDER.work')
    parser.add_argument('--parts', type=names, default=list(PARTS), help='which, with commas between; default: all')
    parser.add_argument('--size', default='DiT-XL/2', help='of the transformer')
    parser.add_argument('--steps', type=int, default=12_000, help='of fine-tuning, in the part run')
    parser.add_argument('--reference', help='clone of vimar-gu/MinimaxDiffusion, timed beside (runs its code)')
    parser.add_argument('--imagewoof', type=Path, help="archive or folder with ImageWoof's photos")
    parser.add_argument('--minutes', type=float, default=10, help='time for all parts')
    parser.add_argument('--device', default=None, help='cuda or cpu')
    parser.add_argument('--tiny', action='store_true', help='in small: whether the script itself runs')
    parser.add_argument('--only-part', choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args(namespace=Options())
    options.device = resolve_device(options.device)
    options.work = options.work or options.out.with_name(f'{options.out.name}.work')
    for folder in (options.out, options.work): folder.mkdir(parents=True, exist_ok=True)
    run_part(options, options.only_part) if options.only_part else run_all(options)


if __name__ == '__main__': main()
