"""An exported model scores raw lines as `detect` does, without this library."""

import dataclasses
import gzip
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalog_jax import errors
from metalog_jax.detectors import registry
from metalog_jax.logs import masking, masksets, parse, systems
from metalog_jax.runs import detect, export, export_events, export_runner, model
from metalog_jax.training import base
from tests import samples
from tests.detectors import systems as small
from tests.runs import test_run

pytest.importorskip('flatbuffers')
fixture_root, fixture_workdir = test_run.fixture_root, test_run.fixture_workdir
ODD = (
  '081109 203501 14 INFO dfs.Node: fetched chunk of blk_1001 blk_1002',
  '081109 203502 14 INFO dfs.Node: what nobody has ever seen blk_9999',
  '081109 203503 14 WARN dfs.Node: storage error during write of blk_9999',
  '',
  '081109 203504 14 INFO dfs.Node: nothing of a block',
  'no line of this system',
)


def logs(root: pathlib.Path, out: pathlib.Path) -> list[str]:
  """The target's log, and one of odd lines, compressed."""
  with gzip.open(out / 'odd.log.gz', 'wb') as file:
    file.write('\n'.join(ODD).encode() + b'\r\n\xff\xfe not text\n')
  return [str(root / 'b' / 'x.log'), str(out / 'odd.log.gz')]


def run(folder: pathlib.Path, arguments, capsys, monkeypatch) -> list[dict]:
  monkeypatch.setattr(export_runner, 'HERE', folder)
  assert export_runner.main(arguments) == 0
  return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def site_of(site: pathlib.Path, names: tuple[str, ...]) -> pathlib.Path:
  """A folder of links to installed packages, for a Python that has no others."""
  site.mkdir()
  for name in names:
    spec = importlib.util.find_spec(name.removesuffix('.libs'))
    place = pathlib.Path(spec.submodule_search_locations[0]).with_name(name)
    if place.exists():
      (site / name).symlink_to(place)
  return site


@pytest.mark.slow
def test_it_runs_where_the_library_is_not(root, workdir, tmp_path):
  """With jax, what jax needs, and flatbuffers on its path."""
  loaded, out = model.load(workdir), tmp_path / 'out'
  export.export(loaded, out)
  names = ('jax', 'jaxlib', 'numpy', 'numpy.libs', 'ml_dtypes', 'opt_einsum',
           'scipy', 'scipy.libs', 'flatbuffers')  # fmt: skip
  site = site_of(tmp_path / 'site', names)
  files = logs(root, tmp_path)
  environment = {'PYTHONPATH': str(site), 'JAX_PLATFORMS': 'cpu'}
  python = [sys.executable, '-S']
  gone = subprocess.run(
    [*python, '-c', 'import metalog_jax'], cwd=tmp_path, env=environment
  )
  assert gone.returncode != 0
  done = subprocess.run(
    [*python, str(out / 'run.py'), *files], cwd=tmp_path, env=environment,
    capture_output=True, text=True,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  check_same([json.loads(line) for line in done.stdout.splitlines()], loaded, files)


def check_same(exported: list[dict], loaded: model.Model, files: list[str]) -> None:
  verdicts = list(detect.detect(loaded, files))
  names = ('session_id', 'first_line', 'last_line', 'anomalous', 'unknown_events')
  assert [[v[n] for n in names] for v in exported] == [
    [v[n] for n in names] for v in verdicts
  ]
  scores = [[v['score'] for v in each] for each in (exported, verdicts)]
  np.testing.assert_allclose(*scores, rtol=0, atol=1e-6)
  for one, other in zip(exported, verdicts, strict=True):
    assert one['first'].items() <= other['first'].items()


def test_scores_are_those_of_detect(root, workdir, tmp_path, capsys, monkeypatch):
  loaded = model.load(workdir)
  sizes = export.export(loaded, tmp_path / 'out')
  assert sizes['program.stablehlo'] < 100_000 and 'run.py' in sizes
  # The state of the optimizer is not part of a model.
  assert sizes['weights.npz'] < 60_000
  files = logs(root, tmp_path)
  check_same(run(tmp_path / 'out', files, capsys, monkeypatch), loaded, files)


QUICK = ('metalog', 'deeplog', 'pca')
NAMES = [
  pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
  for name in registry.DETECTORS
  if name != 'evidence'  # computes with numpy
]


@pytest.mark.parametrize('name', NAMES)
def test_every_detector_of_jax(name, root, tmp_path, workdir):
  """Scores of the exported program, for sessions of many lengths."""
  module = registry.get(name)
  detector = module.make_detector(config := small.small(module.Config()))
  transfer = base.blind(small.transfer(), module.needs(config))
  state = detector.init(export.jax.random.key(0), transfer)
  test = small.system(1, 40, 1) if name == 'deeplog' else small.system(2, 40, 2)
  if name == 'deeplog':
    test = transfer.target
  loaded = model.load(workdir)._replace(
    detector=detector, state=state, vectors=test.vectors, threshold=0.5
  )
  export.export(loaded, tmp_path)
  runner = export_runner.Model(tmp_path)
  ours = [test.sessions.of(i).tolist() for i in range(test.sessions.num)]
  expected = detect.scoring.Scorer(detector).scores(state, test)
  scores = runner.scores(ours)
  np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-6)
  assert scores.std() > 0


