"""Ten minutes on a GPU, for whoever has one: what the tests cannot see without it, and how fast it is.

    python tools/gpu_check.py --out FOLDER [--reference CLONE] [--imagewoof FOLDER] [--minutes 10]

Each part runs in a process of its own and is written down as soon as it ends, so that a run that is cut off
keeps what it has; run again, it goes on with what is missing. `--tiny` does the same in small, on a CPU too.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from minimax_diffusion.benchmarks import load_dataset, published_rows
from minimax_diffusion.compare.bench import (
    clock, random_backbone, random_latents, run_bench, run_table, stage_table, workload,
)
from minimax_diffusion.compare.reference import make_trainer
from minimax_diffusion.console import markdown_table
from minimax_diffusion.device import resolve_device
from minimax_diffusion.evaluate import evaluate
from minimax_diffusion.stage import environment, write_json

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = ('resnet_ap10', 'resnet18', 'convnet6')
T4 = dict(mixed_precision='fp16', accumulation_steps=8, gradient_checkpointing=True)


def cells(options):
    "The cells for a GPU of every notebook, run in order after its other cells."
    if options.device.type != 'cuda': return dict(text='not run: needs a CUDA GPU')
    notebooks = sorted(path for path in (ROOT/'nbs').rglob('*.ipynb') if '#| cuda' in path.read_text(encoding='utf-8'))
    if options.tiny: notebooks = notebooks[:1]
    rows, failed = [], []
    for path in notebooks:
        start = time.perf_counter()
        command = ['nbdev_test', '--path', str(path), '--flags', 'cuda', '--n_workers', '0']
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            failed.append(path.name)
            print(done.stdout[-3000:], done.stderr[-3000:])
        rows.append([path.name, 'passed' if done.returncode == 0 else 'FAILED', time.perf_counter() - start])
    return dict(head=['notebook', 'result', 'seconds'], rows=rows, failed=failed)


def train(work, device, steps, **settings):
    "Steps of fine-tuning: the trainer, and seconds of a step."
    with tempfile.TemporaryDirectory() as folder:
        latents = random_latents(work, Path(folder)/'latents')
        backbone = random_backbone(work, device, vae=False)
        trainer = make_trainer(latents, backbone, batch_size=work.batch_size, **settings)
        for _ in range(5): trainer.step()
        start = clock(device)
        for _ in range(steps): trainer.step()
        seconds = clock(device) - start
    return trainer, seconds / steps


def apart(ours, theirs):
    "The largest relative distance between two lists of tensors."
    pairs = zip(ours, theirs)
    return max(((a - b).norm() / b.norm().clamp_min(1e-12)).item() for a, b in pairs)


def captured(options):
    "The captured step beside the eager one, over 50 steps."
    work = workload('digits' if options.tiny else options.size, options.device)
    steps = 5 if options.tiny else 45
    rows = []
    for precision in ('no',) if options.tiny else ('no', 'bf16'):
        found = {}
        for capture in (False, True):
            found[capture] = train(work, options.device, steps, mixed_precision=precision, capture=capture)
        (eager, slow), (replayed, fast) = found[False], found[True]
        weights = apart(replayed.ema, eager.ema)
        losses = apart([torch.stack(replayed.history)], [torch.stack(eager.history)])
        rows.append([precision, 1000 * slow, 1000 * fast, losses, weights])
    return dict(head=['precision', 'eager, ms', 'captured, ms', 'losses apart', 'averages apart'], rows=rows, digits=6)


def memory(options):
    "The most that fine-tuning holds on the card: batch 8, and settings for a card of 16 GB."
    work = workload('digits' if options.tiny else options.size, options.device)
    cuda = options.device.type == 'cuda'
    rows = []
    for name, settings in {'batch 8, bf16': dict(mixed_precision='bf16'), 'for a T4': T4}.items():
        if not cuda: settings = settings | dict(mixed_precision='no')
        if cuda: torch.cuda.reset_peak_memory_stats(options.device)
        _, seconds = train(work, options.device, 3, **settings)
        peak = torch.cuda.max_memory_allocated(options.device) / 1e9 if cuda else None
        rows.append([name, peak, 1000 * seconds])
    return dict(head=['setting', 'peak, GB', 'ms a step'], rows=rows)


def bench(options):
    "The bench's pieces, few turns each."
    size, only = ('digits', ['sample']) if options.tiny else (options.size, None)
    record = run_bench(size, options.out/'bench', options.reference, options.device, only, quick=True)
    tables = [stage_table(record)] if options.tiny else [stage_table(record), run_table(record)]
    return dict(text='\n\n'.join(tables))


def woof(options):
    "Random photos under the paper's protocol, beside the published accuracy."
    if options.tiny or options.imagewoof is None: return dict(text='not run: needs --imagewoof')
    train_set, test = (load_dataset('imagewoof', options.imagewoof, split) for split in ('train', 'val'))
    rows = []
    for ipc in (10, 20, 50):
        published = [row for row in published_rows('imagewoof', ipc) if row['method'] == 'Random']
        known = {row['network']: row['accuracy'] for row in published}
        for network in NETWORKS:
            report = evaluate({'Random': train_set}, test, options.out/f'woof-{ipc}-{network}', (network,), ipc=ipc,
                              device=options.device)
            row = report.record['rows'][0]
            rows.append([ipc, network, row['best_mean'], row['best_std'], row['last_mean'], known.get(network)])
            print(markdown_table(['IPC', 'network', 'best', '±', 'last', 'published'], rows))
    return dict(head=['IPC', 'network', 'best', '±', 'last', 'published'], rows=rows)


PARTS = dict(captured=captured, memory=memory, cells=cells, bench=bench, woof=woof)


def page(out):
    "One table for each part that has been measured."
    sections = []
    for name, part in PARTS.items():
        file = out/f'{name}.json'
        if not file.exists(): continue
        found = json.loads(file.read_text(encoding='utf-8'))
        table = found.get('text') or markdown_table(found['head'], found['rows'], found.get('digits', 3))
        sections.append(f'## {part.__doc__}\n\n{table}\n\n{found["seconds"]:.0f} s, {found["device"]}')
    return '\n\n'.join(sections) + '\n'


def run_part(options):
    "One part, in this process."
    start = time.perf_counter()
    found = PARTS[options.part](options)
    about = environment(options.device)
    device = torch.cuda.get_device_name() if options.device.type == 'cuda' else 'CPU'
    write_json(options.out/f'{options.part}.json', found | dict(
        seconds=time.perf_counter() - start, device=device, environment=about))
    if found.get('failed'): sys.exit(f'{options.part}: {", ".join(found["failed"])} failed')


def run_all(options):
    "Every part that is missing, while time is left; nonzero where one failed."
    end = time.monotonic() + 60 * options.minutes
    failed = []
    for name in PARTS:
        if (options.out/f'{name}.json').exists(): continue
        left = end - time.monotonic()
        if left < 10: failed.append(f'{name}: no time left'); continue
        print(f'--- {name}', flush=True)
        try: done = subprocess.run([sys.executable, *sys.argv, '--part', name], timeout=left)
        except subprocess.TimeoutExpired: failed.append(f'{name}: cut off after {left:.0f} s'); continue
        if done.returncode: failed.append(f'{name}: failed')
    text = page(options.out)
    (options.out/'gpu_check.md').write_text(text, encoding='utf-8')
    print(text)
    sys.exit('\n'.join(failed) or 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='folder for everything that is measured')
    parser.add_argument('--size', default='DiT-XL/2', help='of the transformer')
    parser.add_argument('--reference', help='clone of vimar-gu/MinimaxDiffusion, timed beside (runs its code)')
    parser.add_argument('--imagewoof', help='folder with the photos of ImageWoof')
    parser.add_argument('--minutes', type=float, default=10, help='time for all parts')
    parser.add_argument('--device', default=None, help='cuda or cpu')
    parser.add_argument('--tiny', action='store_true', help='in small: whether the script itself runs')
    parser.add_argument('--part', choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.device = resolve_device(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    run_part(options) if options.part else run_all(options)


if __name__ == '__main__': main()
