"""Cut the power of a disk while a stage writes: python tools/reliability/power.py --stage encode   (needs root)

The disk is an ext4 image, mounted through a loop device with the options under which most is lost (data=writeback,
noauto_da_alloc, a journal that is committed every second). Before each operation on a file, and after the end, the
image is copied as it is at that moment: what the system has not yet put on the disk is not in the copy, as after a
power cut. Every third copy is taken a second later, when the journal knows the names of files whose bytes are still
in memory. Then each copy is mounted, which replays its journal. A product that is there must be whole, byte for byte,
and the stage, run again, must complete with the right product. --no-sync lets fsync do nothing, to see what it is for.
"""
import os
import subprocess
import sys
import time
from contextlib import contextmanager

from common import contents, difference, in_child, stage_parser, still_clock, try_stages
from kill import Killer
from stages import STAGES

OPTIONS = 'loop,data=writeback,noauto_da_alloc,commit=1,journal_async_commit'
MEGABYTES = 48


def do(*command):
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


@contextmanager
def mounted(image, place, options=OPTIONS):
    place.mkdir(exist_ok=True)
    do('mount', '-t', 'ext4', '-o', options, image, place)
    try: yield place
    finally: do('umount', place)


class Camera(Killer):
    "Copies the image before every operation on a file, instead of killing."

    def __init__(self, image, folder, copies, every):
        self.image, self.copies, self.every = image, copies, every
        self.count, self.busy = 0, False
        super().__init__(folder, None, None)

    def hear(self, event, args):
        if self.busy or not self.concerns(event, args): return
        with self.lock:
            if self.count % self.every == 0: self.copy()
            self.count += 1

    def copy(self, late=None):
        "The disk as it is; late: a second later, with the names and without the bytes."
        self.busy = True
        late = self.count // self.every % 3 == 2 if late is None else late
        if late: time.sleep(1.3)
        do('cp', '--sparse=always', self.image, self.copies/f'{self.count:04d}{"-late" if late else ""}.img')
        self.busy = False


def film(stage, inputs, root, every, syncs):
    "Run a stage on a fresh disk, and copy the disk on the way."
    image, place, copies = root/'disk.img', root/'disk', root/'copies'
    copies.mkdir()
    do('truncate', '-s', f'{MEGABYTES}M', image)
    do('mkfs.ext4', '-q', '-F', image)
    def work():
        still_clock()
        if not syncs: os.fsync = lambda handle: None
        camera = Camera(image, place, copies, every)
        STAGES[stage](inputs, place/'out')
        camera.copy(late=False)
        camera.count += 1
        camera.copy(late=True)
    with mounted(image, place):
        status = in_child(work, root/'film.log', 1000)
        if status: raise SystemExit(f'{stage} does not run: {(root/"film.log").read_text()[-2000:]}')
        return sorted(copies.iterdir()), product(place)


def product(place):
    "What a disk holds, without ext4's own folder."
    return {name: data for name, data in contents(place).items() if not name.startswith('lost+found')}


def after(stage, inputs, image, place, wanted):
    "Look at a disk after the power came back, and run the stage again; what was wrong with it."
    with mounted(image, place):
        there = product(place/'out') if (place/'out').exists() else {}
        whole = {name.removeprefix('out/'): data for name, data in wanted.items() if name != 'out'}
        finished = b'"environment"' in (there.get('config.json') or b'')
        lost = {name: data for name, data in whole.items() if there.get(name) != data}
        broken = f'under its final name without {", ".join(sorted(lost)[:3])}' if there and lost else ''
        def again():
            still_clock()
            STAGES[stage](inputs, place/'out')
        status = in_child(again, image.with_suffix('.log'), 300)
        if status:
            line = image.with_suffix('.log').read_text().strip().splitlines()[-1]
            return finished, f'{broken}; does not complete: {line}'
        found = difference(product(place), wanted)
        return finished, f'{broken}; another product was accepted: {found}' if found else broken


def cuts(stage, inputs, root, every, syncs):
    "Cut the power everywhere; a record of what came of it."
    images, wanted = film(stage, inputs, root, every, syncs)
    failed, finished = {}, 0
    for image in images:
        was_there, told = after(stage, inputs, image, root/'after', wanted)
        finished += was_there
        if told: failed[image.stem] = told
        image.unlink()
    late = sum('late' in image.stem for image in images)
    return dict(stage=stage, cuts=len(images), late=late, product_there=finished, failed=failed)


def main():
    parser = stage_parser(__doc__, ['encode', 'finetune', 'sample'])
    parser.add_argument('--every', type=int, default=1, help='copy before every so many operations')
    parser.add_argument('--no-sync', action='store_true', help='let fsync do nothing')
    asked = parser.parse_args()
    if os.geteuid(): raise SystemExit('power.py mounts disks, which needs root')
    return try_stages(asked, lambda *where: [cuts(*where, asked.every, not asked.no_sync)])


if __name__ == '__main__': sys.exit(main())
