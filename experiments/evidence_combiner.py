r"""Does a meta-learned combiner cut better than the votes of `evidence`?

  python -m experiments.evidence_combiner --systems=systems/a,systems/b,systems/c \
    --seeds=20

A combiner is a logistic regression on the evidences whose weights depend on how many
sessions are labelled. It adapts to a system's labelled sessions, each judged as if it
were new, by gradient steps; what it begins with is meta-learned over episodes that
imitate a new system, drawn from all systems but one (its FAMILY: the part of the name
before _). On that one, its probabilities take the place of the rules. Prints F1, and
differences paired over seeds: see experiments/studies/second_order.py.
"""

import pathlib
from typing import Any

import numpy as np

from experiments import main as program
from experiments.studies import markdown
from metalog_jax import evidence, lazy
from metalog_jax.batches import bags
from metalog_jax.cli.options import Flag
from metalog_jax.evidence import committee
from metalog_jax.logs import store

pl = lazy.module('polars')
studies = lazy.module('experiments.studies.second_order')  # scipy: not for --help
jax = lazy.module('jax')
jnp = lazy.module('jax.numpy')
optax = lazy.module('optax')
meta = lazy.module('metalog_jax.meta')

FLAGS = (
  Flag('systems', [], 'System folders, labelled', required=True),
  Flag('episodes', 3, 'of each system with each seed', low=1),
  Flag('steps', 300, 'meta-steps', low=1),
  Flag('seeds', 1, 'of labels drawn and of meta-steps', low=1),
)
ROWS = 256  # sessions of a support or a query
ANOMALIES = (0, 0, 1, 5, 10, 20)
SHRINK = 0.02  # to the weights that the evidences come with
RATE = 0.02  # of Adam, over episodes
RULES = 'rules'
MODES = {  # of the meta-gradient
  'second order': {'inner_steps': 5, 'order': 'second'},
  'first order': {'inner_steps': 5, 'order': 'first'},
  'Reptile': {'inner_steps': 5, 'gradient': 'reptile'},
  'no inner steps': {'inner_steps': 0},
}
CONTRASTS = (
  *((RULES, mode) for mode in MODES),
  ('second order', 'first order'),
  ('second order', 'no inner steps'),
)


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
  samples = [evidence.Sample.of(counts, taken) for taken in (*drawn, rest[0] + rest[1])]
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
  support = batch(fitted.own.parts, label, np.concatenate(balanced), num, rng)
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


def judged(made: dict[str, Any], params, adapt, rng) -> float:
  """F1 where the adapted combiner's probabilities set the cut."""
  if made['num'][1] and adapt:
    params = adapt(params, task(made, rng).support)
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


def train(pool: list[dict[str, Any]], steps: int, seed: int, made_steps) -> Any:
  """What the combiner begins with in each of `MODES`, which see the same tasks."""
  optimizer, first = optax.adam(RATE), start(len(evidence.NAMES))
  states = {mode: meta.init_state(first, optimizer) for mode in MODES}
  for number in range(steps):
    rng = np.random.default_rng([seed, number])
    drawn = [task(pool[i], rng) for i in rng.integers(0, len(pool), 24)]
    tasks = jax.tree.map(lambda *x: np.stack(x), *drawn)
    for mode, step in made_steps.items():
      states[mode], _ = step(states[mode], tasks)
  return {mode: jax.device_get(state.params) for mode, state in states.items()}


def draw(systems: list[str], seeds: int, episodes: int) -> list[dict[str, Any]]:
  """Episodes of every system with every seed."""
  every = []
  for number, folder in enumerate(systems):
    system = store.load(folder)
    different = bags.bags(system.sessions, len(system.templates))
    labels = tuple(
      np.bincount(
        different.inverse[system.sessions.labels == label],
        minlength=different.counts.shape[0],
      )
      for label in (0, 1)
    )
    family = pathlib.Path(folder).name.partition('_')[0]
    for seed in range(seeds):
      rng = np.random.default_rng([seed, number])
      every += [
        episode(different.counts, labels, rng) | {'family': family, 'seed': seed}
        for _ in range(episodes)
      ]
  return every


def measured(every: list[dict[str, Any]], steps: int) -> list[dict[str, Any]]:
  """F1 of the rules and of every mode on each episode, its family left out."""
  configs = {
    name: meta.MetaConfig(inner_lr=0.1, **set_) for name, set_ in MODES.items()
  }
  made_steps = {
    name: meta.make_meta_step(loss_fn, optax.adam(RATE), config)
    for name, config in configs.items()
  }
  adapt = {
    name: jax.jit(lambda params, data, c=config: meta.adapt(loss_fn, params, data, c))
    for name, config in configs.items()
    if config.inner_steps
  }
  rows = []
  for seed in sorted({made['seed'] for made in every}):
    for family in dict.fromkeys(made['family'] for made in every):
      pool = [made for made in every if made['family'] != family]
      params = train(pool, steps, seed, made_steps)
      for made in every:
        if (made['family'], made['seed']) != (family, seed):
          continue
        row = {'family': family, 'seed': seed, 'anomalies': made['num'][1]}
        flagged = made['parts'].sum(axis=1) > made['fitted'].threshold
        row[RULES] = f1(flagged, made['rest'])
        for mode in MODES:
          rng = np.random.default_rng(seed)
          row[mode] = judged(made, params[mode], adapt.get(mode), rng)
        rows.append(row)
  return rows


def main(values: Any, rest: list[str]) -> None:
  """Leaves each family out in turn, and prints F1 by way of the cut."""
  del rest
  every = draw(values.systems, values.seeds, values.episodes)
  frame = pl.DataFrame(measured(every, values.steps))
  print('\n\n'.join(tables(frame)), flush=True)


def tables(frame: Any) -> list[str]:
  """Means by the number of anomalies labelled; differences paired over seeds."""
  names = [RULES, *MODES]
  means = (
    frame.group_by('anomalies').agg(pl.col(names).mean(), pl.len()).sort('anomalies')
  )
  levels = [
    {'cut by': name}
    | {
      f'{k} labelled': f'{means[name][i]:.1f}' for i, k in enumerate(means['anomalies'])
    }
    | {'all': f'{frame[name].mean():.1f}'}
    for name in names
  ]
  by_seed = frame.group_by('seed').agg(pl.col(names).mean()).sort('seed')
  differences = []
  for first, second in CONTRASTS:
    one = studies.effect(
      (by_seed[first] - by_seed[second]).to_numpy(), [''] * len(by_seed)
    )
    differences.append(
      {
        'less': f'{first} - {second}',
        'mean [95 %]': f'{one.mean:+.2f} [{one.low:+.2f}, {one.high:+.2f}]',
        'better in': f'{one.better} of {one.pairs} seeds',
        'p': f'{one.p:.4f}',
      }
    )
  return [markdown.table(pl.DataFrame(rows)) for rows in (levels, differences)]


if __name__ == '__main__':
  program.run()
