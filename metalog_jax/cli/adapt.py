"""Adapts a trained model to a system by a few labels, in seconds, without the sources.

  metalog adapt --model=runs/many_sources --target=systems/new \\
    --target_normals=10 --target_anomalies=10 --workdir=runs/new

Writes a run folder like `metalog train`; `metalog detect` takes it. Settings of the
method that matter to adaptation may be changed by its dotted flags
(--logmeta.adapt_steps=20); others are those of the model.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from metalog_jax import lazy
from metalog_jax.cli import main as programs
from metalog_jax.cli import options
from metalog_jax.cli.options import Flag

api = lazy.module('metalog_jax.api')

DATA = (
  Flag('target', None, 'System folder to adapt to', required=True),
  Flag('test', ['rest'], 'rest (of the target) and/or System folders'),
  Flag('target_normals', '10', 'labelled normals: a count or a share'),
  Flag('target_anomalies', '10', 'labelled anomalies: a count or a share'),
  Flag('unlabelled', '0', 'test sessions of a random split to use without labels'),
  Flag('split', 'random', 'which target sessions are adapted to',
       ('chronological', 'tail', 'random')),
  Flag('seed', 0, 'of the labels drawn', low=0, high=options.MOST_SEED),
)  # fmt: skip
FLAGS = (
  Flag('model', None, 'a finished run folder', required=True),
  *DATA,
  Flag('workdir', None, 'run folder to write', required=True),
)


def detector(arguments: Sequence[str]) -> str | None:
  """The model's, as far as there is a model."""
  path = pathlib.Path(options.given(arguments, 'model')) / 'config.json'
  try:
    return json.loads(path.read_text())['detector']
  except (OSError, ValueError, KeyError, TypeError):
    return None  # `main` says what is wrong with it


def main(values: Any, rest: list[str]) -> None:
  """Adapts, judges the rest of the target, prints the table."""
  method = options.settings(values, detector([f'--model={values.model}']))
  given = {flag.name: values[flag.name].value for flag in DATA}
  run = api.adapt(
    values.model, workdir=values.workdir, say=programs.say, **given, **method
  )
  programs.say(run)
  if adaptation := run.result['adaptation']:
    steps, seconds = adaptation['steps'], adaptation['seconds']
    programs.say(f'{steps} steps in {seconds:.2f} s; {adaptation["pseudo_labels"]}')
