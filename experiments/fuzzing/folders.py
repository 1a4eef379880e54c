"""Targets that read folders, flags and what a webhook answers.

A whole folder is made once a process; each case changes one file of a copy and, mostly,
its checksums too, as who means ill would.
"""

import dataclasses
import functools
import importlib
import json
import pathlib
import random
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable

import numpy as np
import polars as pl
from absl import flags

from experiments.fuzzing import inputs, mutations, texts
from metalog_jax import atomic, errors
from metalog_jax.cli import main as programs
from metalog_jax.cli import options
from metalog_jax.logs import manifests, store, systems
from metalog_jax.scanning import baseline, follow, scan, sinks

_SEALED = 0.8  # share of cases whose checksums fit what was changed
_BOOK: list[tempfile.TemporaryDirectory] = []  # until the process ends


def _root() -> pathlib.Path:
  _BOOK.append(tempfile.TemporaryDirectory(prefix='metalog_fuzz_'))
  return pathlib.Path(_BOOK[-1].name)


def damaged(
  whole: pathlib.Path, folder: pathlib.Path, draw: random.Random
) -> pathlib.Path:
  """A copy with one file changed, cut, exchanged or gone; the path of that file."""
  shutil.copytree(whole, folder)
  path = draw.choice(sorted(p for p in folder.rglob('*') if p.is_file()))
  data = path.read_bytes()
  if draw.random() < 0.05:
    path.unlink()
  elif path.suffix == '.parquet' and draw.random() < 0.8:
    mutations.table(pl.read_parquet(path), draw).write_parquet(path)
  elif path.suffix in ('.json', '.jsonl'):
    path.write_bytes(mutations.json_text(data, draw))
  else:
    path.write_bytes(mutations.text(data, draw))
  return path


@functools.cache
def _whole_system() -> pathlib.Path:
  root, draw = _root(), random.Random(0)
  (root / 'x.log').write_bytes(inputs.raw('hdfs', draw, 200))
  made = systems.Options('hdfs', logs=(str(root / 'x.log'),))
  systems.prepare(made, root / 'system')
  return root / 'system'


def _seal_system(folder: pathlib.Path, changed: pathlib.Path) -> None:
  path = folder / manifests.NAME
  manifest = json.loads(path.read_bytes())
  if changed != path:
    manifests.write(folder, manifest)
    return
  path.write_text(atomic.to_json(manifests.sealed(manifest)))


def system(folder: pathlib.Path, draw: random.Random) -> texts.Count:
  """A System folder, loaded and streamed."""
  folder = folder / 'system'
  changed = damaged(_whole_system(), folder, draw)
  if draw.random() < _SEALED:
    _try(lambda: _seal_system(folder, changed))
  read = store.load(folder)
  for _ in store.stream(folder, 7):
    pass
  texts.hold(
    'events have templates', (read.sessions.events < len(read.templates)).all()
  )
  return len(read.sessions.events), 1


def _try(do: Callable[[], object]) -> None:
  """What cannot be sealed any more stays as it is."""
  try:
    do()
  except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError):
    return


@functools.cache
def _whole_baseline() -> pathlib.Path:
  root, draw = _root(), random.Random(0)
  rows = [
    f'2026-01-02 15:{i // 60:02}:{i % 60:02} INFO shop: session_id=ab{i // 4:06} '
    f'{("paid", "shipped", "sent")[i % 3]} in {draw.randint(1, 99)} ms host=db{i % 3}'
    for i in range(900)
  ]
  (root / 'good.log').write_text('\n'.join(rows) + '\n')
  scan.add_to_baseline(str(root / 'base'), [str(root / 'good.log')], scan.Options())
  return root / 'base'


def saved_baseline(folder: pathlib.Path, draw: random.Random) -> texts.Count:
  """A baseline, compared with and added to."""
  place = folder / 'base'
  damaged(_whole_baseline(), place, draw)
  if draw.random() < _SEALED:
    _try(lambda: _seal_baseline(place))
  log = _whole_baseline().parent / 'good.log'
  found = scan.scan([str(log)], scan.Options(baseline=(str(place),)))
  if draw.random() < 0.5:
    scan.add_to_baseline(str(place), [str(log)], scan.Options())
  return found.summary['lines'], 1


