"""A trained model on disk: all that is needed to judge new lines.

A run folder's `model/` holds the event vectors, the frozen templates and how the
target's lines were read; the weights are in the run's last checkpoint.
"""

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metalog_jax import atomic, errors, flags, types
from metalog_jax.detectors import registry
from metalog_jax.embeddings import sources
from metalog_jax.logs import manifests, systems, templates
from metalog_jax.runs import folder
from metalog_jax.training import base, checkpoints

EVENTS = 'events.parquet'  # template, vector: one row an event
OPTIONS = 'prepare.json'  # systems.Options of the target
KNOWN = 'known.json'  # templates of the sources


class Model(NamedTuple):
  """A detector with its fitted state, and the system that it knows."""

  detector: base.Detector
  state: Any
  vectors: np.ndarray  # [V, D] float32
  texts: tuple[str, ...]  # [V]
  templates: templates.Templates | None  # None: the target was read from session files
  options: systems.Options
  threshold: float | None  # None: the run has none for new sessions of its target
  embedding: sources.Config  # what `vectors` come from


def save(
  workdir: pathlib.Path, known: Sequence[list[str]], target: types.Dataset | None
) -> None:
  """Writes `model/`: what `load` and a later adaptation need beside the weights.

  Args:
    known: templates of the sources, which count for the event vectors' IDF.
    target: with its System folder; None: zero-shot.
  """
  out = workdir / folder.MODEL
  out.mkdir(exist_ok=True)
  atomic.write_text(out / KNOWN, json.dumps(list(known), indent=1) + '\n')
  if target is None:
    return
  vectors = np.asarray(target.vectors, np.float32)
  flat = pa.array(vectors.ravel())
  rows = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
  with atomic.writing(out / EVENTS) as path:
    pq.write_table(pa.table({'template': list(target.templates), 'vector': rows}), path)
  frozen = pathlib.Path(target.folder) / templates.FILE
  if frozen.exists():
    with atomic.writing(out / templates.FILE) as path:
      shutil.copyfile(frozen, path)
  manifest = manifests.read(target.folder)
  atomic.write_json(out / OPTIONS, manifest.get('options', {}))


def load(workdir: str | os.PathLike) -> Model:
  """Reads a finished run.

  Raises:
    UserError: `workdir` is no finished run, is damaged, or was zero-shot.
  """
  workdir = pathlib.Path(workdir)
  folder.verify(workdir)
  source = workdir / folder.MODEL
  result = folder.read_json(workdir / folder.RESULT)
  if not result.get('target'):
    raise errors.UserError(
      f'{workdir} was trained without a target system, so it knows no '
      'templates: train with --target to detect'
    )
  config = folder.read_json(workdir / folder.CONFIG)
  with folder.reading(workdir / folder.CONFIG):
    module = registry.get(config['detector'])
    method = flags.restore(module.Config(), config['method'])
    detector = module.make_detector(method)
  with folder.reading(source / EVENTS):
    vectors, texts = _events(source)
  with folder.reading(source / OPTIONS):
    saved = folder.read_json(source / OPTIONS)
    listed = lambda value: tuple(value) if isinstance(value, list) else value
    settings: dict[str, Any] = {name: listed(value) for name, value in saved.items()}
    options = systems.Options(**settings)
  with folder.reading(workdir / folder.RESULT):
    threshold = result['threshold']['value']
    if threshold is not None:
      threshold = float(threshold)
  frozen = None
  if (source / templates.FILE).exists():
    frozen = templates.Templates.load(source / templates.FILE)
    with folder.reading(source / templates.FILE):
      if len(frozen.texts) > len(texts):
        raise ValueError(f'it has more templates than {EVENTS}')
  with folder.reading(workdir):
    state = trained_state(workdir, detector, vectors, adapted=True)
  return Model(
    detector, state, vectors, texts, frozen, options, threshold, method.embedding
  )


def _events(source: pathlib.Path) -> tuple[np.ndarray, tuple[str, ...]]:
  """Event vectors [V, D] and their texts."""
  table = pq.read_table(source / EVENTS)
  vectors = table['vector'].combine_chunks().flatten().to_numpy()
  vectors = vectors.astype(np.float32, copy=False).reshape(len(table), -1)
  texts = tuple(table['template'].to_pylist())
  if not np.isfinite(vectors).all() or not all(isinstance(text, str) for text in texts):
    raise ValueError('a vector that is not finite, or a template that is no text')
  return vectors, texts


def extend(model: Model, texts: tuple[str, ...]) -> Model:
  """The model with vectors for `texts`, of which its own are the first.

  Raises:
    UserError: the encoder of the run is not to be had.
  """
  new = texts[len(model.texts) :]
  if not new:
    return model
  added = sources.encode(new, model.embedding)
  return model._replace(vectors=np.concatenate([model.vectors, added]), texts=texts)


def known(workdir: pathlib.Path) -> list[list[str]]:
  """The templates of the sources of a finished run: see `save`.

  Raises:
    UserError: `workdir` is no finished run, or is damaged.
  """
  folder.verify(workdir)
  return folder.read_json(workdir / folder.MODEL / KNOWN, list)


def trained_state(
  workdir: pathlib.Path,
  detector: base.Detector,
  vectors: np.ndarray,
  adapted: bool = False,
) -> Any:
  """The best state of the run's last checkpoint; the adapted one if asked for.

  A run that was adapted and not trained has its adapted state alone.

  Args:
    vectors: [V, D] of the system that the state is for.

  Raises:
    UserError: there is no checkpoint, or it cannot be read.
  """
  like = None  # the state of a method on the host has the shapes of its data
  if not detector.host:
    dataset = types.Dataset('', types.Sessions.none(), vectors)
    state = detector.init(jax.random.key(0), types.Transfer((dataset,), dataset))
    like = checkpoints.first_progress(state)
  trained, after = workdir / folder.CHECKPOINTS, workdir / folder.ADAPTED
  path = after if after.exists() and (adapted or not trained.exists()) else trained
  if not path.exists():
    raise folder.missing(path)
  with contextlib.closing(checkpoints.Checkpoints(path)) as saved:
    progress = saved.restore(like)
  if progress is None:
    raise errors.UserError(f'{path} has no checkpoint: train again with --overwrite')
  return progress.best_state
