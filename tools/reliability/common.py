"Processes that are started, killed and looked after; folders that are compared."
import argparse
import json
import mmap
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')  # a process that is forked must not have threads
os.environ.setdefault('HF_HUB_OFFLINE', '1')
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]


def fork(work, log=None):
    "Do something in a process of its own; its process id."
    child = os.fork()
    if child: return child
    code = 1
    try:
        if log:
            file = open(log, 'ab', buffering=0)
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child, seconds=None):
    "The exit status of a process, negative for a signal; TimeoutError, and the process killed, after some seconds."
    until = time.monotonic() + (seconds or 1e9)
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG if seconds else 0)
        if found: return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f'not done after {seconds} s')


def in_child(work, log=None, seconds=None):
    "The exit status of some work in a process of its own."
    return wait(fork(work, log), seconds)


def in_children(jobs, workers, seconds=None):
    "Do jobs in processes of their own, some at a time; the exit status of each, in order."
    running, statuses, jobs = {}, {}, list(enumerate(jobs))
    jobs.reverse()
    while jobs or running:
        while jobs and len(running) < workers:
            i, job = jobs.pop()
            running[fork(job)] = i
        child, status = os.wait()
        statuses[running.pop(child)] = os.waitstatus_to_exitcode(status)
    return [statuses[i] for i in sorted(statuses)]


class Counter:
    "A number that forked processes share."

    def __init__(self):
        self.memory = mmap.mmap(-1, 8)

    @property
    def value(self):
        return int.from_bytes(self.memory[:8], 'little')

    @value.setter
    def value(self, number):
        self.memory[:8] = number.to_bytes(8, 'little')


def contents(folder):
    "Relative name -> bytes of every file, None of every folder."
    found = {}
    for path in sorted(Path(folder).rglob('*')):
        found[str(path.relative_to(folder))] = path.read_bytes() if path.is_file() else None
    return found


def difference(there, wanted):
    "What differs between two contents, in a few words; empty where nothing does."
    missing = sorted(set(wanted) - set(there))
    strange = sorted(set(there) - set(wanted))
    other = sorted(name for name in wanted if name in there and wanted[name] != there[name])
    parts = [('missing', missing), ('too much', strange), ('other bytes', other)]
    return '; '.join(f'{what}: {", ".join(names[:4])}' for what, names in parts if names)


@contextmanager
def scratch(given=None):
    "A folder to work in: the given one, which stays, or one that is deleted afterwards."
    if given:
        Path(given).mkdir(parents=True, exist_ok=True)
        yield Path(given).resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix='reliability-'))
    try: yield folder.resolve()
    finally: shutil.rmtree(folder, ignore_errors=True)


def still_clock():
    "Let measured seconds be 0, so that a product does not depend on them."
    time.perf_counter = lambda: 0.0


def prepare(inputs, stages):
    "Run stages in processes of their own, as inputs of others and as what their products should be."
    from stages import STAGES
    inputs.mkdir(parents=True, exist_ok=True)
    def work(name):
        still_clock()
        STAGES[name](inputs, inputs/name)
    for name in stages:
        if (inputs/name).exists(): continue
        status = in_child(lambda: work(name), inputs/f'{name}.log')
        if status: raise SystemExit(f'{name} ended with {status}: see {(inputs/f"{name}.log").read_text()[-2000:]}')


NEEDS = {'encode': ['pretrain'], 'finetune': ['pretrain', 'encode'], 'phases': ['pretrain', 'encode']}
NEEDS['sample'] = NEEDS['evaluate'] = ['pretrain', 'encode', 'finetune', 'sample']


def needs(stage):
    "The stages whose products a stage needs, and itself."
    names = [*NEEDS.get(stage, ['pretrain'] if stage == 'distill' else []), stage]
    return list(dict.fromkeys(names))


def stage_parser(doc, stages):
    "What every driver that tries stages is asked: which ones, and where to work."
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument('--stage', default=','.join(stages), help='stages, comma-separated; default: %(default)s')
    parser.add_argument('--folder', help='where to work; default: a temporary folder')
    return parser


def try_stages(asked, attempt):
    "Print the records of `attempt(stage, inputs, folder)` for each stage that was asked for; 1 where something failed."
    failed = 0
    with scratch(asked.folder) as root:
        for stage in asked.stage.split(','):
            prepare(root/'inputs', needs(stage)[:-1])
            folder = root/f'{Path(sys.argv[0]).stem}-{stage}'
            folder.mkdir()
            for record in attempt(stage, root/'inputs', folder):
                print(json.dumps(record), flush=True)
                failed += len(record['failed'])
    return min(1, failed)