@pytest.mark.parametrize('options', [
  {'format': r'^(?P<time>\S+) (?P<session>\w+) (?P<label>\S+) (?P<content>.*)$'},
  {'format': r'^(?P<time>\S+) (?P<node>\w+) (?P<label>\S+) (?P<content>.*)$',
   'window': '3'},
  {'format': r'^(?P<time>\S+) (?P<node>\w+) (?P<label>\S+) (?P<content>.*)$',
   'window': '10s'},
  {'format': r'^(?P<time>\S+) (?P<node>\w+) (?P<label>\S+) (?P<content>.*)$',
   'group': 'none', 'window': '25s', 'max_events': 4},
])  # fmt: skip
def test_lines_are_cut_into_the_same_sessions(options, tmp_path, workdir):
  rng = np.random.default_rng(0)
  words = lambda i: (
    f'2026-11-28T20:{i // 60:02}:{i % 60:02}' + ('.5Z' if i % 7 else '+00:30'),
    f'n{rng.integers(3)}',
    rng.choice(['0', '1', 'odd'], p=[0.6, 0.39, 0.01]),
    f'did {rng.choice(["a", "b"])} {i}',
  )
  lines = [' '.join(words(i)) for i in range(300)]
  lines[40] = 'x n1 0 a line without a time'
  (tmp_path / 'x.log').write_text('\n'.join(lines))
  chosen = systems.Options('custom', logs=(str(tmp_path / 'x.log'),), **options)
  systems.prepare(chosen, tmp_path / 'system')
  frozen = systems.templates.Templates.load(tmp_path / 'system' / 'templates.json')
  loaded = model.load(workdir)._replace(options=chosen)
  exported = types.SimpleNamespace(
    settings=json.loads(json.dumps(export._settings(loaded))),
    templates=export_events.Templates(export._templates(frozen)),
  )
  reader = export_runner.Reader(exported, None)
  reader.read([str(tmp_path / 'x.log')])
  system = systems.store.load(tmp_path / 'system')
  ours = [(s.name, s.first[2], s.last[2], *s.events) for s in reader.sessions.values()]
  sessions = system.sessions
  assert len(ours) > 2 and reader.bad == system.manifest['bad_lines'] > 0
  assert ours == [
    (*row, *sessions.of(i))
    for i, row in enumerate(
      zip(sessions.ids, sessions.first_lines.tolist(), sessions.last_lines.tolist())
    )
  ]


@settings(max_examples=60, deadline=None)
@given(samples.MASKED, samples.MASKED, samples.SETTINGS)
def test_templates_are_found_as_by_the_library(known, new, maskset):
  frozen = parse.mine(dict.fromkeys(known, 1), maskset)
  content = json.loads(json.dumps(export._templates(frozen)))
  runner = export_events.Templates(content)
  lines = [*known, *new]
  events = frozen.assign(lines)[0].tolist()
  assert [runner.event(line) for line in lines] == events


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet='ab_1.:/ -blk', max_size=40))
def test_messages_are_masked_as_by_the_library(message):
  maskset = masksets.HDFS['default']
  frozen = parse.mine({masking.mask_line(message, maskset): 1}, maskset)
  runner = export_events.Templates(export._templates(frozen))
  assert runner.event(message) == 1


