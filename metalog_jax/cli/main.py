"""How every program begins and ends: its name, its flags, exit codes, errors.

0 done; 1 failed, with one clear line on stderr (an internal fault is called one and
shows its traceback); 2 wrong flags; 130 interrupted. A reader of the output that goes
away (`| head`) ends the program quietly. A program may return another code: 3 is
`scan --fail-on-findings` that found some.
"""

import importlib
import os
import select
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from absl import flags, logging

from metalog_jax import clean, errors
from metalog_jax.cli import options

PROGRAMS = {
  'scan': 'what stands out in logs: no labels, no training',
  'diff': 'what logs have that good ones do not',
  'baseline': 'adds good logs to a saved baseline',
  'feedback': 'says of a finding that it is normal, an anomaly, or to be quiet about',
  'demo': 'the main job on simulated logs, into runs/demo',
  'simulate': 'writes raw logs of a simulated system',
  'prepare': 'raw logs, or session files, to a System folder',
  'train': 'trains a detector on source systems and a few labels of a target',
  'adapt': 'adapts a trained model to a system by a few labels',
  'detect': 'judges raw logs with a trained model',
  'export': 'writes a trained model as a folder that needs not this library',
  'report': 'writes the report of a run, or of several beside each other',
}
USAGE = 'metalog NAME [--flags]; metalog NAME --help shows them\n\n' + '\n'.join(
  f'  {name:9} {what}' for name, what in PROGRAMS.items()
)


def main(arguments: Sequence[str] | None = None) -> int:
  """`metalog NAME ...`: runs a program; returns its exit code, or ends the process
  with it where it is the command itself (no arguments) and could not end."""
  if arguments is None:
    code = main(sys.argv[1:])
    leave(code)
    return code
  name, *rest = arguments or ['--help']
  if name in ('help', *options.HELP):
    return finish('metalog', lambda: print(USAGE))
  if name not in PROGRAMS:
    unknown = errors.unknown_choice('NAME', name, PROGRAMS)
    return _fail('metalog', str(unknown), 2)
  program = importlib.import_module(f'metalog_jax.cli.{name}')
  return run(program, f'metalog {name}', rest)


def run(program: Any, name: str, arguments: Sequence[str]) -> int:
  """Runs a program: FLAGS and `main(values, rest)`; returns its exit code."""
  logging.use_absl_handler()
  logging.set_verbosity(logging.WARNING)  # checkpointing tells every step otherwise
  flags.FLAGS.mark_as_parsed()  # libraries may define and read some
  try:
    arguments = options.expand(arguments)
    if set(options.HELP) & set(arguments):
      text = options.help_text(program, name, arguments)
      return finish(name, lambda: print(text))
    values, rest = options.parse(program, name, arguments)
  except (flags.Error, errors.UserError) as error:
    return _fail(name, f'{error}\n{name} --help shows the flags.', 2)
  if not values.debug:
    _quiet_threads()
  return finish(name, lambda: program.main(values, rest), values.debug)


def finish(name: str, work: Callable[[], Any], debug: bool = False) -> int:
  """Does the work; returns the exit code, and says on stderr what went wrong."""
  try:
    code = work()
    if sys.stdout:
      sys.stdout.flush()
    return code or 0
  except KeyboardInterrupt:
    return _fail(name, 'interrupted', 130)
  except Exception as error:
    quiet = isinstance(error, BrokenPipeError) and not _has_reader(sys.stdout)
    _give_up_output()
    if quiet:
      return 0
    is_users = isinstance(error, errors.UserError | OSError | MemoryError)
    if debug or not is_users:
      traceback.print_exc()
    message = str(error)
    if isinstance(error, MemoryError):
      why = f' ({error})' if message else ''
      message = f'out of memory{why}: raise the limit (ulimit -v), or free some'
    if not is_users:
      message = f'internal fault, please report it: {type(error).__name__}: {error}'
    return _fail(name, message, 1)


def _quiet_threads() -> None:
  """Has threads of Orbax print no tracebacks: what fails there is raised here as well.

  Orbax logs it, by absl as we do. Where it has failed and closed its event loop,
  TensorStore says so for each array that it is done with later, as an error that C++
  cannot raise.
  """
  logging.get_absl_logger().addFilter(_is_ours)
  if sys.unraisablehook is sys.__unraisablehook__:
    sys.unraisablehook = _show_unraisable


def _is_ours(record: Any) -> bool:
  return f'{os.sep}orbax{os.sep}' not in record.pathname


def _show_unraisable(unraisable: Any) -> None:
  if str(unraisable.exc_value) != 'Event loop is closed':
    sys.__unraisablehook__(unraisable)


def leave(code: int) -> None:
  """Ends a process that failed and would wait for ever for threads of Orbax: where an
  array cannot be written, its thread may wait for an answer that never comes."""
  names = (type(thread).__module__ for thread in threading.enumerate())
  if code and any(name.startswith('orbax') for name in names):
    for stream in filter(None, (sys.stdout, sys.stderr)):
      stream.flush()
    os._exit(code)


def say(text: Any) -> None:
  """Prints text that may hold pieces of logs, without what would drive a terminal."""
  print(clean.printable(str(text)), flush=True)


def _fail(name: str, message: str, code: int) -> int:
  print(f'{name}: {clean.printable(message)}', file=sys.stderr)
  return code


def _has_reader(output: TextIO) -> bool:
  """Whether there still is one at the other end of the pipe."""
  poll = select.poll()
  poll.register(output.fileno(), 0)
  return not any(event & select.POLLERR for _, event in poll.poll(0))


def _give_up_output() -> None:
  """Drops what cannot be written, or Python would say so once more at its end."""
  try:
    if sys.stdout:
      sys.stdout.flush()
  except OSError:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
