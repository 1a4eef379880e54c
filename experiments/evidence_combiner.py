"""Does a meta-learned combiner cut better than the votes of `evidence`?

  python -m experiments.evidence_combiner --systems=systems/a,systems/b,systems/c

A combiner is a logistic regression on the evidences whose weights depend on how many
sessions are labelled. It adapts to a system's labelled sessions, each judged as if it
were new, by gradient steps; what it begins with is meta-learned over episodes that
imitate a new system, drawn from all systems but one (its FAMILY: the part of the name
before _). On that one, its probabilities take the place of the rules.
"""

import collections
import pathlib
from typing import Any

import numpy as np

from experiments import main as program
from metalog_jax import evidence, lazy
from metalog_jax.batches import bags
from metalog_jax.cli.options import Flag
from metalog_jax.evidence import committee
from metalog_jax.evidence.reference import Sample
from metalog_jax.logs import store

jax = lazy.module('jax')
jnp = lazy.module('jax.numpy')
optax = lazy.module('optax')
meta = lazy.module('metalog_jax.meta')

FLAGS = (
  Flag('systems', [], 'System folders, labelled', required=True),
  Flag('episodes', 20, 'of each system', low=1),
  Flag('steps', 300, 'meta-steps', low=1),
  Flag('seed', 0, 'of episodes and meta-steps', low=0),
)
ROWS = 256  # sessions of a support or a query
ANOMALIES = (0, 0, 1, 5, 10, 20)
SHRINK = 0.02  # to the weights that the evidences come with
MODES = {  # of the meta-gradient
  'second order': {'inner_steps': 5, 'order': 'second'},
  'first order': {'inner_steps': 5, 'order': 'first'},
  'Reptile': {'inner_steps': 5, 'gradient': 'reptile'},
  'no inner steps': {'inner_steps': 0},
}


