"""Does memory grow with the work? python tools/reliability/memory.py --images 100000 --steps 10000

Encodes many tiny images and fine-tunes for many steps, and records the memory of the process every second (the
resident set without mapped files, from /proc). Writes memory.json and memory.png. One thread; about an hour.
"""
import argparse
import json
import os
import sys
import threading
import time
from pathlib import Path

from common import prepare, scratch
import numpy as np
import torch
from PIL import Image

from minimax_diffusion.finetune import finetune
from minimax_diffusion.images import ImageDataset
from minimax_diffusion.latents import encode_latents
import stages


def own_memory():
    "Megabytes of this process that belong to no file."
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('RssAnon')) / 1024


class Recorder:
    "Seconds, share of the work, and megabytes, as long as a block runs."

    def __init__(self, done):
        self.done, self.points, self.stop = done, [], threading.Event()

    def __enter__(self):
        self.start = time.monotonic()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self):
        while not self.stop.wait(0.5):
            self.points.append((round(time.monotonic() - self.start, 1), self.done(), round(own_memory(), 1)))

    def __exit__(self, *error):
        self.stop.set()
        self.thread.join()


def many_images(count, folder):
    "A data set of many files, a thousand of which differ."
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(7).integers(0, 255, (1000, 8, 8, 3), dtype=np.uint8)
    paths = []
    for i, image in enumerate(pixels):
        paths.append(folder/f'{i}.png')
        Image.fromarray(image).save(paths[-1])
    return ImageDataset([paths[i % 1000] for i in range(count)], [i % 10 for i in range(count)],
                        [str(c) for c in range(10)], stages.SIDE, 'many', label_ids=list(range(10)))


def encoding(inputs, root, count):
    "Memory while images are encoded."
    images = many_images(count, root/'images')
    out = root/'latents'
    def done():
        shards = len(list(root.glob('latents*/latents-*.safetensors')))
        return min(count, shards * 4096)
    with Recorder(done) as recorder:
        encode_latents(images, stages.backbone(inputs), out, batch_size=64, workers=0, progress=False)
    return recorder.points


def fine_tuning(inputs, root, steps):
    "Memory while an adapter is trained, with a checkpoint every hundred steps."
    at = [0]
    def callback(trainer): at[0] = trainer.at
    with Recorder(lambda: at[0]) as recorder:
        finetune(inputs/'encode', stages.backbone(inputs), root/'adapter', max_steps=steps, batch_size=4, memory_size=8,
                 checkpoint_every=100, ema_decay=0.9, callback=callback, progress=False)
    return recorder.points


def growth(points):
    "Megabytes by which the last tenth of the work is above the second: the first warms up."
    work = max(done for _, done, _ in points) or 1
    def middle(first, last):
        inside = [megabytes for _, done, megabytes in points if first <= done / work < last]
        return float(np.median(inside)) if inside else float('nan')
    return round(middle(0.9, 1.01) - middle(0.1, 0.2), 1)


def draw(record, file):
    from matplotlib.figure import Figure
    figure = Figure(figsize=(8, 2.4), layout='constrained')
    for axis, (name, points) in zip(figure.subplots(1, 2), record['points'].items()):
        axis.plot([done for _, done, _ in points], [megabytes for *_, megabytes in points], linewidth=1)
        axis.set(title=name, ylabel='own memory, MB', ylim=(0, None))
    figure.savefig(file, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=100_000, help='to encode')
    parser.add_argument('--steps', type=int, default=10_000, help='of fine-tuning')
    parser.add_argument('--out', default='.', help='where memory.json and memory.png are written')
    parser.add_argument('--folder', help='where to work; default: a temporary folder')
    asked = parser.parse_args()
    os.nice(10)
    torch.set_num_threads(1)
    with scratch(asked.folder) as root:
        prepare(root/'inputs', ['pretrain', 'encode'])
        points = {f'encode {asked.images} images': encoding(root/'inputs', root, asked.images)}
        points[f'fine-tune {asked.steps} steps'] = fine_tuning(root/'inputs', root, asked.steps)
        record = dict(growth={name: growth(curve) for name, curve in points.items()}, points=points)
        Path(asked.out, 'memory.json').write_text(json.dumps(record))
        draw(record, Path(asked.out, 'memory.png'))
        print(json.dumps(record['growth']))
    return int(not all(megabytes < 20 for megabytes in record['growth'].values()))


if __name__ == '__main__': sys.exit(main())
