"""A trained model on disk: all that is needed to judge new lines.

A run folder's `model/` holds the event table, the frozen templates and how the
target's lines were read; the weights are in the run's last checkpoint.
"""

import json
import os
import pathlib
import shutil
from typing import Any, NamedTuple

import jax
import numpy as np

from metalog_jax import errors, flags, types
from metalog_jax.detectors import registry
from metalog_jax.embeddings import sources
from metalog_jax.logs import manifests, raw, systems, templates
from metalog_jax.training import base, checkpoints, loop

FOLDER = 'model'
EVENTS = 'events.npz'  # vectors [V, D] and texts [V]
OPTIONS = 'prepare.json'  # systems.Options of the target
KNOWN = 'known.json'  # templates of the sources
ADAPTED = 'adapted'  # of a run folder: the state adapted to the target


class Model(NamedTuple):
  """A detector with its fitted state, and the system that it knows."""

  detector: base.Detector
  state: Any
  vectors: np.ndarray  # [V, D] float32
  texts: tuple[str, ...]  # [V]
  templates: templates.Templates | None  # None: the target was read from session files
  options: systems.Options
  threshold: float
  embedding: sources.Config  # what `vectors` come from


def save(
  workdir: pathlib.Path,
  target: pathlib.Path,
  texts: tuple[str, ...],
  vectors: np.ndarray,
) -> None:
  """Keeps what `load` needs of the target's System folder."""
  folder = workdir / FOLDER
  folder.mkdir(exist_ok=True)
  temporary = folder / f'{EVENTS}.tmp'
  with temporary.open('wb') as file:
    np.savez_compressed(file, vectors=vectors, texts=np.array(texts, np.str_))
  os.replace(temporary, folder / EVENTS)
  if (target / raw.TEMPLATES).exists():
    shutil.copyfile(target / raw.TEMPLATES, folder / raw.TEMPLATES)
  options = manifests.read(target).get('options', {})
  (folder / OPTIONS).write_text(json.dumps(options, indent=1) + '\n')


def load(workdir: pathlib.Path) -> Model:
  """Reads a finished run.

  Raises:
    UserError: `workdir` is no finished run, or it was zero-shot.
  """
  for name in ('config.json', 'result.json'):
    if not (workdir / name).exists():
      raise errors.UserError(
        f'{workdir} is no finished run (it has no {name}): give --model '
        'a folder that experiments.train has finished'
      )
  folder = workdir / FOLDER
  if not (folder / EVENTS).exists():
    raise errors.UserError(
      f'{workdir} was trained without a target system, so it knows no '
      'templates: train with --target to detect'
    )
  config = json.loads((workdir / 'config.json').read_text())
  result = json.loads((workdir / 'result.json').read_text())
  module = registry.get(config['detector'])
  method = flags.restore(module.Config(), config['method'])
  detector = module.make(method)
  with np.load(folder / EVENTS, allow_pickle=False) as table:
    vectors, texts = table['vectors'], tuple(table['texts'].tolist())
  options = json.loads((folder / OPTIONS).read_text())
  options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
  frozen = folder / raw.TEMPLATES
  tests = list(result['test'].values())
  return Model(
    detector,
    trained_state(workdir, detector, vectors, adapted=True),
    vectors,
    texts,
    templates.Templates.load(frozen) if frozen.exists() else None,
    systems.Options(**options),
    tests[0]['all']['threshold'] if tests else 0.5,
    method.embedding,
  )


def extend(model: Model, texts: tuple[str, ...]) -> Model:
  """The model with vectors for `texts`, of which its own are the first.

  Raises:
    UserError: the encoder of the run is not to be had.
  """
  new = texts[len(model.texts) :]
  if not new:
    return model
  added = sources.encode(new, model.embedding)
  vectors = np.concatenate([model.vectors, added])
  return model._replace(vectors=vectors, texts=texts)


def save_known(workdir: pathlib.Path, known: list[list[str]]) -> None:
  """Keeps the templates of the sources, which count for the event vectors' IDF."""
  folder = workdir / FOLDER
  folder.mkdir(exist_ok=True)
  (folder / KNOWN).write_text(json.dumps(known, indent=1) + '\n')


def known(workdir: pathlib.Path) -> list[list[str]]:
  """What `save_known` kept.

  Raises:
    UserError: `workdir` is no finished run.
  """
  path = workdir / FOLDER / KNOWN
  if not path.exists():
    raise errors.UserError(
      f'{workdir} is no finished run (it has no {FOLDER}/{KNOWN}): give --model a '
      'folder that experiments.train has finished'
    )
  return json.loads(path.read_text())


def trained_state(
  workdir: pathlib.Path,
  detector: base.Detector,
  vectors: np.ndarray,
  adapted: bool = False,
) -> Any:
  """The best state of the run's last checkpoint; the adapted one if asked for.

  A run that was adapted and not trained has its adapted state alone.
  """
  nobody = np.zeros(0)
  sessions = types.Sessions(
    nobody,
    nobody,
    np.zeros(0, np.int32),
    np.zeros(1, np.int64),
    np.zeros(0, np.int8),
    nobody,
    nobody,
  )
  dataset = types.Dataset('', sessions, vectors)
  state = detector.init(jax.random.key(0), types.Transfer((dataset,), dataset))
  has = workdir / ADAPTED
  use = has.exists() and (adapted or not (workdir / 'checkpoints').exists())
  saved = checkpoints.Checkpoints(has if use else workdir / 'checkpoints')
  progress = saved.restore(loop.start(state))
  saved.close()
  if progress is None:
    raise errors.UserError(f'{workdir} has no checkpoint: train again with --overwrite')
  return progress.best_state
