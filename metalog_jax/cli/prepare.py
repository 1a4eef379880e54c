r"""Raw logs, or session files, to a System folder.

  metalog prepare --system=hdfs --logs=HDFS.log --labels=anomaly_label.csv \
    --out=systems/hdfs
  metalog prepare --system=bgl --logs=BGL.log.gz --out=systems/bgl
  metalog prepare --system=custom --logs='app/*.log' --out=systems/app \
    --format='^(?P<time>\S+) (?P<session>\w+) (?P<content>.*)$'
  metalog prepare --system=jsonl --sessions=sessions.jsonl \
    --templates=templates.csv --out=systems/mine

Again with the same inputs and flags, it does nothing (--force does it again). With
--runner, Apache Beam reads and groups the lines, on as many machines as its runner
has: the folder is the same.
"""

import os
from typing import Any

from metalog_jax import errors, lazy
from metalog_jax.cli import main as programs
from metalog_jax.cli import options, progress
from metalog_jax.cli.options import Flag

beam = lazy.module('metalog_jax.beam.prepare')
systems = lazy.module('metalog_jax.logs.systems')

SYSTEMS = (  # those of `logs.formats`, whose import takes longer than --help may
  'hdfs', 'bgl', 'thunderbird', 'spirit', 'openstack', 'hadoop', 'auto', 'custom',
  'jsonl',
)  # fmt: skip
CONTENT = (  # what determines the folder
  Flag('system', None, 'format of the logs', SYSTEMS, required=True),
  Flag('logs', [], 'raw logs in order: files, patterns, folders, or - for standard '
       'input; .gz .zst .xz .bz2 and loghub *_structured.csv are read as such'),
  Flag('labels', '', 'file of labels: id,label or start,end or file:line-line'),
  Flag('sessions', [], 'session files of --system=jsonl'),
  Flag('templates', '', 'CSV event_id,template of --system=jsonl'),
  Flag('format', '', 'of --system=custom: regex of a line with the named groups '
       'content (needed), session, node, time, date, label'),
  Flag('time_format', '', "of --system=custom: the time's, as strptime's; none: epoch "
       'numbers or ISO 8601'),
  Flag('group', '', 'what lines are grouped by; openstack: instance, request; hadoop: '
       'application, container; custom: session, node; none: the whole log is one'),
  Flag('window', '', 'cut every group into windows of so many lines (120) or so long '
       '(90s, 10m, 6h); 0: do not; default: 120 for bgl, thunderbird and spirit'),
  Flag('max_events', 0, 'events kept of a session; 0: all', low=0,
       high=options.MOST_COUNT),
  Flag('mining', 'canonical', "templates the same whatever the lines' order, or "
       'online Drain', ('canonical', 'arrival')),
  Flag('parser', 'default', "masks and Drain settings: what groups best, or the "
       "paper's", ('default', 'paper')),
  Flag('fit', 'all', 'lines, from the first on, that templates are fitted on: all, a '
       'share (30%) or a count; no window spans that cut'),
  Flag('max_bad_lines', '5%', 'more bad lines than this are an error'),
  Flag('keep_lines', False, 'keep the line number of every event'),
)  # fmt: skip
FLAGS = (
  *CONTENT,
  Flag('out', None, 'the System folder to write', required=True),
  Flag(
    'workers', 0, 'processes; 0: one a core. Any number gives the same folder', low=0
  ),
  Flag(
    'runner',
    'local',
    'what reads and groups the lines: this program, or a runner of '
    'Apache Beam: DirectRunner, FlinkRunner, DataflowRunner, ...',
  ),
  Flag(
    'runner_options',
    '',
    "flags of Beam's runner, as on a command line: "
    "'--direct_num_workers=2 --direct_running_mode=multi_processing'",
  ),
  Flag('force', False, 'prepare again even if nothing has changed'),
)


def main(values: Any, rest: list[str]) -> None:
  """Prepares, unless the folder is up to date, and says what came out."""
  given = {flag.name: values[flag.name].value for flag in CONTENT}
  given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
  chosen = systems.Options(**given)
  manifest = (
    None if values.force else systems.up_to_date(chosen, values.out, programs.say)
  )
  if manifest:
    programs.say(f'{values.out} is up to date')
  else:
    with progress.Bytes(chosen.logs or chosen.sessions) as read:
      workers = values.workers or os.cpu_count() or 1
      engine = _engine(values)
      manifest = systems.prepare(chosen, values.out, None, workers, read, engine=engine)
  programs.say(summary(manifest))


def check(values: Any) -> None:
  """Raises UserError for options of a runner that there is not."""
  if values.runner == 'local' and values.runner_options:
    raise errors.UserError('--runner_options are those of Beam: give --runner too')
  if values.runner != 'local' and values.system == 'jsonl':
    raise errors.UserError('--runner reads raw logs, and no --system=jsonl')


def _engine(values: Any) -> Any:
  """The engine that --runner names; None: that of this machine."""
  if values.runner == 'local':
    return None
  try:
    return beam.engine(values.runner, values.runner_options)
  except ModuleNotFoundError as error:
    if not (error.name or '').startswith('apache_beam'):
      raise
    raise errors.UserError(
      f'--runner={values.runner} needs Apache Beam, which has an environment of its '
      'own: make beam, or see docs/beam.md'
    ) from None


def summary(manifest: dict) -> str:
  """What was prepared, for people."""
  m = manifest
  lines = [
    f'{m["system"]}{" (SIMULATED)" * m["simulated"]}: {m["lines"]:,} lines, '
    f'{m["bad_lines"]:,} bad; '
    f'{m["templates"] - 1:,} templates ({m["mining"]}, {m["template_hash"][:12]})',
    f'{m["sessions"]:,} sessions, {m["anomalies"]:,} anomalous, {m["unlabelled"]:,} '
    f'without a label; {m["events"]:,} events, {m["distinct_sequences"]:,} distinct '
    'sequences',
    f'{m["seconds"]["prepare"]:.1f} s, {m["lines_per_second"]:,} lines a second',
  ]
  for reason, kept in m.get('bad', {}).items():
    at = kept['first'][0]
    lines.append(f'bad: {kept["count"]:,} {reason}, first {at["file"]}:{at["line"]}')
  if m.get('bad_times'):
    share = m['bad_times'] / m['lines']
    lines.append(f'times that could not be read: {m["bad_times"]:,} ({share:.1%})')
  for name in ('lines_without_session', 'escaped_lines'):
    if m.get(name):
      lines.append(f'{name.replace("_", " ")}: {m[name]:,}')
  for name in ('duplicates', 'unknown_ids', 'unknown_ranges', 'sessions_without_label'):
    if m.get('labels', {}).get(name):
      lines.append(f'labels: {m["labels"][name]:,} {name.replace("_", " ")}')
  return '\n'.join(lines)
