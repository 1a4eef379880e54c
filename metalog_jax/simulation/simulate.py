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

from metalog_jax import errors
from metalog_jax.simulation import (
  blockstore,
  cloud,
  cluster,
  render,
  sampling,
  supercomputer,
)

SYSTEMS = {
  one.name: one
  for one in (
    blockstore.GRAMMAR,
    supercomputer.GRAMMAR,
    cloud.GRAMMAR,
    cluster.GRAMMAR,
  )
}
BLOCK = 1000  # sessions drawn at a time
GAP = 2e6  # microseconds between two lines of a session, on average
EVERY = 1e6  # microseconds between the starts of two sessions, on average


class Written(NamedTuple):
  """What a simulation has written."""

  log: pathlib.Path
  labels: pathlib.Path | None  # None: the lines carry their labels
  truth: pathlib.Path  # the kind of every session, for analysis only
  lines: int
  sessions: int
  anomalies: int


class _Lines(NamedTuple):
  """Lines in order of time, not yet in words."""

  micros: np.ndarray  # [n] int64 since the epoch
  messages: np.ndarray  # [n] int64 number in the lexicon
  sessions: np.ndarray  # [n] int64 number of the session
  alerts: np.ndarray  # [n] bool: does the anomaly show here?


class _Session(NamedTuple):
  name: str
  bits: int
  kind: str


def write(
  system: str,
  sessions: int,
  seed: int,
  out: str | os.PathLike,
  anomalies: float = 0.1,
) -> Written:
  """Writes log, labels and truth of a simulated system into a folder.

  Args:
    system: a name in `SYSTEMS`.
    sessions: how many, at least 1.
    seed: not negative; the same seed gives the same bytes.
    out: a folder, made where there is none.
    anomalies: share of the sessions that are anomalous, 0 to 1.

  Raises:
    UserError: an unknown system, no sessions, or a share that is none.
  """
  if system not in SYSTEMS:
    raise errors.UserError(f'--system={system} is none of {", ".join(SYSTEMS)}')
  if sessions < 1:
    raise errors.UserError(f'--sessions={sessions} must be at least 1')
  if not 0 <= anomalies <= 1:
    raise errors.UserError(f'--anomalies={anomalies} must lie between 0 and 1')
  form = render.FORMATS[system]()
  folder = pathlib.Path(out)
  folder.mkdir(parents=True, exist_ok=True)
  log, truth = folder / form.log, folder / 'truth.csv'
  labels = folder / 'anomaly_label.csv' if form.labels else None
  num_lines = num_anomalies = 0
  with contextlib.ExitStack() as stack:
    log_file, truth_file = (stack.enter_context(_whole(one)) for one in (log, truth))
    truth_file.write('SessionId,Label,Kind,Shared\n')
    label_file = stack.enter_context(_whole(labels)) if labels else None
    if label_file:
      label_file.write(form.labels + '\n')
    for begun, lines in _stream(SYSTEMS[system], form, sessions, seed, anomalies):
      for one in begun:
        label = 'Normal' if one.kind == sampling.HEALTHY else 'Anomaly'
        shared = int(one.kind in sampling.KINDS and sampling.KINDS[one.kind][1])
        truth_file.write(f'{one.name},{label},{one.kind},{shared}\n')
        if label_file:
          label_file.write(f'{one.name},{label}\n')
        num_anomalies += label == 'Anomaly'
      log_file.writelines(lines)
      num_lines += len(lines)
  return Written(log, labels, truth, num_lines, sessions, num_anomalies)


@contextlib.contextmanager
def _whole(path: pathlib.Path) -> Iterator[TextIO]:
  """A text file that appears under its name only when it is complete."""
  partial = path.with_name(path.name + '.partial')
  with open(partial, 'w', encoding='ascii', newline='\n') as file:
    yield file
  os.replace(partial, path)


def _stream(
  grammar, form, sessions, seed, anomalies
) -> Iterator[tuple[list[_Session], list[str]]]:
  """Yields, block by block, the sessions that begin and the lines that come next."""
  seeds = np.random.SeedSequence([seed, list(SYSTEMS).index(grammar.name)]).spawn(2)
  plan_rng, rng = (np.random.Generator(np.random.PCG64(one)) for one in seeds)
  draw = _uniform(plan_rng).__next__
  lexicon = sampling.lexicon(grammar)
  numbers = {name: number for number, name in enumerate(lexicon)}
  messages = render.messages(lexicon)
  live: dict[int, _Session] = {}  # sessions that still have something to say
  waiting, start = None, form.epoch * 1_000_000
  for first in range(0, sessions, BLOCK):
    block = range(first, min(first + BLOCK, sessions))
    plans = [
      sampling.session(grammar, draw, one / sessions, draw() < anomalies)
      for one in block
    ]
    bits = rng.integers(1 << 62, size=len(block)).tolist()
    begun = [
      _Session(form.name(one, some), some, plan.kind)
      for one, some, plan in zip(block, bits, plans)
    ]
    live |= zip(block, begun)
    lines, start = _schedule(plans, numbers, first, start, waiting, rng)
    last = block[-1] == sessions - 1
    ready = len(lines.micros) if last else np.searchsorted(lines.micros, start)
    yield begun, _say(_Lines(*(x[:ready] for x in lines)), live, messages, form, rng)
    waiting = _Lines(*(x[ready:] for x in lines))
    live = {one: live[one] for one in np.unique(waiting.sessions).tolist()}


def _uniform(rng: np.random.Generator) -> Iterator[float]:
  while True:
    yield from rng.random(1 << 14).tolist()


def _schedule(plans, numbers, first, start, waiting, rng) -> tuple[_Lines, int]:
  """Gives the messages of new sessions their times, among the lines that wait.

  Returns:
    The lines in order of time, and when the last session starts: no session to
    come can have a line before that.
  """
  starts = start + np.cumsum(rng.exponential(EVERY, len(plans))).astype(np.int64)
  lengths = np.array([len(plan.messages) for plan in plans])
  offsets = np.cumsum(lengths) - lengths
  gaps = rng.exponential(GAP, lengths.sum()).astype(np.int64) + 1
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


def _say(lines: _Lines, live, messages, form, rng) -> list[str]:
  """Puts lines into words."""
  most = max(len(message.variables) for message in messages)
  bits = rng.integers(1 << 31, size=(len(lines.micros), most))
  said = []
  for micros, number, owner, alert, some in zip(
    *(column.tolist() for column in (*lines, bits))
  ):
    message, session = messages[number], live[owner]
    tag = render.ALERTS[session.kind] if alert else '-'
    event = render.Event(micros, session.name, session.bits, tag)
    words = [say(bit, session.name) for say, bit in zip(message.variables, some)]
    said.append(form.prefix(event, message) + message.pattern % tuple(words) + '\n')
  return said
