"Every stage at its smallest, and the inputs that they need."
import functools

import matplotlib.figure  # noqa: F401  imported here and not in every child
import sklearn.cluster  # noqa: F401
import sklearn.datasets
import sklearn.decomposition  # noqa: F401
import sklearn.manifold  # noqa: F401
import sklearn.neighbors  # noqa: F401

from minimax_diffusion.backbone import load_backbone
from minimax_diffusion.distill import distill
from minimax_diffusion.distribution_matching import Matching, match
from minimax_diffusion.evaluate import evaluate
from minimax_diffusion.finetune import MinimaxTrainer, finetune
from minimax_diffusion.images import digits, per_class
from minimax_diffusion.latents import encode_latents
import minimax_diffusion.latents as latents_module
from minimax_diffusion.phases import finetune_phases
from minimax_diffusion.pretrain import Fit, pretrain
from minimax_diffusion.protocols import get_protocol
from minimax_diffusion.sample import _Drawing, sample
from minimax_diffusion.training import Training, train_teacher

sklearn.datasets.load_digits = functools.cache(sklearn.datasets.load_digits)  # every child would parse its text again
sklearn.datasets.load_digits()

QUIET = dict(progress=False)
CPU = dict(device='cpu', progress=False)
SIDE = 16  # pixels
JUDGE = dict(networks=('convnet3',), epochs=3, image_size=SIDE, widths={'convnet3': 4}, evaluations=1)


def backbone(inputs):
    return load_backbone(inputs/'pretrain/pipeline', 'cpu')


def images(n=6, split='train'):
    return per_class(digits(split, SIDE), n)


def run_pretrain(inputs, out, seed=0):
    pretrain(out, seed=seed, image_size=SIDE, vae_channels=(32, 32), vae_steps=4, vae_batch_size=4, num_layers=2,
             num_attention_heads=2, attention_head_dim=8, steps=4, batch_size=4, copies=1, checkpoint_every=2, **CPU)


def run_encode(inputs, out, seed=0):
    shards = 16 if seed == 0 else 17  # a seed has no part in encoding: another way to ask for something else
    encode_latents(images(), backbone(inputs), out, batch_size=8, workers=0, shard_size=shards, **QUIET)


def run_finetune(inputs, out, seed=0):
    finetune(inputs/'encode', backbone(inputs), out, max_steps=6, batch_size=4, memory_size=4, seed=seed,
             checkpoint_every=2, ema_decay=0.5, **QUIET)


def run_phases(inputs, out, seed=0):
    finetune_phases(inputs/'encode', backbone(inputs), out, phase_size=5, max_steps=4, batch_size=4, memory_size=4,
                    seed=seed, checkpoint_every=2, ema_decay=0.5, **QUIET)


def run_sample(inputs, out, seed=0):
    sample(backbone(inputs), inputs/'finetune', out, ipc=2, num_inference_steps=2, seed=seed, batch_size=8, **QUIET)


def run_evaluate(inputs, out, seed=0):
    sets = {'drawn': inputs/'sample', 'real': images(2)}
    evaluate(sets, images(3, 'test'), out, protocol=get_protocol('digits', **JUDGE), repeats=2, seed=seed, **CPU)


def run_teacher(inputs, out, seed=0):
    judge = {name: value for name, value in JUDGE.items() if name != 'networks'}
    train_teacher(images(), images(3, 'test'), out, 'convnet3', get_protocol('digits', **judge), seed=seed, **CPU)


def run_match(inputs, out, seed=0):
    match(images(), out, ipc=2, iterations=3, width=4, seed=seed, batch_size=4, **CPU)


def distill_request(inputs, seed=0):
    return dict(protocol=get_protocol('digits', **JUDGE), classes=('3', '7'), backbone=str(inputs/'pretrain/pipeline'),
                methods=('random', 'minimax'), ipc=(1, 2), repeats=1, max_steps=4, batch_size=4, memory_size=4,
                num_inference_steps=2, seed=seed, ema_decay=0.5)


def run_distill(inputs, out, seed=0):
    distill('digits', out, **distill_request(inputs, seed), **CPU)


STAGES = {  # in the order in which one needs the other
    'pretrain': run_pretrain,
    'encode': run_encode,
    'finetune': run_finetune,
    'phases': run_phases,
    'sample': run_sample,
    'evaluate': run_evaluate,
    'teacher': run_teacher,
    'match': run_match,
    'distill': run_distill,
}

# what a stage does over and over, and how much of it may be lost: one interval between two checkpoints
WORK = {
    'pretrain': [(Fit, 'step', 2)],
    'encode': [(latents_module, '_posteriors', 2)],
    'finetune': [(MinimaxTrainer, 'step', 2)],
    'phases': [(MinimaxTrainer, 'step', 2)],
    'sample': [(_Drawing, 'draw', 2)],  # the images of a batch are written while the next is drawn
    'evaluate': [(Training, 'epoch', 3)],
    'teacher': [(Training, 'epoch', 3)],  # it writes one every five minutes
    'match': [(Matching, 'step', 3)],
    'distill': [(MinimaxTrainer, 'step', 4), (_Drawing, 'draw', 2), (Training, 'epoch', 3)],
}