def _seal_baseline(folder: pathlib.Path) -> None:
  path = folder / baseline.MANIFEST
  manifest = json.loads(path.read_bytes())
  for name in manifest['sha256']:
    manifest['sha256'][name] = baseline._sha256(folder / name)
  path.write_text(json.dumps(manifests.sealed(manifest)))


@functools.cache
def _whole_state() -> pathlib.Path:
  root = _root()
  shutil.copy(_whole_baseline().parent / 'good.log', root / 'a.log')
  _follow(root / 'a.log', root / 'out')
  return root / 'out'


def _follow(log: pathlib.Path, out: pathlib.Path) -> int:
  chosen = scan.Options(out=str(out), window='5s')
  follower = follow.Follower([str(log)], chosen, len, len, lambda f: f._stop(15, None))
  follower.run()
  return follower.memory.lines


def state(folder: pathlib.Path, draw: random.Random) -> texts.Count:
  """The state of a follower, taken up."""
  damaged(_whole_state(), folder / 'out', draw)
  return _follow(_whole_state().parent / 'a.log', folder / 'out'), 1


@functools.cache
def _whole_run() -> pathlib.Path:
  from metalog_jax.detectors import registry  # jax: not for other targets
  from metalog_jax.embeddings import gcse
  from metalog_jax.runs import problem, run
  from metalog_jax.training import loop

  root, draw = _root(), random.Random(1)
  rows = [f'blk_{i},{"Anomaly" if i % 4 == 0 else "Normal"}\n' for i in range(9)]
  (root / 'labels.csv').write_text(''.join(rows))
  (root / 'vectors.txt').write_bytes(inputs.vectors('glove'))
  for name in 'ab':
    (root / f'{name}.log').write_bytes(inputs.raw('hdfs', draw, 200) * 2)
    systems.prepare(
      systems.Options(
        'hdfs', logs=(str(root / f'{name}.log'),), labels=str(root / 'labels.csv')
      ),
      root / name,
    )
  method = registry.get('pca').Config()
  data = problem.Options(
    source=(str(root / 'a'),), target=str(root / 'b'), target_normals='3',
    target_anomalies='1', split='random')  # fmt: skip
  embedding = gcse.Embedding(vectors=str(root / 'vectors.txt'))
  method = dataclasses.replace(method, embedding=embedding)
  job = run.Job('pca', 'default', method, data, loop.Options(5, 10))
  run.start(job, root / 'run', say=len)
  return root / 'run'


def run_folder(folder: pathlib.Path, draw: random.Random) -> texts.Count:
  """A run folder: its model judges a log, and its report is written."""
  from metalog_jax.report import report  # jax: not for other targets
  from metalog_jax.runs import detect, model
  from metalog_jax.runs import folder as run_folders

  place = folder / 'run'
  damaged(_whole_run(), place, draw)

  def seal() -> None:
    sums = {
      name: manifests.file_hash(place / name) for name in run_folders._files(place)
    }
    sums[run_folders.RESULT] = manifests.file_hash(place / run_folders.RESULT)
    atomic.write_json(place / run_folders.CHECKSUMS, sums)

  if draw.random() < _SEALED:
    _try(seal)
  if draw.random() < 0.3:
    report.write([place], folder / 'report')
    return 0, 1
  log = _whole_run().parent / 'a.log'
  count = 0
  for verdict in detect.detect(model.load(place), str(log)):
    json.dumps(verdict, allow_nan=False)
    count += 1
  return count, 1


@functools.cache
def _whole_encoder() -> pathlib.Path:
  import tokenizers
  from safetensors import numpy as safetensors

  from metalog_jax.embeddings import pretrained

  root = _root() / 'encoder'
  root.mkdir()
  names = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *'abcdefg', 'disk', 'failure')
  form = pretrained.Form('bert', len(names), 8, 1, 2, 16, 20)
  tokenizer = tokenizers.BertWordPieceTokenizer({n: i for i, n in enumerate(names)})
  tokenizer.save(str(root / pretrained.TOKENIZER))
  sizes = {key: getattr(form, name) for name, key in pretrained._SIZES.items()}
  config = {'model_type': 'bert', 'architectures': ['BertModel'], **sizes}
  (root / pretrained.CONFIG).write_text(json.dumps(config))
  tensors = {
    f'{group.replace("layer_", "encoder.layer.")}.{name}': np.ones(shape, np.float32)
    for group, shapes in pretrained.weight_shapes(form).items()
    for name, shape in shapes.items()
  }
  safetensors.save_file(tensors, root / pretrained.WEIGHTS)
  return root


