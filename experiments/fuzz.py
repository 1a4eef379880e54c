"""Feeds damaged inputs to everything that reads: nothing may crash, hang or be lost.

  python -m experiments.fuzz --target=readers --seconds=60 --seed=0
  python -m experiments.fuzz --target=readers --seed=0 --case=1234

Inputs are valid ones of our own making with bytes, lines and values changed; a seed
and a number give the same input again. An answer is a result, or an error of the user
that says what is wrong. A finding is any other exception, a process that dies, takes
too long or too much memory, and a line that is in no record and not counted.
"""

import faulthandler
import importlib
import multiprocessing
import pathlib
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing import connection
from typing import Any, NamedTuple

from experiments import main as program
from metalog_jax import atomic, clean, errors
from metalog_jax.cli.options import MOST_COUNT, MOST_SEED, Flag
from metalog_jax.cli.peers import die_with_parent

TEXTS = ('readers', 'scan', 'prepare', 'sessions', 'labels', 'vectors', 'feedback',
         'masks')  # fmt: skip
FOLDERS = ('system', 'baseline', 'state', 'run', 'encoder', 'flags', 'webhook')
FLAGS = (
  Flag('target', 'readers', 'what is fed', (*TEXTS, *FOLDERS)),
  Flag('seconds', 60.0, 'how long', low=0),
  Flag('cases', MOST_COUNT, 'how many inputs at most', low=1),
  Flag('seed', 0, 'of all inputs', low=0, high=MOST_SEED),
  Flag('case', None, 'one input alone, whose files are kept in --out', kind=int, low=0),
  Flag('limit', 30.0, 'seconds that one input may take', low=1),
  Flag('memory', 3.0, 'GiB that a process may reach', low=0),
  Flag('json', '', 'file for counts and findings'),
  Flag('out', '', 'folder for the files of --case; none: shown and removed'),
)
_START = 120.0  # seconds in which a process has begun


class Case(NamedTuple):
  """What became of an input."""

  number: int
  lines: int = 0
  files: int = 0
  refused: bool = False
  finding: str = ''  # what is wrong and where; '' for nothing
  trace: str = ''


def check(values: Any) -> None:
  """Refuses files that cannot be written."""
  program.check_outputs(values, 'json')


def main(values: Any, rest: list[str]) -> int:
  """Feeds, prints and writes; 1 where something was found."""
  del rest
  if values.case is not None:
    folder = pathlib.Path(values.out or tempfile.mkdtemp())
    case = run(target(values.target), values.seed, values.case, folder)
    print(clean.printable(f'{case}\n{case.trace}'))
    if not values.out:
      shutil.rmtree(folder)
    return int(bool(case.finding))
  report = campaign(values)
  findings = report['findings']
  print(
    f'{values.target}, seed {values.seed}: {report["inputs"]:,} inputs, '
    f'{report["files"]:,} files, {report["lines"]:,} lines, {report["refused"]:,} '
    f'refused with a message, {len(findings)} findings; {report["seconds"]} s'
  )
  for name, finding in findings.items():
    again = f'--target={values.target} --seed={values.seed} --case={finding["case"]}'
    text = f'\n{finding["times"]} x {name}\n  first: {again}\n{finding["trace"]}'
    print(clean.printable(text))
  if values.json:
    atomic.write_json(values.json, report)
  return int(bool(findings))


def campaign(values: Any) -> dict[str, Any]:
  """Feeds inputs to processes of their own until the time is over."""
  begin = time.monotonic()
  total = dict.fromkeys(('inputs', 'files', 'lines', 'refused'), 0)
  findings: dict[str, dict[str, Any]] = {}
  number = 0
  while number < values.cases and time.monotonic() - begin < values.seconds:
    left = values.seconds - (time.monotonic() - begin)
    for case in _process(values, number, left):
      number = case.number + 1
      total['inputs'] += 1
      total['files'] += case.files
      total['lines'] += case.lines
      total['refused'] += case.refused
      if case.finding:
        new = {'case': case.number, 'times': 0, 'trace': case.trace}
        findings.setdefault(case.finding, new)['times'] += 1
  seconds = round(time.monotonic() - begin, 1)
  return {'target': values.target, 'seed': values.seed, **total, 'seconds': seconds,
          'findings': findings}  # fmt: skip


