"""Let the disk be full before each write of a stage: python tools/reliability/full.py

Every operation that needs room on a disk fails as on a full one (ENOSPC) from its first on, in a fresh folder from its
second on, and so on. The stage must end with one clear line. Then there is room again, and the same command must
complete, with the product of a run that never lacked room. With --disk the stage also runs on a small disk in memory
(needs root) that is really full, with growing sizes.
"""
import errno
import os
import subprocess
import sys

from common import contents, difference, in_child, stage_parser, still_clock, try_stages
import safetensors.torch
from safetensors import SafetensorError
from stages import STAGES

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class FullDisk:
    "From its operation with a given number on, a folder's disk has no room."

    def __init__(self, folder, number):
        self.folder, self.number, self.seen = str(folder), number, 0
        serialize = safetensors.torch.serialize_file
        def _serialize(tensors, path, *rest, **options):
            if self.next():
                raise SafetensorError('Error while serializing: I/O error: No space left on device (os error 28)')
            return serialize(tensors, path, *rest, **options)
        safetensors.torch.serialize_file = _serialize
        sys.addaudithook(self.hear)

    def next(self):
        self.seen += 1
        return self.number is not None and self.seen > self.number

    def hear(self, event, args):
        if event not in ('open', 'os.mkdir') or not str(args[0]).startswith(self.folder): return
        if event == 'open' and not args[2] & WRITES: return
        if self.next(): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]))


def run(stage, inputs, folder, number, log):
    "The exit status of a stage, and its last line."
    def work():
        still_clock()
        disk = FullDisk(folder, number)
        STAGES[stage](inputs, folder/'out')
        if number is None: log.with_suffix('.count').write_text(str(disk.seen))
    status = in_child(work, log, 300)
    lines = log.read_text(errors='replace').strip().splitlines() or ['']
    return status, lines[-1]


def on_full_disks(stage, inputs, root, every):
    "A full disk before every write; a record of what came of it."
    (root/'whole').mkdir()
    run(stage, inputs, root/'whole', None, root/'whole.log')
    wanted = contents(root/'whole')
    count = int((root/'whole.count').read_text())
    failed, lines = {}, set()
    for number in range(0, count, every):
        folder = root/str(number)
        folder.mkdir()
        status, line = run(stage, inputs, folder, number, root/f'{number}.log')
        lines.add(line.partition(':')[0])
        if status != 0 and 'space' not in line.lower(): failed[number] = f'the last line does not say why: {line}'
        status, line = run(stage, inputs, folder, None, root/f'{number}.log')
        if status: failed[number] = f'does not go on: {line}'
        elif found := difference(contents(folder), wanted): failed[number] = f'another product: {found}'
    return dict(stage=stage, writes=count, tried=len(range(0, count, every)), errors=sorted(lines), failed=failed)


def on_small_disk(stage, inputs, root, wanted, kilobytes):
    "A stage on a disk in memory that is too small, which then grows; what went wrong."
    disk = root/f'disk-{kilobytes}'
    disk.mkdir()
    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={kilobytes}k', 'tmpfs', disk], check=True)
    try:
        status, line = run(stage, inputs, disk, None, root/f'disk-{kilobytes}.log')
        if status and 'space' not in line.lower(): return f'the last line does not say why: {line}'
        subprocess.run(['mount', '-o', 'remount,size=200m', disk], check=True)
        again, line = run(stage, inputs, disk, None, root/f'disk-{kilobytes}.log')
        if again: return f'does not go on: {line}'
        found = difference(contents(disk), wanted)
        return f'another product: {found}' if found else ('full' if status else 'had room')
    finally: subprocess.run(['umount', '-l', disk], check=False)


def on_small_disks(stage, inputs, root):
    "Disks from too small to large enough."
    wanted = contents(root/'whole')
    size = 8
    told = {}
    while True:
        told[size] = on_small_disk(stage, inputs, root, wanted, size)
        if told[size] == 'had room' or size > 100_000: break
        size = round(size * 1.4) // 4 * 4 + 4
    failed = {size: what for size, what in told.items() if what not in ('full', 'had room')}
    return dict(stage=stage, kilobytes=list(told), failed=failed)


def main():
    parser = stage_parser(__doc__, STAGES)
    parser.add_argument('--every', type=int, default=1, help='try every so many writes')
    parser.add_argument('--disk', action='store_true', help='also on small disks in memory, which needs root')
    asked = parser.parse_args()

    def _attempt(stage, inputs, folder):
        yield on_full_disks(stage, inputs, folder, asked.every)
        if asked.disk: yield on_small_disks(stage, inputs, folder)
    return try_stages(asked, _attempt)


if __name__ == '__main__': sys.exit(main())
