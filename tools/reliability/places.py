"""Write a product into odd places: python tools/reliability/places.py

A folder that holds only a hidden file, a link, a mounted disk (needs root), a place under a file, a folder that belongs
to somebody else. A stage must write its product there, and find it when it is asked again, or refuse before any work.
"""
import os
import subprocess
import sys

from common import Counter, contents, difference, in_child, stage_parser, still_clock, try_stages
from kill import counted
from stages import STAGES, WORK


def hidden(folder):
    (folder/'out').mkdir()
    (folder/'out/.gitkeep').write_text('')


def empty(folder): (folder/'out').mkdir()


def link(folder):
    (folder/'elsewhere').mkdir()
    (folder/'out').symlink_to(folder/'elsewhere/real')


def link_to_folder(folder):
    (folder/'elsewhere').mkdir()
    (folder/'out').symlink_to(folder/'elsewhere')


def mount(folder):
    (folder/'out').mkdir()
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=200m', 'tmpfs', folder/'out'], check=True)


def file(folder): (folder/'out').write_text('mine')


def photos(folder):
    (folder/'out').mkdir()
    (folder/'out/photo.jpg').write_text('mine')


WRITTEN = [hidden, empty, link, link_to_folder] + [mount] * (os.geteuid() == 0)
REFUSED = [file, photos]
SHARED = ['distill']  # a run's folder may hold more than the run


def run(stage, inputs, folder, counter):
    "A stage in a folder; its exit status and last line."
    def work():
        still_clock()
        counted(stage, [counter] * len(WORK[stage]))
        STAGES[stage](inputs, folder/'out')
    log = folder.with_suffix('.log')
    status = in_child(work, log, 300)
    return status, (log.read_text().strip().splitlines() or [''])[-1]


def visible(folder):
    return {name: data for name, data in contents(folder).items() if not name.startswith('.')}


def at(stage, inputs, folder, place, wanted):
    "What went wrong in one place."
    folder.mkdir()
    place(folder)
    counter = Counter()
    try:
        status, line = run(stage, inputs, folder, counter)
        if place is photos and stage in SHARED:
            return '' if status == 0 and (folder/'out/photo.jpg').exists() else f'ended with {status}: {line}'
        if place in REFUSED:
            if status == 0 or 'Error' not in line: return 'was not refused'
            return f'was refused after work: {line}' if counter.value else ''
        if status: return f'ended with {status}: {line}'
        if found := difference(visible(folder/'out'), wanted): return f'another product: {found}'
        counter.value = 0
        status, line = run(stage, inputs, folder, counter)
        if status: return f'the second call ended with {status}: {line}'
        return 'the second call worked again' if counter.value else ''
    finally:
        if place is mount: subprocess.run(['umount', '-l', folder/'out'], check=True)


def places(stage, inputs, root):
    "All places; a record of what came of them."
    (root/'whole').mkdir()
    run(stage, inputs, root/'whole', Counter())
    wanted = visible(root/'whole/out')
    told = {place.__name__: at(stage, inputs, root/place.__name__, place, wanted) for place in WRITTEN + REFUSED}
    return dict(stage=stage, places=len(told), failed={name: what for name, what in told.items() if what})


def main():
    asked = stage_parser(__doc__, STAGES).parse_args()
    return try_stages(asked, lambda *where: [places(*where)])


if __name__ == '__main__': sys.exit(main())
