"""Run every notebook as a reader would: python tools/run_all.py [--only TEXT] [--limit SECONDS]

Each notebook is copied as one file into an empty folder and run from top to bottom on the CPU, no cell left out, with
no project around it and the package importable, as in Colab. It must end without error, in time, and leave nothing
behind but what KEEPS names.
"""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from execnb.nbio import read_nb
from fastcore.script import call_parse
from nbdev.doclinks import nbglob

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / 'nbs'
KEEPS = {'quickstart.ipynb': {'runs'}}  # results that the reader wants to have
LONG = {'quickstart.ipynb': 900}  # seconds, where the real run is the point
RUNNER = '''
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=None, kernel_name="python3").execute()
'''


def environment():
    "The present one, without a GPU, the network's model hub, or more threads than there are cores"
    threads = str(os.cpu_count())
    return os.environ | {
        'CUDA_VISIBLE_DEVICES': '', 'HF_HUB_OFFLINE': '1', 'OMP_NUM_THREADS': threads, 'MPLBACKEND': 'agg',
        'PYTHONPATH': str(ROOT),
    }


def what_happened(output):
    "The last line of a traceback, short"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = [line for line in lines if 'Error' in line or 'Interrupt' in line or 'Exit' in line]
    return (said or lines or ['ended without a word'])[-1][:160]


def left_behind(folder, name):
    "Files and folders that are not the notebook"
    kept = {Path(name).name} | KEEPS.get(name, set())
    return sorted(path.name for path in folder.iterdir() if path.name not in kept)


def run(name, limit):
    "Seconds, and what is wrong; nothing where all is well"
    with tempfile.TemporaryDirectory() as empty:
        folder = Path(empty)
        temporary = folder.parent / f'{folder.name}-tmp'  # where tempfile puts things, to see what stays
        temporary.mkdir()
        copy = folder / Path(name).name
        copy.write_bytes((NBS / name).read_bytes())
        start = time.perf_counter()
        command = [sys.executable, '-c', RUNNER, copy.name]
        process = subprocess.Popen(
            command, cwd=folder, env=environment() | {'TMPDIR': str(temporary)}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            output, _ = process.communicate(timeout=limit)
            wrong = what_happened(output) if process.returncode else ''
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.communicate()
            wrong = f'not finished after {limit} s'
        seconds = time.perf_counter() - start
        left = left_behind(folder, name) + [f'$TMPDIR/{path.name}' for path in temporary.iterdir()]
        left = [path for path in left if not path.startswith(('$TMPDIR/torchinductor', '$TMPDIR/tmp-kernel'))]
        if left and not wrong: wrong = f'leaves {len(left)} behind: ' + ', '.join(left[:4])
        subprocess.run(['rm', '-rf', temporary], check=True)
        return seconds, wrong


def runs(name):
    "Whether a notebook has anything to run"
    return any(cell.cell_type == 'code' for cell in read_nb(NBS / name).cells)


@call_parse
def main(
    only: str = '',  # notebooks whose path holds this text; several comma-separated
    limit: int = 180,  # seconds a notebook may take
):
    "Run every notebook alone in an empty folder, nothing skipped, and print a table"
    names = [path.relative_to(NBS).as_posix() for path in nbglob(NBS, as_path=True)]
    asked = only.split(',')
    chosen = [name for name in names if runs(name) and any(text in name for text in asked)]
    if not chosen: sys.exit(f'no notebook holds {only!r} in its path')
    failed, total = 0, 0.0
    for name in chosen:
        seconds, wrong = run(name, LONG.get(name, limit))
        failed += bool(wrong)
        total += seconds
        print(f'{name:38} {seconds:6.0f} s  {wrong or "ok"}', flush=True)
    print(f'{len(chosen) - failed} of {len(chosen)} run to their end, {total:.0f} s together')
    if failed: sys.exit(1)
