"""Kill a stage before each of its operations on files, run it again, and compare: python tools/reliability/kill.py

A process is killed (SIGKILL) before its first operation on a file (opening for writing, renaming, deleting, making or
removing a folder, setting rights, putting on the disk), in a fresh folder another before its second, and so on until
one comes to its end. After each kill the same stage is run again in the same folder. It must complete, with the product
of a run that nobody killed, byte for byte, nothing left beside it, and at most one interval between two checkpoints
done twice. safetensors' own write is also cut in its middle.
"""
import json
import os
import shutil
import signal
import sys
import threading
import time

from common import Counter, contents, difference, in_child, in_children, stage_parser, still_clock, try_stages
import matplotlib.figure
import safetensors.torch
from PIL import Image
from stages import STAGES, WORK

CHANGES = ('os.rename', 'os.remove', 'os.rmdir', 'os.mkdir', 'os.chmod', 'os.truncate', 'os.link', 'os.symlink',
           'os.fsync', 'write')
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Killer:
    "Counts operations on files below a folder, and ends this process before the one with a given number."

    def __init__(self, folder, number, seen):
        self.folder, self.number, self.seen = str(folder), number, seen
        self.lock = threading.RLock()
        self._tell_syncs()
        self._tell_writes()
        sys.addaudithook(self.hear)

    def _tell_syncs(self):
        "Python does not announce fsync."
        fsync = os.fsync
        def _fsync(handle):
            sys.audit('os.fsync', self.folder)
            return fsync(handle)
        os.fsync = _fsync

    def _tell_writes(self):
        "Nor what safetensors does: it writes a temporary file, and renames it."
        serialize = safetensors.torch.serialize_file
        def _serialize(tensors, path, *rest, **options):
            sys.audit('write', str(path), 'whole')
            sys.audit('write', str(path), 'half')
            return serialize(tensors, path, *rest, **options)
        safetensors.torch.serialize_file = _serialize

    def concerns(self, event, args):
        "Whether something changes a file of the folder."
        if event == 'open':
            if not isinstance(args[2], int) or not args[2] & WRITES: return False
        elif event not in CHANGES: return False
        inside = any(isinstance(arg, str) and arg.startswith(self.folder) for arg in map(_text, args))
        relative = event in ('os.remove', 'os.rmdir') and args[-1] != -1  # of a tree that is being deleted
        return inside or relative

    def hear(self, event, args):
        if self.number is None or not self.concerns(event, args): return
        with self.lock:
            if self.seen.value == self.number:
                self.number = None  # what the end itself opens is not counted
                self.end(event, args)
            self.seen.value += 1

    def end(self, event, args):
        if event == 'write' and args[1] == 'half':
            half = os.open(os.path.join(os.path.dirname(args[0]), '.tmpABCDEF'), os.O_CREAT | os.O_WRONLY)
            os.write(half, b'\0' * 1000)
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(10)


def blank(figure, path, **options):
    "A picture without what is in it: drawing takes time, and every picture is written in the same way."
    Image.new('RGB', (8, 8)).save(path, 'png')


def _text(argument):
    return os.fspath(argument) if isinstance(argument, os.PathLike) else argument


def counted(stage, counters):
    "Count what the stage does over and over."
    for (place, name, _), counter in zip(WORK[stage], counters):
        setattr(place, name, _counting(getattr(place, name), counter))


def _counting(function, counter):
    def _counted(*args, **options):
        counter.value += 1
        return function(*args, **options)
    return _counted


class Trial:
    "One stage in one folder, killed once and run again."

    def __init__(self, stage, inputs, root):
        self.stage, self.inputs, self.root = stage, inputs, root
        whole = self.root/'whole'
        self.counters = [Counter() for _ in WORK[stage]]
        self.seen = Counter()
        status = self.run(whole, -1)
        if status: raise SystemExit(f'{stage} does not run: {(self.root/"whole.log").read_text()[-3000:]}')
        self.operations = self.seen.value
        self.work = [counter.value for counter in self.counters]
        self.wanted = contents(whole)

    def run(self, folder, number):
        "Run the stage, killed before an operation or, with -1, left alone; its exit status."
        def work():
            still_clock()
            matplotlib.figure.Figure.savefig = blank
            counted(self.stage, self.counters)
            Killer(folder, number, self.seen)
            STAGES[self.stage](self.inputs, folder/'out')
        folder.mkdir(exist_ok=True)
        return in_child(work, self.root/f'{folder.name}.log', 100)

    def at(self, number):
        "What went wrong after a kill before an operation: '' for nothing; None where the process was not killed."
        folder = self.root/str(number)
        self.counters = [Counter() for _ in WORK[self.stage]]
        self.seen = Counter()
        status = self.run(folder, number)
        if status == 0: return None
        if status != -signal.SIGKILL: return f'ended with {status} before the kill'
        status = self.run(folder, -1)
        if status: return f'does not complete: {(self.root/f"{number}.log").read_text().strip().splitlines()[-1]}'
        if found := difference(contents(folder), self.wanted): return f'another product: {found}'
        for (_, name, interval), counter, once in zip(WORK[self.stage], self.counters, self.work):
            if counter.value - once > interval: return f'repeated: {name} {counter.value} times instead of {once}'
        return ''


def trials(stage, inputs, root, asked):
    "Kill a stage everywhere; a record of what came of it."
    trial = Trial(stage, inputs, root)
    points = range(asked.first, min(trial.operations, asked.last + 1), asked.every)
    def one(number):
        told = trial.at(number)
        (root/f'{number}.json').write_text(json.dumps(told))
        if not told: shutil.rmtree(root/str(number))
    in_children([lambda n=n: one(n) for n in points], asked.workers)
    told = {n: json.loads((root/f'{n}.json').read_text()) for n in points}
    kills = sum(what is not None for what in told.values())
    failed = {n: what for n, what in told.items() if what}
    return dict(stage=stage, operations=trial.operations, kills=kills, failed=failed)


def main():
    parser = stage_parser(__doc__, STAGES)
    parser.add_argument('--first', type=int, default=0, help='operation to kill before at first')
    parser.add_argument('--last', type=int, default=10**6, help='operation to kill before at last')
    parser.add_argument('--every', type=int, default=1, help='kill before every so many operations')
    parser.add_argument('--workers', type=int, default=1, help='trials at a time')
    asked = parser.parse_args()

    def _attempt(stage, inputs, folder):
        start = time.monotonic()
        record = trials(stage, inputs, folder, asked)
        yield record | {'seconds': round(time.monotonic() - start)}
    return try_stages(asked, _attempt)


if __name__ == '__main__': sys.exit(main())
