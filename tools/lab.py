"""Open notebooks in a real JupyterLab, run them and move their sliders: python tools/lab.py --notebooks idea,quickstart

Each notebook is copied into an empty folder, where nobody trusts it, and opened in headless Chromium. It must show its
stored pictures; then all cells run, none may end in an error, and of each widget the first slider is moved: its picture
must change and keep its height. Screenshots go to the folder `--shots`, for somebody to look at.

Needs two things that the project does not, and so no part of CI: `apt-get install chromium`, `pip install playwright`.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from fastcore.script import call_parse
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
SETTINGS = {
    '@jupyterlab/notebook-extension/tracker': {'windowingMode': 'none'},  # draw all cells, not only those on the screen
    '@jupyterlab/apputils-extension/notification': {'fetchNews': 'false'},
}
COUNT = '() => document.querySelectorAll(".jp-OutputArea-output img").length'
BUSY = '() => [...document.querySelectorAll(".jp-InputPrompt")].some(prompt => prompt.textContent.includes("*"))'
ERROR = "[data-mime-type='application/vnd.jupyter.error']"
RUN_ALL = '() => window.jupyterapp.commands.execute("notebook:run-all-cells")'


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def settings(home):
    "Folders of a JupyterLab that nobody has used"
    for name, values in SETTINGS.items():
        path = home / 'settings' / f'{name}.jupyterlab-settings'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    return {'JUPYTERLAB_SETTINGS_DIR': str(home / 'settings'), 'JUPYTER_DATA_DIR': str(home / 'data')}


@contextmanager
def jupyter(folder, home):
    "The address of a JupyterLab over a folder; it trusts nothing, since its home is new"
    port = free_port()
    options = [f'--ServerApp.root_dir={folder}', f'--port={port}', '--no-browser', '--allow-root',
               '--expose-app-in-browser', '--IdentityProvider.token=', '--ServerApp.password=']
    environment = os.environ | settings(home) | {'PYTHONPATH': str(ROOT)}
    server = subprocess.Popen(['jupyter-lab', *options], env=environment, cwd=folder, stderr=subprocess.DEVNULL)
    address = f'http://127.0.0.1:{port}'
    try:
        for _ in range(60):
            try:
                urlopen(f'{address}/api', timeout=2)
                break
            except OSError: time.sleep(1)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def stored_pictures(path):
    "How many pictures a notebook holds"
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    outputs = [out.get('data', {}) for cell in cells for out in cell.get('outputs', [])]
    return sum('image/png' in data or '<img' in ''.join(data.get('text/html', '')) for data in outputs)


def widgets(path):
    "How many pictures with controls a notebook makes"
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    return sum('= live(' in ''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code')


def wait_until(page, condition, seconds):
    "Whether a condition in the page comes true in time"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition(): return True
        page.wait_for_timeout(250)
    return False


def move(page, box, shots, name):
    "Move the first slider of a widget; what is wrong with that"
    picture = box.locator('img.widget-image')
    picture.scroll_into_view_if_needed()
    before, height = picture.get_attribute('src'), picture.bounding_box()['height']
    page.screenshot(path=shots / f'{name}-before.png')
    handle = box.locator('.noUi-handle').first
    handle.focus()
    for _ in range(3): handle.press('ArrowRight')
    if not wait_until(page, lambda: picture.get_attribute('src') != before, 20): return f'{name}: the picture stays'
    page.wait_for_timeout(1500)
    page.screenshot(path=shots / f'{name}-after.png')
    if picture.bounding_box()['height'] != height: return f'{name}: the picture changes its height'
    return ''


def visit(page, address, path, shots, limit):
    "Open, look, run and move; yields what is wrong"
    name = path.stem
    page.goto(f'{address}/lab/tree/{path.name}')
    page.wait_for_selector('.jp-NotebookPanel .jp-Cell', timeout=90_000)
    wanted = stored_pictures(path)
    if not wait_until(page, lambda: page.evaluate(COUNT) >= wanted, 30):
        yield f'{name}: {page.evaluate(COUNT)} of {wanted} stored pictures are shown before anything runs'
    page.screenshot(path=shots / f'{name}-opened.png')
    idle = page.locator('#jp-main-statusbar', has_text='Idle')
    idle.wait_for(timeout=90_000)  # a kernel that is not ready forgets what it is asked
    page.evaluate(RUN_ALL)
    if not wait_until(page, lambda: not page.evaluate(BUSY), limit): yield f'{name}: still running after {limit} s'
    for error in page.locator(ERROR).all_inner_texts(): yield f'{name}: {error.strip().splitlines()[-1]}'
    boxes = page.locator('.widget-vbox:has(> img.widget-image)')
    found = boxes.count()
    print(f'{name}: {wanted} stored pictures, {found} widgets', flush=True)
    if found != widgets(path): yield f'{name}: {found} of {widgets(path)} widgets are shown'
    for i in range(found):
        if wrong := move(page, boxes.nth(i), shots, f'{name}-{i}'): yield wrong
    shown = page.locator('.jp-OutputArea-output').last
    shown.scroll_into_view_if_needed()
    page.screenshot(path=shots / f'{name}-end.png')


@call_parse
def main(
    notebooks: str = 'idea,quickstart',  # names below nbs/, without the ending, comma-separated
    shots: str = 'shots',  # folder for screenshots
    limit: int = 600,  # seconds that a notebook may run
):
    "Open notebooks in JupyterLab, run them, move their sliders"
    shots = Path(shots)
    shots.mkdir(parents=True, exist_ok=True)
    problems = []
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home, sync_playwright() as browser:
        copies = [Path(shutil.copy(ROOT / 'nbs' / f'{name}.ipynb', folder)) for name in notebooks.split(',')]
        chromium = browser.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        with jupyter(Path(folder), Path(home)) as address:
            for path in copies:
                page = chromium.new_page(viewport={'width': 1280, 'height': 1000})
                problems += visit(page, address, path, shots, limit)
                page.close()
        chromium.close()
    if problems: sys.exit('\n'.join(problems))
