r"""`metalog report`, and of sweep folders the paper's tables with ours in them.

  python -m experiments.report runs/demo
  python -m experiments.report sweeps/table1 sweeps/table2 --out=sweeps
  python -m experiments.report sweeps/table1 --print=brief

report.html (one file, figures inside), report.md, results.csv and figures/*.png.
"""

from experiments import main as program
from metalog_jax import lazy
from metalog_jax.cli import report as runs_report

sweep_folder = lazy.module('experiments.sweeps.sweep_folder')
sweep_report = lazy.module('experiments.sweeps.report')

OF_SWEEPS = ('brief', 'paired')
FLAGS = tuple(
  flag._replace(choices=(*flag.choices, *OF_SWEEPS)) if flag.name == 'print' else flag
  for flag in runs_report.FLAGS
)
TAKES_ARGUMENTS = True
check = runs_report.check


def main(values, rest: list[str]) -> None:
  """Writes the report, or prints the table that was asked for."""
  is_sweep = any(map(sweep_folder.is_sweep, values.runs + rest))
  is_sweep = is_sweep or values.print in OF_SWEEPS
  runs_report.main(values, rest, *([sweep_report] if is_sweep else []))


if __name__ == '__main__':
  program.run()
