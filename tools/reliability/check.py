"""The short version of all of this, for every commit: python tools/reliability/check.py   (about 3 minutes)

A few kills, one full disk, one pair of runs, and some hundred spoilt files.
"""
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKS = [
    ('kill.py', '--stage', 'encode,finetune', '--every', '17'),
    ('kill.py', '--stage', 'sample', '--every', '41'),
    ('full.py', '--stage', 'encode', '--every', '7'),
    ('together.py', '--stage', 'encode', '--pairs', '2'),
    ('fuzz.py', '--cases', '40', '--reader', 'latents,adapter,checkpoint,distilled set,finished stage,pt file'),
]


def main():
    "Run the checks; how many failed."
    failed = []
    room = tempfile.TemporaryDirectory(prefix='reliability-')
    for name, *options in CHECKS:
        start = time.monotonic()
        done = subprocess.run([sys.executable, HERE/name, *options, '--folder', room.name], cwd=HERE.parents[1])
        print(f'{name} {" ".join(options)}: {"FAILED" if done.returncode else "fine"}, '
              f'{time.monotonic() - start:.0f} s', flush=True)
        if done.returncode: failed.append(name)
    return min(1, len(failed))


if __name__ == '__main__': sys.exit(main())
