"""Settings of detectors: wrong ones are refused, those of version 0.1.0 are read."""

import json
import pathlib

import pytest
from absl import flags as absl_flags

from metalog_jax import errors, flags
from metalog_jax.detectors import logmeta, metalog, registry

NAMES = sorted(set(registry.DETECTORS) - {'metalog_released'})  # experiments' own
# Every preset's `dataclasses.asdict` in 0.1.0; of others than 'default', what differs.
STORED = pathlib.Path(__file__).parents[1] / 'golden' / 'configs_0_1_0.json'
RELEASED = ('reference', 'reference_v0')  # of metalog: see experiments.released


@pytest.mark.parametrize('name', NAMES)
def test_settings_of_0_1_0_are_read(name):
  stored, method = json.loads(STORED.read_text())[name], registry.get(name)
  for preset, changes in stored.items():
    saved = stored['default'] | changes
    if name == 'metalog' and preset in RELEASED:
      with pytest.raises(errors.UserError, match='make the run again'):
        flags.restore(method.Config(), saved)
    else:
      assert flags.restore(method.Config(), saved) == method.PRESETS[preset]
  assert set(method.PRESETS) == set(stored) - set(RELEASED)


@pytest.mark.parametrize('name', NAMES)
def test_flags_have_help_and_the_names_of_0_1_0(name):
  settings = flags.describe(name, registry.get(name).Config())
  given = {s.flag.removeprefix(f'{name}.') for s in settings}
  stored = json.loads(STORED.read_text())[name]['default']
  removed = set(registry.get(name).Config.REMOVED)
  nested = {field for field, value in stored.items() if isinstance(value, dict)}
  assert set(stored) - removed - nested <= given
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
  ('anomaly_share', 1.5, 'at most 1'),
]


@pytest.mark.parametrize('name,value,message', WRONG)
def test_what_ran_as_something_else_is_refused(name, value, message):
  with pytest.raises(absl_flags.Error, match=f'--?metalog.{name}=.*{message}'):
    parse(f'--metalog.{name}={value}')
  with pytest.raises(errors.UserError, match=f'{name}=.*{message}'):
    flags.replace(metalog.Config(), **{name: value})


def test_what_excludes_each_other_is_refused():
  with pytest.raises(errors.UserError, match='--logmeta.recurrent'):
    flags.replace(logmeta.Config(), recurrent=False, attention=False)
  with pytest.raises(errors.UserError, match='--logmeta.gradient=implicit'):
    flags.replace(logmeta.Config(), gradient='implicit')


@pytest.mark.parametrize(
  'setting,value',
  [('token_level', True), ('encoder_trainable', 2), ('consistency', 1.0)],
)
def test_removed_settings_are_dropped_at_their_default_alone(setting, value):
  saved = json.loads(STORED.read_text())['logmeta']['default']
  with pytest.raises(errors.UserError, match=f'{setting}=.*make the run again'):
    flags.restore(logmeta.Config(), saved | {setting: value})
