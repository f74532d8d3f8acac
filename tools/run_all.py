"""Run every notebook as a reader would: python tools/run_all.py [--only TEXT] [--but TEXT] [--workers N] [--store]

Each notebook is copied as one file into an empty folder and run from top to bottom on the CPU, no cell left out, with
no project around it and the package importable, as in Colab. It must end without error, in time, leave nothing behind
but what KEEPS names, and print what is stored in it (tools/stored.py).
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fastcore.script import call_parse, store_true
from nbdev.doclinks import nbglob

import stored

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / 'nbs'
KEEPS = {'quickstart.ipynb': {'runs'}}  # results that the reader wants to have
LONG = {'quickstart.ipynb': 600}  # seconds, where the real run is the point
IGNORED = ('torchinductor', 'torchelastic', 'tmp-kernel')  # what torch and Jupyter leave among temporary files
NOT_ALONE = {'compare/51_bench.ipynb'}  # shows measurements that lie beside it, and that it lacks when alone
FLAGS = r'^#\| *(slow|cuda|notest)\b'
RUNNER = '''
import resource, sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=None, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
'''


class Result(NamedTuple):
    name: str      # of the notebook
    seconds: float  # by the clock
    work: float    # seconds of a processor; 0 where it failed
    memory: float  # the largest process, GB; 0 where it failed
    wrong: list    # what is wrong, a line each; empty where all is well


def environment(threads):
    "The present one, without a GPU or the network's model hub"
    given = {key: value for key, value in os.environ.items() if key not in ('MPLBACKEND', 'MINIMAX_REFERENCE')}
    return given | {
        'CUDA_VISIBLE_DEVICES': '', 'HF_HUB_OFFLINE': '1', 'OMP_NUM_THREADS': str(threads), 'PYTHONPATH': str(ROOT),
    }


def what_happened(output):
    "The last line of a traceback, short"
    plain = re.sub(r'\x1b\[[0-9;]*m', '', output)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    said = [line for line in lines if 'Error' in line or 'Interrupt' in line or 'Exit' in line]
    arrow = [line for line in lines if line.startswith('---')][-1:]  # the line of the cell
    return ' '.join([(said or lines or ['ended without a word'])[-1], *arrow])[:200]


def left_behind(folder, temporary, name):
    "What stays that is not the notebook: in its folder, and where `tempfile` puts things"
    kept = {Path(name).name} | KEEPS.get(name, set())
    here = sorted(path.name for path in folder.iterdir() if path.name not in kept)
    there = sorted(path.name for path in temporary.iterdir() if not path.name.startswith(IGNORED))
    return here + [f'$TMPDIR/{name}' for name in there]


def execute(folder, name, done, env, limit):
    "Run a copy in its folder, store it executed in `done`: processor seconds, GB, and what went wrong"
    process = subprocess.Popen(
        [sys.executable, '-c', RUNNER, name, done], cwd=folder, env=env, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try: output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return 0, 0, f'not finished after {limit} s'
    if process.returncode: return 0, 0, what_happened(output)
    work, kilobytes = output.split()[-2:]
    return float(work), int(kilobytes) / 1e6, ''


def run(name, limit, threads, compare=True, store=False):
    "One notebook alone in an empty folder, in its own folder for temporary files"
    work = Path(tempfile.mkdtemp(prefix='run_all-'))
    folder, temporary, done = work / 'reader', work / 'tmp', work / 'done.ipynb'
    folder.mkdir(), temporary.mkdir()
    shutil.copy(NBS / name, folder)
    env = environment(threads) | {'TMPDIR': str(temporary)}
    start = time.perf_counter()
    work_seconds, memory, failure = execute(folder, Path(name).name, done, env, limit)
    seconds = time.perf_counter() - start
    wrong = [failure] if failure else []
    if not failure:
        left = left_behind(folder, temporary, name)
        if left: wrong.append(f'leaves {len(left)} behind: ' + ', '.join(left[:4]))
        if compare and name not in NOT_ALONE: wrong += stored.differences(NBS / name, done)
        if store: stored.take_over(NBS / name, done)
    shutil.rmtree(work, ignore_errors=True)
    return Result(name, seconds, work_seconds, memory, wrong)


def cells_of(name):
    "The code cells of a notebook, as text"
    cells = json.loads((NBS / name).read_text(encoding='utf-8'))['cells']
    return [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code']


@call_parse
def main(
    only: str = '',  # notebooks whose path holds this text; several comma-separated
    but: str = '',  # none whose path holds this text; several comma-separated
    flagged: store_true = False,  # only those with cells that nbdev_test skips
    workers: int = 1,  # notebooks at a time
    threads: int = 1,  # CPU threads of each
    limit: int = 180,  # seconds a notebook may take
    no_compare: store_true = False,  # leave out what is stored
    store: store_true = False,  # store what is printed where something else is stored
):
    "Run notebooks alone in an empty folder, nothing skipped, and print a table"
    names = [path.relative_to(NBS).as_posix() for path in nbglob(NBS, as_path=True)]
    asked = only.split(',')
    chosen = [name for name in names if cells_of(name) and any(text in name for text in asked)]
    if but: chosen = [name for name in chosen if not any(text in name for text in but.split(','))]
    if flagged: chosen = [name for name in chosen if any(re.search(FLAGS, cell, re.M) for cell in cells_of(name))]
    if not chosen: sys.exit(f'no notebook holds {only!r} in its path')
    start, failed = time.perf_counter(), 0
    with ThreadPoolExecutor(workers) as pool:
        for result in pool.map(lambda name: run(name, LONG.get(name, limit), threads, not no_compare, store), chosen):
            failed += bool(result.wrong)
            verdict = '\n    '.join(result.wrong) or 'ok'
            figures = f'{result.seconds:6.0f} s {result.work:6.0f} s CPU {result.memory:6.1f} GB'
            print(f'{result.name:38} {figures}  {verdict}', flush=True)
    seconds = time.perf_counter() - start
    print(f'{len(chosen) - failed} of {len(chosen)} run to their end and print what is stored, {seconds:.0f} s')
    if failed: sys.exit(1)
