"""Evidence: what counts say against a session, weighed, and cut where F1 is best.

Ours. Kinds of evidence that mean the same in every system (events that no normal
session has, distance to the nearest normal session, ...; `metalog_jax.evidence`), each
calibrated against the target's own normals, and with labelled anomalies also what
those tell. The score is their sum. It needs no source, no word vectors and seconds. The
test sessions, without their labels, set the threshold: see `evidence.committee`; where
they come later than the labelled ones, frequent kinds of them without new events count
as normal ("forgiven").

Without a target, or without labelled normals, sessions are held against each other
(`evidence.unlabelled`).
"""

import dataclasses
import functools
import hashlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from metalog_jax import clean, errors, flags, lazy, types
from metalog_jax.batches import sequences
from metalog_jax.embeddings import gcse, sources
from metalog_jax.training import base

evidence = lazy.module('metalog_jax.evidence')
order = lazy.module('metalog_jax.evidence.order')
arrays = lazy.module('metalog_jax.evidence.arrays')
kinds = lazy.module('metalog_jax.evidence.kinds')
sparse = lazy.module('scipy.sparse')

NAMED = 5  # events named with each evidence
SPARE = 16  # places for templates that come after the training
ROWS = 64  # bags explained at a time
SAMPLES = ('normals', 'anomalies', 'unlabelled')
ADDED = ('gone',)  # evidences unknown to models that do not name those they know


@dataclasses.dataclass(frozen=True)
class Config(flags.Settings):
  """Settings of evidence."""

  embedding: sources.Config = gcse.Embedding()  # vectors are not used
  false_alarms: float = flags.field(
    0.0,
    'let at most this share of normal sessions through, by split conformal prediction; '
    '0: the threshold whose F1 is best by estimate',
    below=1,
  )
  forgive: bool = flags.field(
    True, 'frequent kinds of LATER sessions without new events count as normal'
  )
  # `evidence.OFF` again: `--help` must not wait for scipy; a test compares them
  without: str = flags.field('order', 'evidences that are off, such as order,distance')
  reading: sequences.Reading = flags.group(sequences.Reading(collapse=0))


PRESETS = {'default': Config()}


def needs(config: Config) -> frozenset[str]:
  """The target's labels."""
  return frozenset({base.TARGET_NORMALS, base.TARGET_ANOMALIES})


def make_detector(config: Config) -> base.Detector:
  """Returns the detector; see `base.Detector` for its functions."""
  _off(config)
  # A state is fitted again where it is read: seconds, and nothing is unpickled.
  fitted = functools.lru_cache(maxsize=2)(lambda key: _fit(config, key.state))
  known = lambda state, data: _Known(fitted(_Key(state)), state, data)
  return base.Detector(
    init=lambda key, transfer: _state(config, transfer),
    score=base.on_host,
    explain=base.on_host,
    reading=config.reading,
    adapt=lambda state, transfer, seed: _adapted(config, transfer),
    host=base.Host(
      scores=lambda state, data: known(state, data).scores,
      weights=lambda state, data: known(state, data).weights(),
      verdicts=lambda state, data: known(state, data).verdicts(),
      threshold=lambda state, data: known(state, data).threshold,
      tally=lambda state, *scored: _tally(fitted(_Key(state)), *scored),
      warnings=lambda state, *seen: _warnings(config, fitted(_Key(state)), *seen),
      arrays=lambda state, data: _arrays(fitted(_Key(state)), state, data),
    ),
    sees_rest=True,
    reads_vectors=False,
  )


def _off(config: Config) -> tuple[str, ...]:
  """The evidences that are off; UserError where what is left can see nothing."""
  names = tuple(name.strip() for name in config.without.split(',') if name.strip())
  for name in names:
    if name not in evidence.NAMES:
      known = errors.listed(name, evidence.NAMES)
      raise errors.UserError(f'--evidence.without={config.without}: not one of {known}')
  if not any(evidence.can_see(names, labelled) for labelled in (True, False)):
    raise errors.UserError(
      f'--evidence.without={config.without}: no evidence is left that speaks against '
      'a session: name fewer'
    )
  return names