def episode(counts: Any, labels: tuple[np.ndarray, np.ndarray], rng) -> dict[str, Any]:
  """Labels drawn, evidences fitted; what was measured of the rest.

  Args:
    counts: [U, V] different bags; labels: [U] normal and anomalous sessions of each.
  """
  total = [int(times.sum()) for times in labels]
  num_normals = int(np.exp(rng.uniform(np.log(10), np.log(0.4 * total[0]))))
  num = num_normals, min(int(rng.choice(ANOMALIES)), total[1] // 2)
  drawn = [rng.multivariate_hypergeometric(x, n) for x, n in zip(labels, num)]
  rest = [x - taken for x, taken in zip(labels, drawn)]
  samples = [Sample.of(counts, taken) for taken in (*drawn, rest[0] + rest[1])]
  fitted = evidence.fit(*samples)
  parts = fitted.judge(counts).parts
  return {'num': num, 'fitted': fitted, 'parts': parts, 'rest': rest}


def context(num: tuple[int, int]) -> np.ndarray:
  """[6]: for no, few and more anomalies, 1 and how many normals there are."""
  group = np.eye(3)[0 if not num[1] else 1 if num[1] < 7 else 2]
  return np.concatenate([group, group * (np.log(num[0] + 1) - 5) / 3])


def batch(parts, label, weight, num, rng) -> dict[str, np.ndarray]:
  """ROWS rows; the weights say how often a session is drawn."""
  share = weight / max(weight.sum(), 1e-9)
  rows = rng.choice(len(share), ROWS, p=share) if weight.sum() else np.zeros(ROWS, int)
  x = np.concatenate([parts[rows], np.ones((ROWS, 1))], axis=1)
  has = np.full(ROWS, float(weight.sum() > 0))
  return {'x': x, 'y': label[rows], 'weight': has / ROWS, 'context': context(num)}


def task(made: dict[str, Any], rng) -> Any:
  """Support: the labelled sessions, both kinds alike; query: the others as they are."""
  fitted, num = made['fitted'], made['num']
  kinds = (fitted.normal.weights, fitted.anomalous.weights)
  balanced = [x / x.sum() if num[1] else 0 * x for x in kinds]
  label = np.repeat([0.0, 1.0], [len(x) for x in kinds])
  support = batch(fitted.own_parts, label, np.concatenate(balanced), num, rng)
  both = np.concatenate([made['parts']] * 2)
  label = np.repeat([0.0, 1.0], len(made['parts']))
  query = batch(both, label, np.concatenate(made['rest']), num, rng)
  return meta.Task(support, query)


def start(num_parts: int) -> dict[str, np.ndarray]:
  """Every evidence as it comes, a bias below."""
  weights = np.zeros((6, num_parts + 1))
  weights[:3] = 1.0
  weights[:3, -1] = -3.0
  return {'weights': weights}


def loss_fn(params, data):
  """Cross-entropy, and the distance from `start`."""
  logits = data['x'] @ (data['context'] @ params['weights'])
  losses = jnp.logaddexp(0, logits) - data['y'] * logits
  first = start(params['weights'].shape[1] - 1)['weights']
  return data['weight'] @ losses + SHRINK * jnp.sum((params['weights'] - first) ** 2)


def f1(flagged: np.ndarray, rest: list[np.ndarray]) -> float:
  """Of verdicts on bags, in per cent."""
  false, right = (times[flagged].sum() for times in rest)
  return 200 * right / max(false + right + rest[1].sum(), 1)


def judged(made: dict[str, Any], params, config, rng) -> float:
  """F1 where the adapted combiner's probabilities set the cut."""
  if made['num'][1] and config.inner_steps:
    params = meta.adapt(loss_fn, params, task(made, rng).support, config)
  weights = context(made['num']) @ np.asarray(params['weights'])
  logits = (
    np.concatenate([made['parts'], np.ones((len(made['parts']), 1))], 1) @ weights
  )
  there = sum(made['rest']) > 0
  scores = made['parts'].sum(axis=1)
  scored = committee.Scored(scores[there], sum(made['rest'])[there])
  chances = 1 / (1 + np.exp(-logits[there]))  # one rule, whose verdicts are shares
  limit = committee.cut(scored, chances[:, None], np.ones(1))
  return f1(scores > limit, made['rest'])


def train(pool: list[dict[str, Any]], config, steps: int, seed: int) -> Any:
  """What the combiner begins with: tasks are a function of (seed, step)."""
  optimizer = optax.adam(0.02)
  state = meta.init_state(start(len(evidence.NAMES)), optimizer)
  step = meta.make_meta_step(loss_fn, optimizer, config)
  for number in range(steps):
    rng = np.random.default_rng([seed, number])
    drawn = [task(pool[i], rng) for i in rng.integers(0, len(pool), 24)]
    state, _ = step(state, jax.tree.map(lambda *x: np.stack(x), *drawn))
  return jax.device_get(state.params)


def main(values: Any, rest: list[str]) -> None:
  """Leaves each family out in turn, and prints F1 by way of the cut."""
  del rest
  pools: dict[str, list] = {}
  for number, folder in enumerate(values.systems):
    system = store.load(folder)
    different = bags.bags(system.sessions, len(system.templates))
    labels = tuple(
      np.bincount(
        different.inverse[system.sessions.labels == label],
        minlength=different.counts.shape[0],
      )
      for label in (0, 1)
    )
    rng = np.random.default_rng([values.seed, number])
    family = pathlib.Path(folder).name.partition('_')[0]
    made = [episode(different.counts, labels, rng) for _ in range(values.episodes)]
    pools.setdefault(family, []).extend(made)
  table: dict[str, dict] = collections.defaultdict(
    lambda: collections.defaultdict(list)
  )
  for family, tests in pools.items():
    others = [made for name, pool in pools.items() if name != family for made in pool]
    for made in tests:
      scores, limit = made['parts'].sum(axis=1), made['fitted'].threshold
      table['votes'][made['num'][1]].append(f1(scores > limit, made['rest']))
    for mode, settings in MODES.items():
      config = meta.MetaConfig(inner_lr=0.1, **settings)
      params = train(others, config, values.steps, values.seed)
      for made in tests:
        rng = np.random.default_rng(values.seed)
        table[mode][made['num'][1]].append(judged(made, params, config, rng))
  for mode, by_number in table.items():
    means = {k: round(float(np.mean(v)), 1) for k, v in sorted(by_number.items())}
    print(f'{mode:16}', means, f'mean {np.mean(list(means.values())):.1f}', flush=True)


if __name__ == '__main__':
  program.run()