def test_what_was_changed_is_refused(workdir, tmp_path, capsys, monkeypatch, root):
  export.export(model.load(workdir), tmp_path / 'out')
  export_again = lambda: export.export(model.load(workdir), tmp_path / 'again')
  export_again()  # with another stack of calls
  for name in export.NAMES:
    same = [(tmp_path / x / name).read_bytes() for x in ('out', 'again')]
    assert same[0] == same[1]
  monkeypatch.setattr(export_runner, 'HERE', tmp_path / 'out')
  log = str(root / 'b' / 'x.log')
  (tmp_path / 'again' / export.CHECKSUMS).write_text('[')
  monkeypatch.setattr(export_runner, 'HERE', tmp_path / 'again')
  assert export_runner.main([log]) == 1
  assert f'{export.CHECKSUMS} is damaged' in capsys.readouterr().err
  monkeypatch.setattr(export_runner, 'HERE', tmp_path / 'out')
  for name in sorted({*export.NAMES} - {export.CHECKSUMS}):
    path = tmp_path / 'out' / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert export_runner.main([log]) == 1
    assert f'{name} was changed' in capsys.readouterr().err
    path.unlink()
    assert export_runner.main([log]) == 1 and name in capsys.readouterr().err
    path.write_bytes(whole)
  for wrong, says in (
    ('nowhere.log', 'nowhere.log'),
    (str(workdir / 'config.json'), 'bad'),
  ):
    assert export_runner.main([wrong]) == 1
    assert says in capsys.readouterr().err


def test_a_line_that_an_expression_explodes_on_is_named(
  workdir, tmp_path, capsys, monkeypatch
):
  loaded = model.load(workdir)
  form = r'^(?P<session>\w) (?P<content>(?:a+)+)$'  # linear but for back-tracking
  options = systems.Options('custom', logs=('x.log',), format=form)
  export.export(loaded._replace(options=options), tmp_path / 'out')
  (tmp_path / 'x.log').write_text('b aaa\nb ' + 'a' * 60 + '!\n')
  monkeypatch.setattr(export_runner, 'HERE', tmp_path / 'out')
  monkeypatch.setattr(export_runner, 'LIMIT', 0.2)
  assert export_runner.main([str(tmp_path / 'x.log')]) == 1
  assert 'x.log:2 takes over 0.2 s: the model' in capsys.readouterr().err


def test_what_cannot_be_exported_is_refused(workdir, tmp_path):
  loaded = model.load(workdir)
  with pytest.raises(errors.UserError, match='knows no raw lines'):
    export.export(loaded._replace(templates=None), tmp_path / 'out')
  auto = dataclasses.replace(loaded.options, system='auto')
  with pytest.raises(errors.UserError, match='--system=auto'):
    export.export(loaded._replace(options=auto), tmp_path / 'out')
  host = loaded.detector._replace(score=lambda state, batch: np.asarray(batch.events))
  with pytest.raises(errors.UserError, match='cannot be exported'):
    export.export(loaded._replace(detector=host), tmp_path / 'out')
  assert not (tmp_path / 'out').exists()
  (tmp_path / 'mine').mkdir()
  (tmp_path / 'mine' / 'thesis.tex').touch()
  with pytest.raises(errors.UserError, match='is no exported model'):
    export.export(loaded, tmp_path / 'mine')
  assert os.listdir(tmp_path / 'mine') == ['thesis.tex']


@pytest.mark.parametrize('threshold', [4.087, 0.0, -2.5])
def test_a_score_that_sets_the_threshold_is_not_above_it(threshold):
  """It is computed another way than by `detect`."""
  assert not export_runner.is_above(threshold + 4e-15, threshold)
  assert not export_runner.is_above(threshold - 1, threshold)
  assert export_runner.is_above(threshold + 1e-6, threshold)