def _state(config: Config, transfer: types.Transfer) -> dict[str, np.ndarray]:
  """The target's sessions as kinds, by label, and its transitions: for `_fit`.

  Without a target it is empty: sessions will be held against each other.
  """
  data = transfer.target
  if data is None:
    return {'templates': _packed(()), 'later': np.zeros((), np.int32)}
  sessions, width = data.sessions, len(data.vectors)
  labelled = bool((sessions.labels == 1).any())
  if not evidence.can_see(_off(config), labelled):
    raise errors.UserError(
      f'--evidence.without={config.without}: what is left sees nothing '
      f'{"beside" if labelled else "without"} labelled anomalies: name fewer, or '
      f'{"take" if labelled else "raise"} --target_anomalies{"=0" if labelled else ""}'
    )
  transitions, different = kinds.fit(sessions, width + SPARE)
  times = [different.times(sessions.labels == label) for label in (0, 1, -1)]
  pad = lambda x: np.append(x, 0).astype(np.int32)  # Orbax saves no empty array
  counts = different.counts
  state = {
    'templates': _packed(data.templates),
    'width': np.array(width, np.int32),
    'evidences': _packed(evidence.NAMES),
    'counts': pad(counts.data),
    'events': pad(counts.indices),
    'offsets': counts.indptr.astype(np.int32),
    **{name: pad(x) for name, x in zip(SAMPLES, times)},
    'beside': pad(different.beside.ravel()),
    'first': pad(transitions.pairs // len(transitions.known)),
    'last': pad(transitions.pairs % len(transitions.known)),
    'known': pad(transitions.known > 0),
  }
  state['later'] = np.array(config.forgive and _is_later(sessions), np.int32)
  return state


def _adapted(config: Config, transfer: types.Transfer) -> tuple[Any, dict[str, Any]]:
  """Adapting to a system is fitting to it: what was known of another does not count."""
  begin = time.perf_counter()
  state = _state(config, transfer)
  return state, {'steps': 0, 'seconds': time.perf_counter() - begin, 'pseudo': []}


def _is_later(sessions: types.Sessions) -> bool:
  """Whether most sessions without a label begin after all that have one."""
  labelled = sessions.times[sessions.labels >= 0]
  others = sessions.times[sessions.labels < 0]
  if not len(labelled) or not len(others) or np.isnan(labelled).all():
    return False
  return bool(np.mean(others > np.nanmax(labelled)) > 0.5)


def _packed(texts: tuple[str, ...]) -> np.ndarray:
  return np.frombuffer('\0'.join(texts).encode() or b'\0', np.uint8).copy()


def _unpacked(packed: Any) -> tuple[str, ...]:
  return tuple(np.asarray(packed).tobytes().decode().split('\0'))


class _Key:
  """A state that is equal to others of the same content."""

  def __init__(self, state: dict[str, Any]):
    self.state = {name: np.asarray(value) for name, value in state.items()}
    total = hashlib.sha256()
    for name, value in sorted(self.state.items()):
      total.update(f'{name} {value.shape}'.encode() + value.tobytes())
    self._digest = total.digest()

  def __hash__(self) -> int:
    return hash(self._digest)

  def __eq__(self, other: object) -> bool:
    return isinstance(other, _Key) and self._digest == other._digest


def _fit(config: Config, state: dict[str, np.ndarray]) -> Any:
  """An `evidence.Reference`; None: there is nothing that it could be fitted to."""
  if 'width' not in state:
    return None
  width = int(state['width']) + SPARE
  rows = (state['counts'][:-1], state['events'][:-1], state['offsets'])
  counts = sparse.csr_matrix(rows, (len(state['offsets']) - 1, width))
  beside = state['beside'][:-1].reshape(counts.shape[0], -1)
  samples = (evidence.Sample.of(counts, state[name][:-1], beside) for name in SAMPLES)
  normals, anomalies, unlabelled = samples
  if config.false_alarms and normals.times.sum() < 2:
    raise errors.UserError(
      '--false_alarms is a promise from labelled normals, half of which are held out: '
      'give two at least by --target_normals'
    )
  if not len(normals.times):
    least_odd = evidence.bulk(unlabelled.counts, unlabelled.times)
    normals = evidence.Sample(*(x[least_odd] for x in unlabelled))
  if not len(normals.times):
    return None
  later, off = bool(state['later']), {*_off(config), *_unknown(state)}
  return evidence.fit(
    normals, anomalies, unlabelled, later, config.false_alarms, without=off
  )


def _unknown(state: dict[str, np.ndarray]) -> tuple[str, ...]:
  """Evidences that came after a model: its threshold is of scores without them."""
  if 'evidences' not in state:
    return ADDED
  known = _unpacked(state['evidences'])
  return tuple(name for name in evidence.NAMES if name not in known)


def _tally(reference: Any, scores: np.ndarray, threshold: float) -> np.ndarray:
  """How many sessions are called normal, and how many of them are odd."""
  return np.zeros(2) if reference is None else reference.quiet(scores, threshold)


def _warnings(
  config: Config, reference: Any, tally: np.ndarray, threshold: float
) -> list[str]:
  """What is to be known of the threshold on sessions with this `_tally`."""
  if reference is None:
    return []
  texts = reference.warnings(*tally)
  promised = 1 / (reference.normal.weights.sum() + 1)
  is_promise = config.false_alarms and np.isclose(threshold, reference.threshold)
  if is_promise and promised > config.false_alarms:
    texts.append(
      f'with {clean.counted(round(1 / promised) - 1, "normal session")} held out no '
      f'rate of false alarms below {promised:.3g} can be promised, and '
      f'{config.false_alarms:g} was asked for: label more normals'
    )
  return texts


def _transitions(state: dict[str, Any], width: int) -> Any:
  """The normals' transitions; how many sessions have each is not kept."""
  if 'first' not in state:  # no target, nothing is known
    return order.Order(np.zeros(0, np.int64), np.zeros(0), np.zeros(width))
  first, last, known = (np.asarray(state[x])[:-1] for x in ('first', 'last', 'known'))
  pairs = first.astype(np.int64) * width + last
  return order.Order(pairs, np.ones(len(pairs)), known)


def _arrays(reference: Any, state: dict[str, Any], data: types.Dataset) -> Any:
  """The fitted reference as arrays; events are those of the data set's templates."""
  if reference is None:
    raise errors.UserError(
      'the model has no labelled normal sessions: it holds the sessions of each log '
      'against each other, so there is nothing to export'
    )
  width = int(np.asarray(state['width']))
  place = _places(data, _unpacked(state['templates']), width)
  return arrays.arrays(reference, _transitions(state, width + SPARE), place)


class _Known:
  """Sessions of a data set under what is known of their system."""

  def __init__(self, reference: Any, state: dict[str, Any], data: types.Dataset):
    self._reference, self._data, sessions = reference, data, data.sessions
    width, self._texts = len(data.vectors), list(data.templates)
    if reference is not None:
      known = int(np.asarray(state['width']))
      width = known + SPARE
      place = _places(data, _unpacked(state['templates']), known)
      texts = dict(zip(place.tolist(), data.templates))
      self._texts = [texts.get(i, '') for i in range(width)]
      sessions = sessions._replace(events=place[sessions.events])
    self._events = sessions.events
    self._kinds = kinds.against(_transitions(state, width), sessions)
    counts = self._kinds.counts
    self._times = self._kinds.times()
    if reference is None:
      alone = evidence.unlabelled(counts, self._times)
      self._parts, self._p_values = alone.parts, alone.p_values
      self._names = evidence.UNLABELLED_NAMES
      self.threshold = (alone.threshold, 'likely_gap')
    else:
      self._parts, self._names = reference.judge(*self._kinds[:2]).parts, evidence.NAMES
      self._p_values = reference.p_values(self._parts.sum(axis=1))
      self.threshold = (reference.threshold, reference.threshold_from)
    self.scores = self._parts.sum(axis=1)[self._kinds.inverse]

  def weights(self) -> list[np.ndarray]:
    """Per session the share [L] of every event in the verdict; they sum to 1."""
    each = [
      (self._parts[bag, :, None].clip(0) * shares).sum(axis=0)
      for bag, shares in enumerate(self._shares())
    ]
    out = []
    offsets = self._data.sessions.offsets
    for i, bag in enumerate(self._kinds.inverse):
      events = self._events[offsets[i] : offsets[i + 1]]
      times = np.bincount(events, minlength=len(each[bag]))
      value = each[bag][events] / times[events] + 1e-30
      out.append(value / value.sum())
    return out

  def verdicts(self) -> list[dict[str, Any]]:
    """Per session its p-value, and evidences whose values add up to its score."""
    of_bags = [
      {
        'p_value': float(self._p_values[bag]),
        'evidence': [
          {'name': name, 'value': float(value), 'events': self._named(bag, share)}
          for name, value, share in zip(self._names, self._parts[bag], shares)
        ],
      }
      for bag, shares in enumerate(self._shares())
    ]
    return [of_bags[bag] for bag in self._kinds.inverse]

  def _named(self, bag: int, share: np.ndarray) -> list[dict[str, Any]]:
    counts = self._kinds.counts[bag].toarray().ravel()
    order = np.argsort(-share, kind='stable')[:NAMED]
    return [
      {'template': self._texts[i], 'count': int(counts[i]), 'share': float(share[i])}
      for i in order
      if share[i] > 0 and i < len(self._texts)
    ]

  def _shares(self) -> Iterator[np.ndarray]:
    """Per bag, the share of each event in each evidence [J, V]."""
    counts = self._kinds.counts
    for start in range(0, counts.shape[0], ROWS):
      part = counts[start : start + ROWS]
      if self._reference is None:
        held = counts.sign().T @ self._times
        rare = part.sign().toarray() * -np.log(np.maximum(held, 1) / self._times.sum())
        rare /= np.maximum(rare.sum(axis=1, keepdims=True), 1e-30)
        yield from np.broadcast_to(
          rare[:, None], (len(rare), len(self._names), rare.shape[1])
        )
      else:
        shares = evidence.event_shares(self._reference, part)
        kind, event = self._kinds.unseen
        here = (kind >= start) & (kind < start + ROWS)
        by_order = shares[self._names.index('order')]
        np.add.at(by_order, (kind[here] - start, event[here]), 1.0)
        by_order /= np.maximum(by_order.sum(axis=1, keepdims=True), 1.0)
        yield from shares.transpose(1, 0, 2)


def _places(data: types.Dataset, texts: tuple[str, ...], width: int) -> np.ndarray:
  """[V] where events of a data set stand among those of the training.

  Templates that came later share the SPARE places behind.
  """
  place = np.arange(len(data.vectors))
  if data.templates and data.templates != texts:
    known = {text: i for i, text in enumerate(texts)}
    place = np.array(
      [known.get(text, width + i) for i, text in enumerate(data.templates)]
    )
  return np.where(place < width, place, width + (place - width) % SPARE).astype(
    np.int32
  )
