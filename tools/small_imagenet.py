"""ImageNet-1K in small: 1,000 classes, 50 phases, two processes, killed once in each stage.

    python tools/small_imagenet.py --out runs/small            (about 8 minutes on two CPU cores)
    python tools/small_imagenet.py --out runs/small --whole    the same without a kill, to be compared with

The images are made up, 32 px, 40 a class to learn from. The VAE is the embedded one, the transformer has its size and
random weights, the teacher is a random network whose last layer was solved for. So nothing here says how good images
are: it says that the path is there, what it costs by part, and that a kill changes no byte.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from minimax_diffusion.backbone import Backbone, load_backbone
from minimax_diffusion.images import image_folder
from minimax_diffusion.pretrain import get_recipe, small_transformer
from minimax_diffusion.protocols import get_protocol
from minimax_diffusion.stage import Stage
from minimax_diffusion.training import accuracy, fresh_network, load_pixels, normalize

CLASSES, TRAIN, TEST = 1000, 40, 4
TEACHER = dict(networks=('convnet3',), widths={'convnet3': 64}, image_size=32)


def make_images(folder):
    "A pattern of 16 colored squares for each class, shifted and noisy in each image."
    rng = np.random.default_rng(0)
    patterns = rng.integers(30, 226, (CLASSES, 4, 4, 3))
    for split, count in (('train', TRAIN), ('test', TEST)):
        for c, pattern in enumerate(patterns):
            place = folder/split/f'n{c:08d}'
            place.mkdir(parents=True)
            large = pattern.repeat(8, 0).repeat(8, 1)
            for i in range(count):
                moved = np.roll(large, rng.integers(-2, 3, 2), (0, 1)) + rng.normal(0, 12, large.shape)
                Image.fromarray(moved.clip(0, 255).astype(np.uint8)).save(place/f'{i:04d}.png')


def make_backbone(folder):
    "The embedded VAE and a transformer of the digits' size, random, that knows the classes by name."
    digits = load_backbone('digits', 'cpu')
    torch.manual_seed(0)
    transformer = small_transformer(get_recipe('digits'))
    for parameter in transformer.parameters():
        if not parameter.any(): torch.nn.init.normal_(parameter, std=0.02)  # else it would answer nothing at all
    names = {c: f'n{c:08d}' for c in range(CLASSES)}
    Backbone(transformer.eval(), digits.vae, digits.scheduler, names).save(folder)


def make_teacher(images, folder):
    "Random features and a head solved by least squares, in the form that minimax_teacher writes."
    protocol = get_protocol('soft', **TEACHER)
    network = fresh_network('convnet3', CLASSES, protocol, 0).eval()
    few = image_folder(images/'train', 32)
    pixels, targets = load_pixels(few, 32)
    with torch.no_grad():
        parts = [network.embed(normalize(part, protocol)) for part in pixels[::2].split(500)]
        features = torch.nn.functional.pad(torch.cat(parts), (0, 1), value=1.0).double()
        wanted = torch.nn.functional.one_hot(targets[::2], CLASSES).double()
        square = features.T @ features + 10.0 * torch.eye(features.shape[1])
        solved = 20 * torch.linalg.solve(square, features.T @ wanted).float()
        network.head.weight.copy_(solved[:-1].T)
        network.head.bias.copy_(solved[-1])
    right = accuracy(network, *load_pixels(image_folder(images/'test', 32), 32), protocol)
    config = dict(network='convnet3', settings=asdict(protocol), seed=0, classes=few.classes)
    stage = Stage(folder, 'teacher', config)
    save_file({name: x.contiguous() for name, x in network.state_dict().items()}, stage.partial/'model.safetensors')
    stage.finish('cpu', accuracy=right)
    print(f'teacher: {right:.1f} % of the test images are right', flush=True)


def prepare(room):
    "Images, backbone and teacher, once."
    for name, make in [('images', make_images), ('backbone', make_backbone)]:
        if not (room/name).exists():
            make(room/f'{name}.new')
            (room/f'{name}.new').rename(room/name)
    if not (room/'teacher').exists(): make_teacher(room/'images', room/'teacher')


def command(room, out):
    "The run, in two processes."
    launch = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    options = dict(
        dataset='folder', root=room/'images', out=out, backbone=room/'backbone', teacher=room/'teacher', ipc=10,
        protocol='soft', networks='convnet1', evaluation_epochs=1, evaluation_size=32, methods='random,k_means,minimax',
        repeats=1, sets=1, max_steps=4, num_inference_steps=4, seed=3, device='cpu')
    words = [word for name, value in options.items() for word in (f'--{name}', str(value))]
    return [*launch, '-m', 'minimax_diffusion.distill', *words, '--no-mirror', '--no-progress']


KILLS = {  # stage -> what is there in the middle of it
    'encode': 'latents.partial/latents-00001.safetensors',
    'choose': 'choices/k_means-0.partial/blocks/09.json',
    'fine-tune': 'adapter.partial/phase-11/config.json',
    'sample': 'distilled.partial/n00000500/00004.png',
    'measure': 'measures.partial/blocks/20.json',
    'evaluate': 'evaluation-10.partial/runs/0.json',
    'report': 'report.png',
}


def ranks(launcher):
    "Process numbers of the ranks that a launcher started, in order."
    found = {}
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            if int((entry/'stat').read_text().rsplit(')', 1)[1].split()[1]) != launcher: continue
            told = dict(item.split('=', 1) for item in (entry/'environ').read_text().split('\0') if '=' in item)
        except (OSError, ValueError): continue
        if 'RANK' in told: found[int(told['RANK'])] = int(entry.name)
    return [found[rank] for rank in sorted(found)]


def run(room, out, log, until=None):
    "Start the run; kill its second process when a file is there. Seconds, exit status, and what the ranks said last."
    start = time.monotonic()
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore'}
    process = subprocess.Popen(command(room, out), env=env, stdout=log, stderr=log)
    while process.poll() is None:
        if until and (out/until).exists():
            found = ranks(process.pid)
            if len(found) == 2: os.kill(found[1], signal.SIGKILL)
            until = None
        time.sleep(0.02)
    return time.monotonic() - start, process.returncode


def main():
    "Prepare, run, say what it cost; 1 where a kill was not noticed or the run did not end well."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('runs/small-imagenet'), help='folder to write')
    parser.add_argument('--whole', action='store_true', help='without a kill')
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    prepare(given.out)
    print(f'prepared in {time.monotonic() - start:.0f} s', flush=True)
    out = given.out/('whole' if given.whole else 'killed')
    start = time.monotonic()
    with open(f'{out}.log', 'a') as log:
        for stage, file in ({} if given.whole else KILLS).items():
            seconds, status = run(given.out, out, log, file)
            print(f'killed in {stage}: ended with status {status} after {seconds:.0f} s', flush=True)
            if status == 0: print(f'no kill in {stage}: it was over before')
        seconds, status = run(given.out, out, log)
    print(f'the end: status {status} after {seconds:.0f} s; all runs together {time.monotonic() - start:.0f} s')
    if status: return 1
    report = json.loads((out/'report.json').read_text())
    print('seconds by stage, first process:', report['seconds'])
    for name in ('latents', 'choices/k_means-0', 'adapter', 'distilled', 'measures'):
        print(f'{name:18} {product(out/name)}')
    print('figures', [(row['method'], row['last_mean']) for row in report['rows']])
    return 0


def product(folder):
    "The digest of a product, as its record has it."
    return json.loads((folder/'config.json').read_text())['digest'][:16]


if __name__ == '__main__': sys.exit(main())
