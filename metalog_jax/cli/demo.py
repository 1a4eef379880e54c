"""The main job on SIMULATED raw logs: learn from a block store's labelled logs to find
anomalies in a supercomputer's, with 1 % of its anomaly labels. Takes a minute or two.
"""

import pathlib
import shlex
import shutil
from typing import Any

from metalog_jax.cli import main as programs
from metalog_jax.cli import options, prepare, simulate, train
from metalog_jax.cli.options import Flag

FLAGS = (Flag('out', 'runs/demo', 'folder to write into', required=True),)


def main(values: Any, rest: list[str]) -> None:
  """Simulates, prepares, trains and reports, as one would by hand."""
  out = pathlib.Path(values.out)
  logs, systems, run = out / 'logs', out / 'systems', out / 'train'
  store, computer = logs / 'blockstore', logs / 'supercomputer'
  for program, *arguments in (
    (simulate, '--system=blockstore', '--sessions=4000', f'--out={store}'),
    (simulate, '--system=supercomputer', '--sessions=8000', f'--out={computer}'),
    (prepare, '--system=hdfs', f'--logs={store}/blockstore.log',
     f'--labels={store}/anomaly_label.csv', f'--out={systems}/blockstore'),
    (prepare, '--system=bgl', f'--logs={computer}/supercomputer.log',
     f'--out={systems}/supercomputer'),
    (train, '--flagfile=demo', f'--source={systems}/blockstore',
     f'--target={systems}/supercomputer', f'--workdir={run}', '--overwrite'),
  ):  # fmt: skip
    name = program.__name__.rpartition('.')[2]
    programs.say(f'$ metalog {name} {shlex.join(arguments)}')
    program.main(*options.parse(program, name, options.expand(arguments)))
  for name in ('report.html', 'report.md'):
    shutil.copyfile(run / name, out / name)
  programs.say(f'report: {out}/report.html')
