"""Settings of detectors: wrong ones are refused, presets are those of version 0.1.0."""

import dataclasses
import json
import pathlib

import pytest
from absl import flags as absl_flags

from metalog_jax import errors, flags
from metalog_jax.detectors import logmeta, metalog, registry

NAMES = sorted(set(registry.DETECTORS) - {'metalog_released', 'evidence'})  # newer
# Every preset's `dataclasses.asdict` in 0.1.0; of others than 'default', what differs.
STORED = pathlib.Path(__file__).parents[1] / 'golden' / 'configs_0_1_0.json'
RELEASED = ('reference', 'reference_v0')  # of metalog: see experiments.released
REMOVED = {
  'metalog': 'estimated_labels labels wrong_rows unmasked_padding random_attention '
  'alternate',
  'logmeta': 'token_level max_tokens encoder_trainable encoder_lr consistency '
  'view_rate',
  'plelog': 'patience',
  'logtransfer': 'patience',
}
REMOVED |= {'tca_plelog': 'patience'}


@pytest.mark.parametrize('name', NAMES)
def test_presets_are_those_of_0_1_0(name):
  stored, method = json.loads(STORED.read_text())[name], registry.get(name)
  for preset in set(stored) - set(RELEASED):
    saved = stored['default'] | stored[preset]
    for setting in set(saved) - set(REMOVED.get(name, '').split()):
      value = flags.get(method.PRESETS[preset], setting)
      if dataclasses.is_dataclass(value):
        is_group = isinstance(saved[setting], dict)
        value = dataclasses.asdict(value) if is_group else flags.get(value, setting)
      if setting == 'embedding':
        value |= {'oov': 'zero'}  # the only way left
      assert value == saved[setting], (preset, setting)
  assert set(method.PRESETS) == set(stored) - set(RELEASED)


@pytest.mark.parametrize('name', NAMES)
def test_flags_have_help_and_the_names_of_0_1_0(name):
  settings = flags.describe(name, registry.get(name).Config())
  given = {s.flag.removeprefix(f'{name}.') for s in settings}
  stored = json.loads(STORED.read_text())[name]['default']
  nested = {field for field, value in stored.items() if isinstance(value, dict)}
  assert set(stored) - set(REMOVED.get(name, '').split()) - nested <= given
  assert all(s.help for s in settings if '.embedding.' not in s.flag)


def parse(*arguments: str) -> metalog.Config:
  values = absl_flags.FlagValues()
  flags.define('metalog', metalog.Config(), values)
  values(['', *arguments])
  return flags.read('metalog', metalog.Config(), values)


WRONG = [
  ('pooling', 'maen', "did you mean 'mean'"),
  ('hidden', 0, 'at least 1'),
  ('batch', 0, 'at least 1'),
  ('max_events', 10**20, 'at most'),
  ('inner_lr', float('nan'), 'finite'),
  ('steps', -1, 'at least 0'),
  ('anomaly_share', 1, 'below 1'),
]


@pytest.mark.parametrize('name,value,message', WRONG)
def test_what_ran_as_something_else_is_refused(name, value, message):
  with pytest.raises(absl_flags.Error, match=f'--?metalog.{name}=.*{message}'):
    parse(f'--metalog.{name}={value}')
  with pytest.raises(errors.UserError, match=f'{name}=.*{message}'):
    flags.replace(metalog.Config(), **{name: value})


# Shares of which nothing is left at 1: sessions, states, the spectrum, a moment.
SHARES = [
  'evidence.false_alarms', 'pca.kept', 'logtad.dropout', 'neurallog.dropout',
  'logrobust.dropout', 'logtransfer.dropout', 'logtransfer.target_dropout',
  'logrobust.anomaly_share', 'logtransfer.anomaly_share', 'neurallog.anomaly_share',
  'metalog.adam_b2', 'plelog.adam_b2',
]  # fmt: skip


@pytest.mark.parametrize('flag', SHARES)
def test_a_share_that_leaves_nothing_is_refused_by_its_name(flag):
  name, _, setting = flag.partition('.')
  base, values = registry.get(name).Config(), absl_flags.FlagValues()
  flags.define(name, base, values)
  with pytest.raises(absl_flags.Error, match=f'{flag}=.*below 1'):
    values(['', f'--{flag}=1'])
  values(['', f'--{flag}=0.999'])
  assert flags.get(flags.read(name, base, values), setting) == 0.999


def test_what_excludes_each_other_is_refused():
  with pytest.raises(errors.UserError, match='--logmeta.recurrent'):
    flags.replace(logmeta.Config(), recurrent=False, attention=False)
  with pytest.raises(errors.UserError, match='--logmeta.gradient=implicit'):
    flags.replace(logmeta.Config(), gradient='implicit')


@pytest.mark.parametrize('setting,value', [('token_level', True), ('network', 3)])
def test_settings_that_are_not_known_are_refused(setting, value):
  saved = dataclasses.asdict(logmeta.Config())
  assert flags.restore(logmeta.Config(), saved) == logmeta.Config()
  with pytest.raises(errors.UserError, match=f'{setting}=.*make the run again'):
    flags.restore(logmeta.Config(), saved | {setting: value})
