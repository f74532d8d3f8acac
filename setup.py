"Everything this file knows is written in settings.ini"
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

config = ConfigParser(delimiters=['='])
config.read('settings.ini', encoding='utf-8')
cfg = config['DEFAULT']


def absolute(readme):
    "The README with links that also work away from the repository, on PyPI"
    home = f"{cfg['git_url']}/%s/{cfg['branch']}/"
    readme = re.sub(r'(!\[[^\]]*\]\()(?![a-z]+:|#)', r'\1' + home % 'raw', readme)
    return re.sub(r'((?<!!)\[[^\]]*\]\()(?![a-z]+:|#)', r'\1' + home % 'blob', readme)


def extras():
    "`hub_requirements = ...` in settings.ini becomes the extra `hub`, and so on"
    return {key.removesuffix('_requirements'): cfg[key].split() for key in cfg if key.endswith('_requirements')}


setup(
    name=cfg['lib_name'],
    version=cfg['version'],
    description=cfg['description'],
    long_description=absolute(Path('README.md').read_text(encoding='utf-8')),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    author=cfg['author'],
    author_email=cfg['author_email'],
    keywords=cfg['keywords'].split(),
    url=cfg['git_url'],
    project_urls={'Documentation': cfg['doc_host'] + cfg['doc_baseurl']},
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Developers',
        'Intended Audience :: Science/Research',
        'Natural Language :: English',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    python_requires='>=' + cfg['min_python'],
    packages=find_packages(include=[cfg['lib_path'], cfg['lib_path'] + '.*']),
    include_package_data=False,  # package_data below says what belongs to it
    package_data={cfg['lib_name']: ['digits_backbone/**', 'classes/*.txt', 'help/*.txt', 'published.csv', 'py.typed']},
    install_requires=cfg['requirements'].split(),
    extras_require=extras(),
    entry_points={
        'console_scripts': cfg['console_scripts'].split(),
        'nbdev': [f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"],
    },
    zip_safe=False,
)
