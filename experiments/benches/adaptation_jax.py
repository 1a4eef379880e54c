"""Adaptation and single sessions by this library, and the answers to hold others to."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benches import adaptation, jax_variants, logmeta, logmeta_jax
from experiments.benches.variants import Variant
from metalog_jax import types
from metalog_jax.detectors import logmeta as detectors
from metalog_jax.evaluation import scoring


def _detector(workload: adaptation.Workload, data: types.Dataset):
  """LogMeta in the workload's size, and its state with the workload's weights."""
  config = dataclasses.replace(
    detectors.Config(),
    hidden=workload.hidden,
    collapse=adaptation.COLLAPSE,
    max_events=adaptation.MAX_EVENTS,
    inner_lr=workload.rate,
    adapt_steps=workload.steps,
    rounds=0,
  )
  detector = detectors.make(config)
  state = detector.init(jax.random.key(0), types.Transfer((), data))
  params = jax_variants.nest(logmeta.params(workload))
  place = lambda x, old: jax.device_put(x, old.sharding)
  return detector, state._replace(params=jax.tree.map(place, params, state.params))


def adapt(workload: adaptation.Workload, variant: Variant, data: types.Dataset):
  """adapt(target) -> how far each weight moved, to be asked for."""
  if variant.how == 'reference':
    return functools.partial(_reference_adapt, workload)
  detector, state = _detector(workload, data)

  def run(target: types.Dataset):
    adapted, _ = detector.adapt(state, types.Transfer((), target), 0)
    jax.block_until_ready(adapted.params)
    return lambda: _less(adapted.params, state.params)

  return run


def _less(params: dict, start: dict) -> dict[str, np.ndarray]:
  both = map(jax_variants.flatten, (params, start))
  after, before = ({n: x.astype(np.float64) for n, x in p.items()} for p in both)
  return {name: after[name] - before[name] for name in before}


def score(workload: adaptation.Workload, variant: Variant, data: types.Dataset):
  """score(a data set of one session) -> its score."""
  if variant.how == 'reference':
    return functools.partial(_reference_score, workload)
  detector, state = _detector(workload, data)
  scorer = scoring.Scorer(detector)
  return lambda one: scorer.scores(state, one)[0]


def _padded(data: types.Dataset) -> tuple[np.ndarray, np.ndarray]:
  """Vectors [B, L, D] of the events, and which of them are there [B, L]."""
  rows = adaptation.read(data.sessions)
  inside = np.arange(adaptation.MAX_EVENTS) < np.array(list(map(len, rows)))[:, None]
  events = np.zeros(inside.shape, np.int32)
  events[inside] = np.concatenate(rows)
  return data.vectors[events].astype(np.float64), inside


def _reference_adapt(workload: adaptation.Workload, target: types.Dataset):
  with jax.enable_x64(True):
    x, inside = _padded(target)
    start = {
      n: jnp.asarray(p, jnp.float64) for n, p in logmeta.params(workload).items()
    }

    def step(params, _):
      grads = jax.grad(logmeta_jax.plain_loss)(
        params, x, target.sessions.labels, inside
      )
      return {n: p - workload.rate * grads[n] for n, p in params.items()}, None

    descend = jax.jit(lambda p: jax.lax.scan(step, p, length=workload.steps)[0])
    found = descend(start)
    return lambda: {n: np.asarray(found[n]) - np.asarray(p) for n, p in start.items()}


@functools.cache
def _plain(workload: adaptation.Workload):
  with jax.enable_x64(True):
    params = logmeta.params(workload)
    params = {n: jnp.asarray(p, jnp.float64) for n, p in params.items()}
  logits = jax.jit(functools.partial(logmeta_jax.plain_logits, params))
  return lambda *x: jax.nn.softmax(logits(*x))[:, 1]


def _reference_score(workload: adaptation.Workload, one: types.Dataset) -> float:
  plain = _plain(workload)
  with jax.enable_x64(True):
    return float(plain(*_padded(one))[0])
