"""Does it matter what was done before in the same process? python tools/reliability/leftovers.py

Each stage runs in a process in which something else was left behind: environment variables of a launch of one process,
a user's own Accelerator with gradient accumulation, other defaults of torch. The product must be that of a fresh
process, byte for byte, and what was left must be there afterwards.
"""
import os
import sys

from common import contents, difference, in_child, stage_parser, still_clock, try_stages
import numpy as np
import torch
from stages import STAGES


LAUNCH = ('WORLD_SIZE', 'RANK', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT', 'CUDA_VISIBLE_DEVICES')


def nothing(): pass


def launch_of_one():
    os.environ.update(WORLD_SIZE='1', RANK='0', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1', MASTER_PORT='29999')


def own_accelerator():
    from accelerate import Accelerator
    Accelerator(cpu=True, gradient_accumulation_steps=4, mixed_precision='bf16')


def doubles(): torch.set_default_dtype(torch.float64)


def meta_device(): torch.set_default_device('meta')


def no_gradients(): torch.set_grad_enabled(False)


def inference(): torch.inference_mode().__enter__()


def other_seeds():
    torch.manual_seed(12345)
    np.random.seed(12345)


LEFT = [launch_of_one, own_accelerator, doubles, meta_device, no_gradients, inference, other_seeds]


def state():
    "What a process has set."
    from accelerate.state import AcceleratorState, GradientState, PartialState
    shared = [str(sorted(s._shared_state.items(), key=str)) for s in (PartialState, AcceleratorState, GradientState)]
    device = str(torch.get_default_device())
    modes = [torch.is_grad_enabled(), torch.is_inference_mode_enabled()]
    seeds = [torch.random.get_rng_state().sum().item() if device == 'cpu' else 0, str(np.random.get_state())]
    launch = {name: os.environ.get(name) for name in LAUNCH}
    return [torch.get_default_dtype(), device, torch.get_num_threads(), *modes, *seeds, launch, *shared]


def after(stage, inputs, folder, leave):
    "Run a stage after something was left behind; what differs afterwards is printed."
    def work():
        still_clock()
        leave()
        before = state()
        STAGES[stage](inputs, folder/'out')
        pairs = zip(before, state())
        changed = [f'{str(old)[:200]} became {str(new)[:200]}' for old, new in pairs if str(old) != str(new)]
        if changed: raise SystemExit('changed the process: ' + '; '.join(changed))
    folder.mkdir()
    log = folder.with_suffix('.log')
    status = in_child(work, log, 300)
    return f'ended with {status}: {log.read_text().strip().splitlines()[-1]}' if status else ''


def compare(stage, inputs, root):
    "All that can be left behind; a record of what came of it."
    told = {'nothing': after(stage, inputs, root/'nothing', nothing)}
    wanted = contents(root/'nothing')
    for leave in LEFT:
        folder = root/leave.__name__
        told[leave.__name__] = after(stage, inputs, folder, leave) or difference(contents(folder), wanted)
    return dict(stage=stage, tried=len(told), failed={name: what for name, what in told.items() if what})


def main():
    asked = stage_parser(__doc__, STAGES).parse_args()
    return try_stages(asked, lambda *where: [compare(*where)])


if __name__ == '__main__': sys.exit(main())
