r"""Writes the report of a run, or of several runs beside each other.

  python -m experiments.report runs/demo
  python -m experiments.report --runs=runs/a,runs/b --out=reports/a_and_b
  python -m experiments.report --runs=runs/a,runs/b --print=markdown
  python -m experiments.report sweeps/table1 sweeps/table2 --out=sweeps

report.html (one file, figures inside), report.md, results.csv and figures/*.png.
Runs that differ in their seed alone become one row: mean and standard deviation.
Folders of `sweep` become the paper's tables and figures, with ours beside them.
"""

from absl import flags

from experiments import main as program
from metalog_jax import errors

FLAGS = flags.FLAGS
flags.DEFINE_list('runs', [], 'run or sweep folders; may also be given without --runs')
flags.DEFINE_string('out', None, 'folder to write into; one run: its own folder')
flags.DEFINE_enum(
  'print',
  None,
  ['markdown', 'brief', 'csv', 'console'],
  'print this table and write no file; brief (of sweeps) is what the README holds',
)
flags.DEFINE_list('kinds', ['all', 'distinct', 'unseen'], 'rows of --print=markdown')


def main(arguments: list[str]) -> None:
  """Writes the report, or prints the table that was asked for."""
  from metalog_jax.report import report, results

  runs = FLAGS.runs + arguments
  if unknown := set(FLAGS.kinds) - set(results.KINDS):
    raise errors.UserError(
      f'--kinds={",".join(sorted(unknown))}: not one of all,distinct,unseen'
    )
  if FLAGS.print:
    print(report.text(runs, FLAGS.print, FLAGS.kinds), end='')
    return
  out = FLAGS.out or (runs[0] if len(runs) == 1 else '')
  if len(runs) > 1 and not out:
    raise errors.UserError('several runs need a folder for their report: give --out')
  print(report.write(runs, out))


if __name__ == '__main__':
  program.run(main, with_arguments=True)
