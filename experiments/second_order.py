r"""When exact meta-gradients pay: the study of docs/results_second_order.md.

  python -m experiments.sweep --table=second_order --out=studies --side_by_side \
    -- --vectors=glove.6B.100d.txt
  python -m experiments.second_order --sweep=studies/second_order --out=studies/page

Trials that are not finished are named and left out; the same two commands go on. With
--page the tables take the place of those between the page's two marks.
"""

import pathlib
from typing import Any

from experiments import main as program
from metalog_jax.cli.options import Flag

FLAGS = (
  Flag('sweep', None, 'folder of --table=second_order', required=True),
  Flag('out', None, 'folder for second_order.md, .csv and .png', required=True),
  Flag('page', None, 'Markdown page to renew; the figure goes into images/ beside it'),
)


def main(values: Any, rest: list[str]) -> None:
  """Compares the runs that there are."""
  from experiments.studies import second_order  # scipy: not for --help

  del rest
  page = pathlib.Path(values.page) if values.page else None
  print(second_order.write(values.sweep, pathlib.Path(values.out), page))


if __name__ == '__main__':
  program.run()
