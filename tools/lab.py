"""Open notebooks in a real JupyterLab, run them and move their sliders: python tools/lab.py --notebooks idea,20_memory

Each notebook is copied into an empty folder, where nobody trusts it, and opened in headless Chromium. It must show its
stored pictures; then all cells run, none may end in an error, and of each widget every slider and every menu is moved:
its picture must change, keep its height and stay where it is. Without `--notebooks`, those that have widgets, and the
quickstart. Screenshots go to the folder `--shots`, for somebody to look at.

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
from nbdev.doclinks import nbglob
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / 'nbs'
CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
SETTINGS = {
    '@jupyterlab/notebook-extension/tracker': {'windowingMode': 'none'},  # draw all cells, not only those on the screen
    '@jupyterlab/apputils-extension/notification': {'fetchNews': 'false'},
}
COUNT = '() => document.querySelectorAll(".jp-OutputArea-output img").length'
BUSY = '() => [...document.querySelectorAll(".jp-InputPrompt")].some(prompt => prompt.textContent.includes("*"))'
ERROR = "[data-mime-type='application/vnd.jupyter.error']"
NEXT_ENTRY = """menu => {
    menu.selectedIndex = (menu.selectedIndex + 1) % menu.options.length;
    menu.dispatchEvent(new Event("change", {bubbles: true}));
}"""
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


def with_widgets():
    "The names of the notebooks that make widgets, and the quickstart"
    names = [path.relative_to(NBS).with_suffix('').as_posix() for path in nbglob(NBS, as_path=True) if widgets(path)]
    return ['quickstart', *names]


def wait_until(page, condition, seconds):
    "Whether a condition in the page comes true in time"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition(): return True
        page.wait_for_timeout(250)
    return False


def turn(control):
    "Move a slider three steps to the right, or to the left where it stands at its end; or a menu to its next entry"
    if control.evaluate('element => element.tagName') == 'SELECT':
        control.evaluate(NEXT_ENTRY)
        return
    control.focus()
    at_end = control.get_attribute('aria-valuenow') == control.get_attribute('aria-valuemax')
    for _ in range(3): control.press('ArrowLeft' if at_end else 'ArrowRight')


def move(page, box, shots, name):
    "Move all controls of a widget, one after the other; yields what is wrong with that"
    picture = box.locator('img.widget-image')
    controls = box.locator('.noUi-handle, select')
    picture.scroll_into_view_if_needed()
    page.screenshot(path=shots / f'{name}-before.png')
    for i in range(controls.count()):
        before, place = picture.get_attribute('src'), picture.bounding_box()
        start = time.monotonic()
        turn(controls.nth(i))
        if not wait_until(page, lambda: picture.get_attribute('src') != before, 20):
            yield f'{name}: control {i + 1} leaves the picture as it is'
            continue
        print(f'{name}: control {i + 1} draws its picture within {time.monotonic() - start:.1f} s', flush=True)
        page.wait_for_timeout(1500)  # further steps are drawn
        if picture.bounding_box() != place: yield f'{name}: control {i + 1} moves the picture, or changes its size'
    page.screenshot(path=shots / f'{name}-after.png')


def visit(page, address, path, shots, limit):
    "Open, look, run and move; yields what is wrong"
    name = path.stem
    page.goto(f'{address}/lab/workspaces/{name}/tree/{path.name}')  # a workspace with no other notebook
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
    for i in range(found): yield from move(page, boxes.nth(i), shots, f'{name}-{i}')
    shown = page.locator('.jp-OutputArea-output').last
    shown.scroll_into_view_if_needed()
    page.screenshot(path=shots / f'{name}-end.png')


@call_parse
def main(
    notebooks: str = '',  # names below nbs/, without the ending, comma-separated
    shots: str = 'shots',  # folder for screenshots
    limit: int = 600,  # seconds that a notebook may run
):
    "Open notebooks in JupyterLab, run them, move their sliders"
    shots = Path(shots)
    shots.mkdir(parents=True, exist_ok=True)
    chosen = notebooks.split(',') if notebooks else with_widgets()
    problems = []
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home, sync_playwright() as browser:
        copies = [Path(shutil.copy(NBS / f'{name}.ipynb', folder)) for name in chosen]
        chromium = browser.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        with jupyter(Path(folder), Path(home)) as address:
            for path in copies:
                page = chromium.new_page(viewport={'width': 1280, 'height': 1000})
                problems += visit(page, address, path, shots, limit)
                page.close()
        chromium.close()
    if problems: sys.exit('\n'.join(problems))
