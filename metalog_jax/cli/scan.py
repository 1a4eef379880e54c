"""Finds what stands out in logs: no labels, no training, no format.

  metalog scan app.log
  metalog scan logs/ --baseline=good.log --out=findings --fail-on-findings
  journalctl -o json | metalog scan - --top=5
  metalog scan app.log --follow --out=findings

Without --baseline the log is its own baseline. Exit code 3 with --fail-on-findings
where something was found.
"""

import sys
from collections.abc import Sequence
from typing import Any

from metalog_jax import clean, errors, lazy
from metalog_jax.cli.options import Flag, refuse_without
from metalog_jax.logs import budgets

live = lazy.module('metalog_jax.cli.follow')
output = lazy.module('metalog_jax.scanning.output')
redact = lazy.module('metalog_jax.scanning.redact')
scanning = lazy.module('metalog_jax.scanning.scan')

FOUND = 3  # exit code
FLAGS = (
  Flag('baseline', [], 'logs of a good run, or a folder of --save-baseline'),
  Flag('save_baseline', '', 'folder to keep the counts of these logs in'),
  Flag('format', 'auto', "each file's own, a name of a format, or a named-group regex"),
  Flag('encoding', 'auto', "each file's own, or the name of one"),
  Flag('key', [], 'ROLE=NAME of JSON, logfmt, tables: the time, level or message',
       kind=tuple),
  Flag('group', 'auto', 'field or kind of id that groups records; none: windows alone'),
  Flag('window', 'auto', 'number of records, or a duration: 30s, 5m, 1h'),
  Flag('timeout', '', 'log time (10m), or lines, without a record that end a session '
       '(with --follow); none: 10m'),
  Flag('labels', '', 'file of labels: start,end or file:line-line or id,label'),
  Flag('false_alarms', '1%', 'rate of false findings that is allowed'),
  Flag('top', 20, 'findings shown', low=1),
  Flag('mask', [], 'NAME=REGEX of what is a variable', kind=tuple),
  Flag('keep', [], 'REGEX of what is never one', kind=tuple),
  Flag('similarity', None, 'share of equal words that makes one template', kind=float,
       low=0.0, high=1.0),
  Flag('redact', False, 'mask e-mails, addresses, tokens and secrets in all output'),
  Flag('json', False, 'print findings as JSON lines'),
  Flag('fail_on_findings', False, 'exit code 3 where there is one'),
  Flag('follow', False, 'go on as files grow and rotate; findings as windows close'),
  Flag('webhook', '', 'URL that each finding is posted to as JSON (with --follow)'),
  Flag('metrics', '', 'file for Prometheus metrics (with --follow)'),
  Flag('metrics_port', None, 'port that serves them; 0: a free one', kind=int, low=0,
       high=65535),
  Flag('metrics_host', '127.0.0.1', 'address of that port; 0.0.0.0: for all machines'),
  Flag('out', '', 'folder for findings.jsonl, windows.jsonl, scan.json, report.html'),
)  # fmt: skip
TAKES_ARGUMENTS = True
LIVE = ('timeout', 'webhook', 'metrics', 'metrics_port', 'metrics_host')


def check(values: Any) -> None:
  """Refuses flags that are wrong before a log is read."""
  refuse_without(values, 'follow', LIVE)
  check_rate(values)


def check_rate(values: Any) -> None:
  """Refuses a rate at which nothing would be found."""
  if not budgets.rate(values.false_alarms, 'false_alarms'):
    raise errors.UserError(
      '--false_alarms=0: nothing would be found; give a share such as 1%'
    )


def main(values: Any, rest: list[str]) -> int:
  """Scans, prints and writes; the exit code."""
  if not rest:
    raise errors.UserError('no log to scan: metalog scan app.log')
  with redact.in_errors(values.redact):
    if values.follow:
      chosen = options(values, values.baseline, values.timeout)
      return live.main(values, rest, chosen)
    return show(scanning.scan(rest, options(values, values.baseline)), values)


def options(values: Any, baseline: Sequence[str], timeout: str = '') -> Any:
  """The flags as `scan.Options`."""
  return scanning.Options(
    baseline=tuple(baseline),
    save_baseline=values.save_baseline,
    format=values.format,
    encoding=values.encoding,
    key=tuple(values.key),
    group=values.group,
    window=values.window,
    timeout=timeout,
    labels=values.labels,
    false_alarms=budgets.rate(values.false_alarms, 'false_alarms'),
    mask=tuple(values.mask),
    keep=tuple(values.keep),
    similarity=values.similarity,
    redact=values.redact,
    out=values.out,
  )


def show(found: Any, values: Any) -> int:
  """Prints and writes findings; the exit code."""
  if values.json:
    sys.stdout.write(output.json_lines(found))
    for text in found.warnings:
      print(f'note: {clean.printable(text)}', file=sys.stderr)
  else:
    print(output.terminal(found, values.top, output.use_colour()))
  if values.out:
    path = output.write(found, values.out)
    print(f'report: {path}', file=sys.stderr if values.json else sys.stdout)
  return FOUND if values.fail_on_findings and found.active else 0
