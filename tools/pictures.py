"""Make the pictures that notebooks store smaller: python tools/pictures.py --notebooks 21_finetune,38_metrics

A plot needs some hundred colors, not sixteen million. Pictures of more than 20 KB are stored with a palette of 256,
which takes a half or a third of the space and moves a color by less than one in a hundred; those that would lose more,
or gain little, stay as they are. Without names, all notebooks are gone through. Where that is not enough, --widest 760
draws large pictures smaller; fewer colors would make the lines of a plot alike.
"""
import base64
import io
import json
from pathlib import Path

import numpy as np
from fastcore.script import call_parse
from nbdev.doclinks import nbglob
from PIL import Image

NBS = Path(__file__).resolve().parent.parent / 'nbs'
SMALL = 20_000  # bytes
WORTH = 0.8  # of its size, at most
ERROR = 2.0  # levels of 255, root of the mean square


def with_palette(png, widest):
    "A PNG file with 256 colors, and how far they are from its own"
    image = Image.open(io.BytesIO(png)).convert('RGB')
    if image.width > widest: image = image.resize((widest, round(image.height * widest / image.width)), Image.LANCZOS)
    fewer = image.quantize(256, kmeans=3, dither=Image.Dither.NONE)
    difference = np.asarray(image, dtype=float) - np.asarray(fewer.convert('RGB'), dtype=float)
    file = io.BytesIO()
    fewer.save(file, 'PNG', optimize=True)
    return file.getvalue(), float(np.sqrt((difference ** 2).mean()))


def shrink(output, widest):
    "Store an output's picture smaller; how many bytes that saves"
    data = output.get('data', {})
    if 'image/png' not in data: return 0
    png = base64.b64decode(''.join(data['image/png']))
    if len(png) < SMALL: return 0
    smaller, error = with_palette(png, widest)
    if len(smaller) > WORTH * len(png) or error > ERROR: return 0
    data['image/png'] = base64.b64encode(smaller).decode()
    return len(png) - len(smaller)


@call_parse
def main(
    notebooks: str = '',  # names below nbs/, without the ending, comma-separated
    widest: int = 1400,  # pixels; wider pictures are drawn smaller
):
    "Make stored pictures smaller"
    paths = [NBS / f'{name}.ipynb' for name in notebooks.split(',')] if notebooks else nbglob(NBS, as_path=True)
    for path in paths:
        notebook = json.loads(path.read_text(encoding='utf-8'))
        saved = sum(shrink(output, widest) for cell in notebook['cells'] for output in cell.get('outputs', []))
        if not saved: continue
        text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + '\n'
        path.write_text(text, encoding='utf-8')
        print(f'{path.stem}: {saved // 1000} KB less, {path.stat().st_size // 1000} KB')
