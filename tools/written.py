"A file that is made of others: written, or compared with what would be written."
import sys


def write_or_check(path, text, check, stale):
    "Write a file; with `check` only compare it, and leave with a message where it is not what would be written."
    if not check: path.write_text(text, encoding='utf-8')
    elif not path.exists() or path.read_text(encoding='utf-8') != text: sys.exit(stale)
