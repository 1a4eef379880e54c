"""A trained model as a folder that needs neither this library nor its caches.

program.stablehlo   the scores of a batch of sessions, of any number and length
weights.npz         what the program is given beside the batch; of `evidence`, the
                    fitted reference
templates.json      masks, and the templates' tree: messages to events
model.json          how lines are read and cut into sessions, the threshold
run.py              raw lines in, scores out; a copy of `export_runner`
events.py           messages in, events out; a copy of `export_events`
scores.py           sessions in, scores out; a copy of `export_program`, or of
                    `export_evidence`, which needs numpy alone and has no program
checksums.json      SHA-256 of the others
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import metalog_jax
from metalog_jax import atomic, errors, types
from metalog_jax.embeddings import sources
from metalog_jax.logs import labels, masking, templates
from metalog_jax.meta import mesh
from metalog_jax.runs import detect
from metalog_jax.runs import model as models

PLATFORMS = ('cpu', 'cuda', 'tpu')
CHECKSUMS, RUNNER = 'checksums.json', 'run.py'
EVENTS, SCORES = 'events.py', 'scores.py'
PROGRAM = 'program.stablehlo'
NAMES = (
  'model.json', 'templates.json', 'weights.npz', PROGRAM, RUNNER, EVENTS,
  SCORES, CHECKSUMS
)  # fmt: skip


def export(model: models.Model, out: str | os.PathLike) -> dict[str, int]:
  """Writes the folder `out`; returns the bytes of every file.

  Raises:
    UserError: the model knows no raw lines, or such as run.py cannot read; its scores
      cannot be exported; flatbuffers is not installed; or `out` holds something else
      than an exported model.
  """
  frozen = detect.templates_of(model)
  if model.options.system == 'auto':
    raise errors.UserError(
      'the target was read by --system=auto, whose rules run.py does not have: prepare '
      'it with --system=custom --format=REGEX, train again, then export'
    )
  out = pathlib.Path(out)
  inside = {path.name for path in out.iterdir()} if out.is_dir() else set()
  if out.exists() and not (out.is_dir() and inside <= {*NAMES}):
    raise errors.UserError(f'{out} exists and is no exported model; give another --out')
  with _without_stacks():
    program, arrays, scores = _parts(model)
  with atomic.replacing_folder(out) as folder:
    if program:
      (folder / PROGRAM).write_bytes(program)
    np.savez(folder / 'weights.npz', **arrays)
    atomic.write_json(folder / 'templates.json', _templates(frozen))
    names = [name for name in arrays if name != 'vectors']
    atomic.write_json(folder / 'model.json', _settings(model) | {'weights': names})
    shutil.copyfile(_file('export_runner'), folder / RUNNER)
    shutil.copyfile(_file('export_events'), folder / EVENTS)
    shutil.copyfile(scores, folder / SCORES)
    data = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in data.items()}
    atomic.write_json(folder / CHECKSUMS, sums)
  return {name: len(content) for name, content in data.items()}


def _parts(model: models.Model) -> tuple[bytes, dict[str, Any], str]:
  """A program (b'': none), arrays, and the file that scores with them."""
  if model.detector.host:
    sessions = types.Sessions.none()
    data = types.Dataset('', sessions, model.vectors, model.texts)
    arrays = model.detector.host.arrays(model.state, data)
    return b'', arrays, _file('export_evidence')
  program, weights = _program(model)
  return program, {'vectors': model.vectors, **weights}, _file('export_program')


def _file(name: str) -> str:
  """Where a module of this room is; it need not be imported."""
  return str(pathlib.Path(__file__).with_name(f'{name}.py'))


@contextlib.contextmanager
def _without_stacks() -> Iterator[None]:
  """Programs name no callers inside: a model is the same whoever exports it."""
  names = {
    'jax_include_full_tracebacks_in_locations': False,
    'jax_traceback_in_locations_limit': 0,
  }
  before = {name: jax.config.values[name] for name in names}
  for name, value in names.items():
    jax.config.update(name, value)
  try:
    yield
  finally:
    for name, value in before.items():
      jax.config.update(name, value)


def _program(model: models.Model) -> tuple[bytes, dict[str, np.ndarray]]:
  """Serialized f(weights, vectors [V, D], events [L, B], lengths [B]) -> scores [B].

  L and B are symbols with L B >= V: of more events than templates it is always cheaper
  to project the templates, so that a network need not choose. A grid has one session a
  column. The weights are the leaves of the state that scores depend on.
  """
  paths, tree = jax.tree_util.tree_flatten_with_path(mesh.local(model.state))
  names = [jax.tree_util.keystr(path, simple=True, separator='.') for path, _ in paths]
  leaves = [np.asarray(leaf) for _, leaf in paths]

  def score(leaves, vectors, events, lengths):
    steps, num = events.shape
    sessions = jnp.where(jnp.arange(steps)[:, None] < lengths, jnp.arange(num), num)
    none, one = jnp.zeros(num), jnp.ones(num)
    batch = types.Batch(vectors, events, sessions.astype(jnp.int32), none, one)
    return model.detector.score(jax.tree.unflatten(tree, leaves), batch)

  shape = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype)
  vectors = np.asarray(model.vectors, np.float32)
  given = (
    shape(vectors),
    *(np.zeros(n, np.int32) for n in ((8, len(vectors)), len(vectors))),
  )
  try:
    jaxpr = jax.make_jaxpr(score)(leaves, *given).jaxpr
    read = {id(x) for eqn in jaxpr.eqns for x in eqn.invars}
    used = [i for i, x in enumerate(jaxpr.invars[: len(leaves)]) if id(x) in read]

    def of_used(weights, *batch):
      every = dict(zip(used, weights, strict=True))
      return score([every.get(i, leaf) for i, leaf in enumerate(leaves)], *batch)

    steps, num = jax.export.symbolic_shape(
      'steps, sessions', constraints=[f'steps*sessions >= {len(vectors)}']
    )
    exported = jax.export.export(jax.jit(of_used), platforms=PLATFORMS)(
      [shape(leaves[i]) for i in used],
      shape(vectors),
      jax.ShapeDtypeStruct((steps, num), jnp.int32),
      jax.ShapeDtypeStruct((num,), jnp.int32),
    )
    return bytes(exported.serialize()), {names[i]: leaves[i] for i in used}
  except ImportError:
    raise errors.UserError(
      'export needs flatbuffers: pip install "metalog-logs[export]"'
    ) from None
  except Exception as error:  # jax's, of any kind: a detector may do what it likes
    why = (str(error) or type(error).__name__).splitlines()[0]
    raise errors.UserError(
      f'the detector cannot be exported: its scores are not one program of jax ({why})'
    ) from error


def _templates(frozen: templates.Templates) -> dict[str, Any]:
  mask = frozen.maskset
  return {
    'masks': [(p, f'{mask.prefix}{name}{mask.suffix}') for p, name in mask.rules],
    'max_word': masking.MAX_WORD,
    'max_message': masking.MAX_MESSAGE,
    'delimiters': mask.delimiters,
    'wildcard': mask.wildcard,
    'similarity': mask.sim_th,
    'depth': mask.depth,
    'texts': frozen.texts,
    'exceptions': dict(frozen.exceptions),
    'tree': frozen.tree(),
  }


def _settings(model: models.Model) -> dict[str, Any]:
  options, reading = model.options, model.detector.reading
  form, cut = options.line_format(), options.cut()
  words = [*labels.NORMAL, *labels.ANOMALOUS] if form.label and not form.alert else []
  return {
    'format': 1,
    'made_by': f'metalog_jax {metalog_jax.__version__}, jax {jax.__version__}',
    'threshold': model.threshold,
    'learns_new_lines': sources.can_extend(model.embedding),
    'collapse': reading.collapse,
    'most_events': reading.max_events,
    'max_events': cut.max_events,
    'window_lines': cut.lines,
    'window_seconds': cut.seconds,
    'max_bad_lines': options.max_bad_lines,
    'format_of_lines': {
      'line': form.line,
      'columns': form.columns,
      'head': form.head,
      'keys': [dataclasses.asdict(key) for key in form.keys(options.group)],
      'time': form.time,
      'time_format': form.time_format,
      'label': form.label,
      'labels': words,
      'continues': form.continues,
    },
  }
