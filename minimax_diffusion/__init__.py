"""Dataset distillation with minimax diffusion: from an image folder to a few images per class to train on.

`import minimax_diffusion as mm` is light; what stands in `__all__` is loaded when it is first asked for.
"""
__version__ = "0.1.0"

import sys
from importlib import import_module
from types import ModuleType

_ROOMS = {
    "distill": "distill",
    "plan": "distill",
    "load_dataset": "benchmarks",
    "load_backbone": "backbone",
    "encode_latents": "latents",
    "finetune": "finetune",
    "FineTuning": "finetune",
    "sample": "sample",
    "Sampling": "sampler",
    "evaluate": "evaluate",
}
__all__ = [*_ROOMS, "__version__"]


def _explained(function):
    from .console import explain
    return explain(function)


class _Package(ModuleType):
    "Some functions are named like their rooms: `minimax_diffusion.sample` is always the function."
    def __setattr__(self, name, value):
        if name in _ROOMS and isinstance(value, ModuleType): return
        super().__setattr__(name, value)

    def __getattr__(self, name):
        if name not in _ROOMS: raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{self.__name__}.{_ROOMS[name]}"), name)
        if not isinstance(found, type) and "\nParameters\n" not in found.__doc__: found = _explained(found)
        setattr(self, name, found)
        return found

    def __dir__(self): return sorted({*super().__dir__(), *_ROOMS})


sys.modules[__name__].__class__ = _Package
