"""Does it matter in the end: trainings that differ in the meta-gradient alone.

One run folder a (way, seed); the same seed is the same labels, initial weights and
batches, so ways are compared by seed.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from metalog_jax import errors
from metalog_jax.report import results
from metalog_jax.runs import run as job

ORDERS = ('first', 'second', 'truncated')
MEASURES = {  # name -> (kind of sessions, key)
  'f1': ('all', 'f1'),
  'auprc': ('all', 'auprc'),
  'distinct_f1': ('distinct', 'f1'),
}


def run(
  chosen: job.Job, orders: Sequence[str], seeds: int, out: pathlib.Path, say=print
) -> dict[str, Any]:
  """Trains seeds 0.. of every order, or takes up what `out` has of them.

  Returns:
    {'test', 'measures': order -> measure -> [one a seed], 'paired': order -> measure
    -> {'mean', 'std', 'each'} of its difference to the first of `orders`}.

  Raises:
    UserError: an unknown order, or training was stopped by a signal.
  """
  found = {order: [] for order in orders}
  for seed in range(seeds):
    for order in orders:
      workdir = out / f'{order.replace(" ", "_")}-{seed}'
      say(f'training: {order}, seed {seed}')
      result = job.start(_with_order(chosen, order, seed), workdir, say=lambda _: None)
      if result is None:
        raise errors.UserError(
          'training was stopped by a signal; the same command goes on'
        )
      found[order].append(result)
  test = next(iter(found[orders[0]][0]['test']))
  values = {
    order: {
      name: [results.measures(r, test, kind).get(key) for r in of_seeds]
      for name, (kind, key) in MEASURES.items()
    }
    for order, of_seeds in found.items()
  }
  return {'test': test, 'measures': values, 'paired': _paired(values, orders)}


def _with_order(chosen: job.Job, order: str, seed: int) -> job.Job:
  if order not in ORDERS:
    raise errors.UserError(f'--orders={order} is not one of {", ".join(ORDERS)}')
  change = {'order': 'first' if order == 'first' else 'second'}
  if order != 'first':
    change['gradient'] = 'truncated' if order == 'truncated' else 'mixed'
  return dataclasses.replace(
    chosen,
    method=dataclasses.replace(chosen.method, **change),
    data=dataclasses.replace(chosen.data, seed=seed),
  )


def _paired(values: dict[str, Any], orders: Sequence[str]) -> dict[str, Any]:
  first, *others = orders
  paired = {}
  for order in others:
    paired[order] = {}
    for name in MEASURES:
      pairs = zip(values[order][name], values[first][name], strict=True)
      each = [x - y for x, y in pairs if None not in (x, y)]
      mean, std = results.spread(each)
      paired[order][name] = {
        'mean': mean if each else None,
        'std': std if len(each) > 1 else None,
        'each': each,
      }
  return paired