def _process(values: Any, first: int, seconds: float):
  """Yields cases of one process, until it has died or the time is over."""
  context = multiprocessing.get_context('spawn')
  ours, theirs = context.Pipe()
  log = tempfile.TemporaryDirectory(prefix='metalog_fuzz_')
  trace = pathlib.Path(log.name) / 'trace'
  chosen = values.target, values.seed, first, values.cases, seconds, values.limit
  worker = context.Process(
    target=_work, args=(*chosen, values.memory, log.name, theirs)
  )
  worker.start()
  theirs.close()
  number, limit = first, _START
  try:
    while ours.poll(limit):
      message = ours.recv()
      if message is None:
        return
      if isinstance(message, Case):
        yield message
      else:
        number, limit = message, values.limit * 1.5
    why = 'takes too long'
  except EOFError:
    worker.join()
    why = f'the process died: {worker.exitcode}'
  finally:
    worker.kill()
    worker.join()
  where = trace.read_text('utf-8', 'replace') if trace.exists() else ''
  log.cleanup()
  yield Case(number, finding=f'{why} in {_place(where)}', trace=where[-3000:])


def _work(
  name: str,
  seed: int,
  first: int,
  cases: int,
  seconds: float,
  limit: float,
  memory: float,
  folder: str,
  pipe: connection.Connection,
) -> None:
  die_with_parent()
  end = time.monotonic() + seconds
  read = target(name)
  with open(pathlib.Path(folder) / 'trace', 'w') as trace:
    faulthandler.enable(trace)
    for number in range(first, cases):
      if time.monotonic() > end:
        break
      pipe.send(number)
      faulthandler.dump_traceback_later(limit, file=trace)
      case = run(read, seed, number, pathlib.Path(folder) / 'case')
      faulthandler.cancel_dump_traceback_later()
      peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
      if not case.finding and peak > memory:
        case = case._replace(finding=f'above {memory} GiB of memory')
      pipe.send(case)
      shutil.rmtree(pathlib.Path(folder) / 'case', ignore_errors=True)
      if peak > memory:
        break  # and another process goes on
  pipe.send(None)


def target(name: str) -> Callable[..., tuple[int, int]]:
  """What makes an input in a folder and has it read."""
  module = 'texts' if name in TEXTS else 'folders'
  return importlib.import_module(f'experiments.fuzzing.{module}').TARGETS[name]


def run(read: Callable[..., Any], seed: int, number: int, folder: pathlib.Path) -> Case:
  """One input and what became of it."""
  folder.mkdir(parents=True, exist_ok=True)
  draw = random.Random(f'{seed} {number}')
  try:
    lines, files = read(folder, draw)
    return Case(number, lines, files)
  except errors.UserError as error:
    return Case(number, files=1, refused=True, finding=_unclear(str(error)))
  except KeyboardInterrupt:
    raise
  except BaseException as error:  # a panic of Rust's is no Exception
    place = _place(''.join(traceback.format_tb(error.__traceback__)))
    what = str(error).split(': ')[0] if type(error).__name__ == 'Broken' else ''
    finding = f'{type(error).__name__} {what} in {place}'
    return Case(number, files=1, finding=finding, trace=traceback.format_exc()[-3000:])


def _unclear(message: str) -> str:
  """What a message of an error lacks: a file, a flag or a setting to look at."""
  if any(sign in message for sign in ('/', '--', '.json', '=')):
    return ''
  return f'names no file and no flag: {message[:60]}'


def _place(trace: str) -> str:
  """The innermost line of ours in a trace."""
  lines = [x.strip() for x in trace.splitlines() if 'metalog_jax' in x and 'line' in x]
  inner = lines[0] if 'most recent call first' in trace else (lines or [''])[-1]
  return inner.replace(str(pathlib.Path(__file__).parents[1]), '')[:120]


if __name__ == '__main__':
  sys.modules.setdefault('experiments.fuzz', sys.modules['__main__'])
  program.run()