def encoder(folder: pathlib.Path, draw: random.Random) -> texts.Count:
  """The folder of a pre-trained encoder: its form, tokenizer and weights."""
  from metalog_jax.embeddings import pretrained  # safetensors: an extra

  place = folder / 'encoder'
  damaged(_whole_encoder(), place, draw)
  form = pretrained.read_form(place)
  tokenizer = pretrained.read_tokenizer(place, form)
  pretrained.tokenize(tokenizer, ['disk failure', '', 'a' * 999, '\ue000'], 9)
  pretrained.read_weights(place, form)
  return 0, 3


_WORDS = (
  'auto', 'nan', '-1', '0', '1e999', '', '5%', '101%', '9' * 30, 'x=y', '\0', ',', '[',
  '/dev/null', '/nowhere/x', '..', 'true', 'None', '\u202e', '(?P<a>',
)  # fmt: skip


def given_flags(folder: pathlib.Path, draw: random.Random) -> texts.Count:
  """Flags of every program, read and checked and no more."""
  del folder
  name = draw.choice([*programs.PROGRAMS])
  module = importlib.import_module(f'metalog_jax.cli.{name}')
  arguments = []
  for flag in draw.choices(module.FLAGS, k=draw.randint(0, 4)):
    value = draw.choice((*_WORDS, str(flag.default)))
    if draw.random() < 0.2:
      value = mutations.text(value.encode(), draw, 1)[:99].decode('utf-8', 'replace')
    arguments.append(f'--{flag.name}={value}')
  if draw.random() < 0.3:
    arguments.append(
      draw.choice(('-', '--', '---', '--no', '--x.y=1', '--metalog.a=1'))
    )
  try:
    options.parse(module, name, options.expand(arguments))
  except (flags.Error, OSError) as error:
    raise errors.UserError(f'--{name}: {error}') from None
  return 1, 0


_HTTP = b'HTTP/1.1 '
_ANSWERS = (
  *(_HTTP + b'200 OK\r\nContent-Length: 0\r\n\r\n', _HTTP + b'500 x\r\n\r\n', b''),
  *(_HTTP + b'302 x\r\nLocation: http://127.0.0.1:1/\r\n\r\n', b'HTTP/9 9\r\n\r\n'),
  _HTTP + b'200 OK\r\n' + b'A: ' + b'x' * 70_000 + b'\r\n\r\n',
  *(_HTTP + b'200 OK\r\n' + b'A: b\r\n' * 200 + b'\r\n', _HTTP + b'401 x\r\n\r\n'),
  *(_HTTP + b'200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', b'\0' * 99),
)


def webhook(folder: pathlib.Path, draw: random.Random) -> texts.Count:
  """What answers a webhook, and values of metrics."""
  server = socket.create_server(('127.0.0.1', 0))
  answers = [mutations.text(draw.choice(_ANSWERS), draw, 1) for _ in range(5)]

  def serve() -> None:
    for answer in answers:
      try:
        there, _ = server.accept()
        with there:
          there.recv(1 << 16)
          there.sendall(answer)
      except OSError:
        return

  threading.Thread(target=serve, daemon=True).start()
  failed: list[object] = []
  threading.excepthook = failed.append
  hook = sinks.Webhook(f'http://127.0.0.1:{server.getsockname()[1]}/', pause=0.001)
  hook.put({'text': draw.choice(mutations.VALUES)})
  hook.close()
  server.close()
  texts.hold('no thread has died', not failed, failed)
  texts.hold('each finding is sent or dropped', hook.sent + hook.dropped == 1)
  value = draw.choice([v for v in mutations.VALUES if isinstance(v, int | float)])
  sinks.Metrics(str(folder / 'm')).show({'lines_total': value}, {'new': 1}, last=True)
  return 1, 1


TARGETS: dict[str, Callable[[pathlib.Path, random.Random], texts.Count]] = {
  'system': system,
  'baseline': saved_baseline,
  'state': state,
  'run': run_folder,
  'encoder': encoder,
  'flags': given_flags,
  'webhook': webhook,
}
