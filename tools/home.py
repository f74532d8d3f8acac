"""Stamp the public home into every place that names it: python tools/home.py [--check]

The home is `user`, `repo`, `branch` and `doc_host` in settings.ini. `nbs/index.ipynb` shows what was stamped last: its
first Colab badge names user, repo and branch, its [Documentation] link the site. Stamping replaces these everywhere.
"""
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from fastcore.script import call_parse
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.quarto import refresh_quarto_yml

ROOT = Path(__file__).resolve().parent.parent
COLAB = 'colab.research.google.com/github'
PAGES = ['_quarto.yml', 'CONTRIBUTING.md', 'CHANGELOG.md', 'nbs/nbdev.yml', 'README.md']


class Home(NamedTuple):
    name: str    # user/repo on GitHub
    branch: str  # branch that badges and links point at
    site: str    # address of the documentation

    @property
    def colab(self): return f'https://{COLAB}/{self.name}/blob/{self.branch}'

    def addresses(self):
        "Every address made of the home; the general ones last"
        return [self.site, self.colab, f'https://raw.githubusercontent.com/{self.name}/{self.branch}',
                *(f'https://github.com/{self.name}/{kind}/{self.branch}' for kind in ('blob', 'raw', 'tree', 'edit')),
                f'https://github.com/{self.name}']


def wanted():
    "The home that settings.ini names"
    get_config.cache_clear()
    cfg = get_config(path=ROOT)
    return Home(f'{cfg.user}/{cfg.repo}', cfg.branch, cfg.doc_host + cfg.doc_baseurl)


def stamped():
    "The home that nbs/index.ipynb shows"
    text = (ROOT / 'nbs/index.ipynb').read_text(encoding='utf-8')
    badge = re.search(COLAB + r'/([\w.-]+/[\w.-]+)/blob/(.+?)/nbs/', text)
    site = re.search(r'\[Documentation\]\((.+?)/?\)', text)
    if not (badge and site): sys.exit('nbs/index.ipynb needs a Colab badge and a [Documentation](...) link')
    return Home(badge[1], badge[2], site[1])


def notebooks(): return sorted(nbglob(ROOT / 'nbs', as_path=True))


def configure(**values):
    "Write the given values into settings.ini, leaving the rest of the file as it is"
    path = ROOT / 'settings.ini'
    text = path.read_text(encoding='utf-8')
    for key, value in values.items():
        if value: text = re.sub(rf'^{key} *=.*$', lambda _: f'{key} = {value}', text, flags=re.MULTILINE)
    path.write_text(text, encoding='utf-8')


def restamp(text, old, new):
    "`text` with every address of the home `old` replaced by that of `new`, in one pass"
    swap = dict(zip(old.addresses(), new.addresses()))
    found = '|'.join(map(re.escape, swap))
    return re.sub(rf'(?:{found})(?![\w-])', lambda m: swap[m[0]], text)


def write(new):
    "Stamp `new` into notebooks and pages, then make again what is made from them"
    old = stamped()
    for path in notebooks() + [ROOT / page for page in PAGES if (ROOT / page).exists()]:
        text = path.read_text(encoding='utf-8')
        path.write_text(restamp(text, old, new), encoding='utf-8')
    refresh_quarto_yml()
    subprocess.run(['nbdev_export'], cwd=ROOT, check=True)
    subprocess.run([sys.executable, 'tools/readme.py'], cwd=ROOT, check=True)


def wrong_addresses(text, home):
    "Badges and install lines in `text` that point elsewhere than `home`, or at a notebook that does not exist"
    badges = re.findall(rf'https://{COLAB}/[^)\s"\\]+', text)
    bad = [b for b in badges if not b.startswith(f'{home.colab}/nbs/') or not (ROOT / b[len(home.colab) + 1:]).exists()]
    installs = re.findall(r'git\+(https://[\w./-]+)', text)
    return bad + [i for i in installs if i.removesuffix('.git') != f'https://github.com/{home.name}']


def problems(home):
    "Sentences naming every place that disagrees with `home`"
    index = (ROOT / 'nbs/index.ipynb').read_text(encoding='utf-8')
    if stamped() != home: yield f'nbs/index.ipynb shows {stamped()}, settings.ini says {home}'
    for path in notebooks():
        text, name = path.read_text(encoding='utf-8'), path.relative_to(ROOT).as_posix()
        for address in wrong_addresses(text, home): yield f'{name}: {address}'
        badge = f'{home.colab}/{name}'
        if name == 'nbs/index.ipynb' or '"cell_type": "code"' not in text: continue  # nothing to run
        if badge not in text: yield f'{name}: no Colab badge that opens it'
        if badge not in index: yield f'{name}: its Colab badge is missing in nbs/index.ipynb'
        if 'git+https://' not in text: yield f'{name}: no cell that installs the package in Colab'
    for page in PAGES:
        for address in wrong_addresses((ROOT / page).read_text(encoding='utf-8'), home): yield f'{page}: {address}'
    yml = (ROOT / 'nbs/nbdev.yml').read_text(encoding='utf-8')
    if home.site not in yml or home.name not in yml or f'repo-branch: {home.branch}\n' not in yml:
        yield 'nbs/nbdev.yml does not say what settings.ini says'
    if f'https://github.com/{home.name}\n' not in (ROOT / '_quarto.yml').read_text(encoding='utf-8'):
        yield '_quarto.yml: the GitHub button points elsewhere'


@call_parse
def main(
    user: str = None,      # owner of the repository on GitHub
    repo: str = None,      # name of the repository
    branch: str = None,    # branch that badges and links point at
    doc_host: str = None,  # host of the documentation site, e.g. https://docs.example.org
    check: bool = False,   # only compare, write nothing
):
    "Write the given values into settings.ini and stamp the home it then names, or check that all places agree with it"
    if not check:
        configure(user=user, repo=repo, branch=branch, doc_host=doc_host)
        write(wanted())
    if bad := list(problems(wanted())): sys.exit('\n'.join(bad))
