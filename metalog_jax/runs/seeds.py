"""Runs of one job with several seeds: side by side where the detector can.

Each leaves the folder that it would have left alone, and `start` goes on with one of
them as with any other.
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax

from metalog_jax import atomic, errors
from metalog_jax.detectors import registry
from metalog_jax.evaluation import scoring
from metalog_jax.runs import folder, run
from metalog_jax.training import loop_together

PLACE = '{seed}'  # in the name of a folder: where the seed stands


def folders(workdir: str | os.PathLike, seeds: Sequence[int]) -> dict[int, str]:
  """The run folder of each seed: `seed-N` in `workdir`, or N in place of {seed}.

  Raises:
    UserError: `workdir` names no folder.
  """
  name = str(folder.run_folder(workdir))
  if PLACE not in name:
    name = os.path.join(name, f'seed-{PLACE}')
  return {seed: name.replace(PLACE, str(seed)) for seed in seeds}


def start(
  job: run.Job,
  seeds: Sequence[int],
  workdir: str | os.PathLike,
  say: Callable[[str], Any] = print,
) -> None:
  """Runs `job` with each of `seeds`, or goes on with those runs.

  A detector that cannot train several runs in one program trains one after another.

  Args:
    workdir: see `folders`.
    say: called with messages for the user.

  Raises:
    UserError: as `run.start`; or there are several processes.
  """
  if jax.process_count() > 1:
    raise errors.UserError(
      '--seeds trains in one process: give every process seeds of its own, without '
      '--distributed'
    )
  jobs = {
    run.workdir_of(job, name): dataclasses.replace(
      job, data=dataclasses.replace(job.data, seed=seed)
    )
    for seed, name in folders(workdir, seeds).items()
  }
  how = registry.get(job.detector).make_detector(job.method).training
  if how and how.side_by_side:
    _side_by_side(jobs, say)
    return
  say(f'{job.detector} takes no meta-steps: its seeds are run one after another')
  for path, one in jobs.items():
    run.start(one, path, _prefixed(one, say))


def _side_by_side(jobs: dict[pathlib.Path, run.Job], say: Callable) -> None:
  once, readied = _Once(say), dict[pathlib.Path, run.Ready]()
  with contextlib.ExitStack() as locks:
    like, seeds = None, [job.data.seed for job in jobs.values()]
    for path, job in jobs.items():
      path.mkdir(parents=True, exist_ok=True)
      locks.enter_context(atomic.locked(path))
      if (path / folder.RESULT).exists():
        run.finished(path, job, say)
      else:
        readied[path] = like = run.prepare(job, path, once, like, seeds)
    if like is None:
      return
    gradients = [run.gradient_of(ready, once) for ready in readied.values()]
    parts = [
      loop_together.Part(
        ready.problem.train,
        scoring.validator(ready.scorer, ready.problem.valid),
        ready.job.data.seed,
        path,
      )
      for path, ready in readied.items()
    ]
    fitted = loop_together.fit(like.detector, parts, like.job.loop)
    for (path, ready), gradient, one in zip(readied.items(), gradients, fitted):
      run.finish(ready, one, path, gradient, _prefixed(ready.job, say))


def _prefixed(job: run.Job, say: Callable) -> Callable:
  return lambda text: say(f'seed {job.data.seed}: {text}')


class _Once:
  """Says every text once, however many runs say it."""

  def __init__(self, say: Callable[[str], Any]):
    self._say, self._said = say, set[str]()

  def __call__(self, text: str) -> None:
    if text not in self._said:
      self._said.add(text)
      self._say(text)
