r"""What System folders are like, real beside simulated: the table of docs/data.md.

  python -m experiments.system_statistics --systems=systems/hdfs,systems/blockstore

How sessions repeat, how anomalies show, how health drifts, and what simple rules reach
with 30 % of the normals and 10 anomalies labelled; means over seeds.
"""

from typing import Any

from experiments import main as program
from metalog_jax.cli.options import Flag

FLAGS = (
  Flag('systems', [], 'System folders, one column each', required=True),
  Flag('seeds', 3, 'how many, from 0', low=1),
)  # fmt: skip


def main(values: Any, rest: list[str]) -> None:
  """Prints the table."""
  from experiments.studies import system_statistics  # scikit-learn: not for --help

  del rest
  print(system_statistics.table(values.systems, values.seeds))


if __name__ == '__main__':
  program.run()
