"The oldest versions that settings.ini promises, as constraints for pip: python tools/floor.py > floor.txt"
import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def floor(requirement):
    "`torch>=2.6` becomes `torch==2.6.*`; a requirement without a lower bound gives nothing."
    match = re.match(r'([A-Za-z0-9_-]+)>=([0-9.]+)', requirement)
    return f'{match[1]}=={match[2]}.*' if match else None


def main():
    config = ConfigParser(delimiters=['='])
    config.read(ROOT/'settings.ini', encoding='utf-8')
    floors = map(floor, config['DEFAULT']['requirements'].split())
    print('\n'.join(filter(None, floors)))


if __name__ == '__main__': main()
