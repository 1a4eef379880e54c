"""Writes the raw logs of SIMULATED systems: any size, the same bytes for a seed.

Sessions start one after the other, overlap, and drift with the age of the log.
They are drawn in blocks, and a line is written as soon as no later session can
come before it, so that memory does not grow with the log.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple, TextIO

import numpy as np

from metalog_jax import atomic, errors
from metalog_jax.simulation import grammar as grammars
from metalog_jax.simulation import render, sampling

BLOCK = 1000  # sessions drawn at a time
_GAP = 2e6  # microseconds between two lines of a session, on average
_EVERY = 1e6  # microseconds between the starts of two sessions, on average
_TRUTH = 'SessionId,Label,Kind,Shared\n'  # `prepare` knows simulated logs by it


class Simulated(NamedTuple):
  """What `simulate` has written."""

  log: pathlib.Path
  labels: pathlib.Path | None  # None: the lines carry their labels
  truth: pathlib.Path  # the kind of every session, for analysis only
  lines: int
  sessions: int
  anomalies: int


class _Lines(NamedTuple):
  """Lines in order of time, not yet in words."""

  micros: np.ndarray  # [n] int64 since the epoch
  messages: np.ndarray  # [n] int64 number of the message in the grammar
  sessions: np.ndarray  # [n] int64 number of the session
  alerts: np.ndarray  # [n] bool: does the anomaly show here?


class _Session(NamedTuple):
  name: str
  bits: int
  kind: str


def simulate(
  system: str,
  out: str | os.PathLike,
  sessions: int = 4000,
  seed: int = 0,
  anomalies: float = 0.1,
  variety: float = 0.0,
) -> Simulated:
  """Writes log, labels and truth of a simulated system into a folder.

  Args:
    system: a name in `SYSTEMS`.
    out: a folder, made where there is none; the last simulation of the same system
      there is replaced.
    sessions: how many, at least 1.
    seed: not negative; equal arguments give equal bytes.
    anomalies: share of the sessions that are anomalous, 0 to 1.
    variety: 0 to 1, how far rates differ from the grammar's: with more than 0, each
      seed is another system, with other rates of what is rare and of what goes wrong.

  Raises:
    UserError: an unknown system, a number out of range, or a folder with files that
      are not the last simulation of this system.
  """
  grammar = grammars.load(system)  # an unknown system is said first
  if sessions < 1:
    raise errors.UserError(f'--sessions={sessions} must be at least 1')
  if seed < 0:
    raise errors.UserError(f'--seed={seed} must not be negative')
  if not 0 <= anomalies <= 1:
    raise errors.UserError(f'--anomalies={anomalies} must lie between 0 and 1')
  if not 0 <= variety <= 1:
    raise errors.UserError(f'--variety={variety} must lie between 0 and 1')
  if variety:
    grammar = grammars.load(system, variety, seed)
  folder = pathlib.Path(out)
  log, truth = folder / grammar.log.file, folder / 'truth.csv'
  labels = folder / 'anomaly_label.csv' if grammar.log.labels else None
  atomic.check_output(log)
  folder.mkdir(parents=True, exist_ok=True)
  num_lines = num_anomalies = 0
  with contextlib.ExitStack() as files:
    files.enter_context(atomic.locked(folder))
    _check_replaced(grammar, folder, [path for path in (log, labels, truth) if path])
    # The last to be opened is the first in place: the truth, which marks all others.
    log_file = files.enter_context(_open(log))
    label_file = files.enter_context(_open(labels)) if labels else None
    truth_file = files.enter_context(_open(truth))
    truth_file.write(_TRUTH)
    if label_file:
      label_file.write(grammar.log.labels + '\n')
    for begun, lines in _blocks(grammar, sessions, seed, anomalies):
      for session in begun:
        kind = sampling.KINDS.get(session.kind)  # None: healthy
        label = 'Anomaly' if kind else 'Normal'
        shared = int(kind is not None and kind.is_shared)
        truth_file.write(f'{session.name},{label},{session.kind},{shared}\n')
        if label_file:
          label_file.write(f'{session.name},{label}\n')
        num_anomalies += kind is not None
      log_file.writelines(lines)
      num_lines += len(lines)
    # Whenever the program is killed, no log lies beside the labels of another one.
    log.unlink(missing_ok=True)
  return Simulated(log, labels, truth, num_lines, sessions, num_anomalies)


@contextlib.contextmanager
def _open(path: pathlib.Path) -> Iterator[TextIO]:
  """A text file that appears under its name only when it is complete."""
  with atomic.writing(path) as partial:
    with open(partial, 'w', encoding='ascii', newline='\n') as file:
      yield file


def _check_replaced(
  grammar: grammars.Grammar, folder: pathlib.Path, paths: list[pathlib.Path]
) -> None:
  """Refuses to replace what is not the last simulation of the same system.

  Raises:
    UserError: names the file that is in the way.
  """
  others = [grammars.load(name).log.file for name in grammars.SYSTEMS]
  foreign = [folder / name for name in others if name != grammar.log.file]
  truth = folder / 'truth.csv'
  if not (truth.is_file() and truth.read_bytes()[: len(_TRUTH)] == _TRUTH.encode()):
    foreign += paths
  for path in foreign:
    if path.exists():
      raise errors.UserError(
        f'{path} is not of a simulated {grammar.name}: choose another folder (--out)'
      )


def _blocks(
  grammar: grammars.Grammar, sessions: int, seed: int, anomalies: float
) -> Iterator[tuple[list[_Session], list[str]]]:
  """Yields, block by block, the sessions that begin and the lines that come next."""
  entropy = [seed, grammars.SYSTEMS.index(grammar.name)]
  plan_rng, rng = (
    np.random.Generator(np.random.PCG64(seeds))
    for seeds in np.random.SeedSequence(entropy).spawn(2)
  )
  draw = _uniform(plan_rng).__next__
  numbers = {name: number for number, name in enumerate(grammar.messages)}
  messages = render.messages(grammar)
  session_id = render.SESSION_IDS[grammar.log.session_id]
  live: dict[int, _Session] = {}  # sessions that still have something to say
  waiting, start = None, grammar.log.epoch * 1_000_000
  for first in range(0, sessions, BLOCK):
    block = range(first, min(first + BLOCK, sessions))
    plans = [
      sampling.session(grammar, draw, number / sessions, draw() < anomalies)
      for number in block
    ]
    bits = rng.integers(1 << 62, size=len(block)).tolist()
    begun = [
      _Session(session_id(number, some), some, plan.kind)
      for number, some, plan in zip(block, bits, plans)
    ]
    live |= zip(block, begun)
    lines, start = _schedule(plans, numbers, first, start, waiting, rng)
    last = block[-1] == sessions - 1
    ready = len(lines.micros) if last else np.searchsorted(lines.micros, start)
    yield begun, _render(_Lines(*(x[:ready] for x in lines)), live, messages, rng)
    waiting = _Lines(*(x[ready:] for x in lines))
    live = {number: live[number] for number in np.unique(waiting.sessions).tolist()}


def _uniform(rng: np.random.Generator) -> Iterator[float]:
  while True:
    yield from rng.random(1 << 14).tolist()


def _schedule(
  plans: list[sampling.Plan],
  numbers: dict[str, int],
  first: int,
  start: int,
  waiting: _Lines | None,
  rng: np.random.Generator,
) -> tuple[_Lines, int]:
  """Gives the messages of new sessions their times, among the lines that wait.

  Returns:
    The lines in order of time, and when the last session starts: no session to
    come can have a line before that.
  """
  starts = start + np.cumsum(rng.exponential(_EVERY, len(plans))).astype(np.int64)
  lengths = np.array([len(plan.messages) for plan in plans])
  offsets = np.cumsum(lengths) - lengths
  gaps = rng.exponential(_GAP, lengths.sum()).astype(np.int64) + 1
  gaps[offsets] = 0
  elapsed = np.cumsum(gaps)
  micros = np.repeat(starts - elapsed[offsets], lengths) + elapsed
  messages = [numbers[name] for plan in plans for name in plan.messages]
  alerts = np.zeros(len(micros), bool)
  marks = np.array([plan.alert for plan in plans])
  alerts[(offsets + marks)[marks >= 0]] = True
  sessions = np.repeat(np.arange(first, first + len(plans)), lengths)
  lines = _Lines(micros, np.array(messages), sessions, alerts)
  if waiting:
    lines = _Lines(*(np.concatenate(pair) for pair in zip(waiting, lines)))
  order = np.argsort(lines.micros, kind='stable')
  return _Lines(*(x[order] for x in lines)), int(starts[-1])


def _render(
  lines: _Lines,
  live: dict[int, _Session],
  messages: list[render.Message],
  rng: np.random.Generator,
) -> list[str]:
  """Puts lines into words."""
  most = max(len(message.variables) for message in messages)
  bits = rng.integers(1 << 31, size=(len(lines.micros), most))
  texts = []
  for micros, number, owner, alerts, some in zip(
    *(column.tolist() for column in (*lines, bits))
  ):
    session = live[owner]
    tag = sampling.KINDS[session.kind].alert if alerts else '-'
    event = render.Event(micros, session.name, session.bits, tag)
    texts.append(messages[number].line(event, some))
  return texts
