"""Start two runs of a stage into one folder at the same instant: python tools/reliability/together.py --pairs 100

They ask for different seeds. One of them must finish with the product of its seed, byte for byte; the other must be
refused in one line that says who holds the folder, or what differs.
"""
import sys
import time

from common import contents, difference, fork, in_child, stage_parser, still_clock, try_stages, wait
from stages import STAGES

REFUSED = ('is being written by', 'holds another run')


def start(stage, inputs, out, seed, at):
    "One of the two."
    still_clock()
    time.sleep(max(0, at - time.time()))
    STAGES[stage](inputs, out, seed)


def pair(stage, inputs, folder, wanted, early):
    "Two runs, the second a little later; what went wrong, and which of the two came first."
    folder.mkdir()
    at = time.time() + 0.2
    logs = [folder.with_name(f'{folder.name}.{seed}.log') for seed in (0, 1)]
    moments = (at, at + early)
    runs = [fork(lambda s=s: start(stage, inputs, folder/'out', s, moments[s]), logs[s]) for s in (0, 1)]
    statuses = [wait(run, 300) for run in runs]
    told = [log.read_text().strip().splitlines()[-1:] for log in logs]
    if sorted(statuses) != [0, 1]: return f'ended with {statuses}: {told}', None
    won = statuses.index(0)
    refused = told[1 - won][0] if told[1 - won] else ''
    if not any(words in refused for words in REFUSED): return f'not told who holds the folder: {refused}', won
    return difference(contents(folder), wanted[won]), won


def pairs(stage, count, inputs, root):
    "Many pairs; a record of what came of them."
    wanted = []
    for seed in (0, 1):
        alone = root/f'alone-{seed}'
        alone.mkdir()
        in_child(lambda: start(stage, inputs, alone/'out', seed, 0), root/f'alone-{seed}.log')
        wanted.append(contents(alone))
    if wanted[0] == wanted[1] or not wanted[0]: raise SystemExit(f'{stage}: the two seeds should differ')
    failed, winners = {}, []
    for i in range(count):
        early = (0, 0.002, 0.01, 0.05, -0.002, -0.01)[i % 6]  # seconds
        told, won = pair(stage, inputs, root/f'pair-{i}', wanted, early)
        winners.append(won)
        if told: failed[i] = told
    return dict(stage=stage, pairs=count, first=winners.count(0), second=winners.count(1), failed=failed)


def main():
    parser = stage_parser(__doc__, ['finetune'])
    parser.add_argument('--pairs', type=int, default=100, help='of each stage')
    asked = parser.parse_args()
    return try_stages(asked, lambda stage, inputs, folder: [pairs(stage, asked.pairs, inputs, folder)])


if __name__ == '__main__': sys.exit(main())
