"""The sections of the report of one run."""

from typing import Any

from metalog_jax.report import figures, results, run_folder, tables
from metalog_jax.report import key_values as facts
from metalog_jax.report.document import elements, folding

_SHOWN = 10  # sessions of a kind
_AUDITS = {'audit': 'Split', 'fit': 'Fitted on', 'coverage': 'Words with a vector'}


def of_run(run: run_folder.Run) -> list[Any]:
  """The whole report of one run."""
  names = results.tests([run.result])
  return [
    title(run.result),
    *(block for test in names for block in _summary(run, test)),
    *(
      block
      for test in names
      for block in _under(_of('Curves', run, test), figures.curves(run, test))
    ),
    *_under('Training', figures.training(run)),
    *(block for test in names for block in _sessions(run, test)),
    *_data(run.result),
    *_timings(run.result),
    *_folded('Settings', run.config),
    *_folded('Environment', run.environment),
  ]


def title(result: results.Result) -> elements.Title:
  """What was trained on what, with how many labels; SIMULATED where it is."""
  simulated = results.is_simulated(result)
  subtitle = f'{results.method(result)}, seed {result.get("seed")}. '
  subtitle += f'Labels seen: {results.labels(result)}.'
  if note := result.get('note'):
    subtitle += f' {result["detector"]}: {note}.'
  return elements.Title(
    f'{"SIMULATED: " if simulated else ""}{result["detector"]},'
    f' {results.systems(result)}',
    subtitle,
    simulated_warning([result]),
  )


def simulated_warning(found: list[results.Result]) -> str:
  """What a reader of runs on simulated logs is told first; empty if none is."""
  names = dict.fromkeys(name for of in found for name in of.get('simulated') or [])
  if not names:
    return ''
  return (
    f'Simulated logs: {", ".join(names)}. Figures on them say how this program'
    ' behaves, not how it does on real logs.'
  )


def _summary(run: run_folder.Run, test: str) -> list[Any]:
  found = [run.result]
  return [
    elements.Heading(f'Results on {_test_name(run.result, test)}'),
    _tiles(found, test),
    tables.quality(found, test),
    tables.at_threshold(found, test),
  ]


def _test_name(result: results.Result, test: str) -> str:
  target = results.short(result.get('target') or '')
  return f'the rest of {target}' if test == 'rest' and target else test


def _tiles(found: list[results.Result], test: str) -> elements.Tiles:
  counts = results.measures(found[0], test, 'all')
  of_all = f'{results.number(counts.get("anomalies"))} anomalous of' + (
    f' {results.number(counts.get("sessions"))} sessions'
  )
  tiles = [
    elements.Tile('F1', _percent(found, test, 'all', 'f1'), of_all),
    elements.Tile('F1, distinct', _percent(found, test, 'distinct', 'f1')),
    elements.Tile('F1, unseen', _percent(found, test, 'unseen', 'f1')),
    elements.Tile('AUPRC', _percent(found, test, 'all', 'auprc')),
    elements.Tile('AUROC', _percent(found, test, 'all', 'auroc')),
  ]
  if best := results.best_floor(found, test, 'all', 'f1'):
    name, floor = best
    above = results.beats(floor, results.value(found, test, 'all', 'f1'))
    text = f'{floor.percent(1)} %' + (f' {elements.MARK}' if above else '')
    note = f'{name}, above the detector' if above else name
    tiles.append(elements.Tile('best floor F1', text, note))
  return elements.Tiles(tiles)


def _percent(found: list[results.Result], test: str, kind: str, key: str) -> str:
  return f'{results.value(found, test, kind, key).percent(1)} %'


def _of(text: str, run: run_folder.Run, test: str) -> str:
  several = len(results.tests([run.result])) > 1
  return f'{text}: {_test_name(run.result, test)}' if several else text


def _under(text: str, found: list[elements.Figure]) -> list[Any]:
  return [elements.Heading(text), elements.Figures(found)] if found else []


def _sessions(run: run_folder.Run, test: str) -> list[Any]:
  """The most anomalous and the worst-judged sessions, event by event."""
  sessions = run.explained.get(test) or []
  top = [s for s in sessions if s.get('why') == 'most anomalous'][:_SHOWN]
  worst = [s for s in sessions if s.get('why') in ('missed', 'false alarm')][:_SHOWN]
  if not sessions:
    return []
  legend = (
    'Events in order; runs of equal events are folded, the middle of long sessions is'
    ' cut but for its heaviest events. Per cent: the share of'
    " the detector's attention; the darkest event is the heaviest of its session."
  )
  content = [elements.Heading(_of('Sessions', run, test)), elements.Text(legend)]
  for text, group in (('Most anomalous', top), ('Worst judged', worst)):
    content.append(elements.Heading(text, 3))
    content += [_session(session, i == 0) for i, session in enumerate(group)]
    if not group:
      content.append(elements.Text('None.'))
  return content


def _session(session: dict[str, Any], is_open: bool) -> elements.Session:
  label = {1: 'anomalous', 0: 'normal'}.get(session.get('label'), 'unlabelled')
  facts = [f'labelled {label}' if label != 'unlabelled' else label]
  facts.append(f'score {session["score"]:.6g}')
  if session.get('why') != 'most anomalous':
    facts.insert(0, session['why'])
  if session.get('first_line'):
    facts.append(f'lines {session["first_line"]:,} to {session["last_line"]:,}')
  facts.append(f'{len(session["events"]):,} events')
  rows = folding.cut(folding.fold(session['events']))
  return elements.Session(str(session['session_id']), ' · '.join(facts), rows, is_open)


def _data(result: results.Result) -> list[Any]:
  """Who saw which labels, how the split was cut, what was fitted on what."""
  seen = result.get('labels_seen') or {}
  counts = [[side, *map(results.number, _classes(of))] for side, of in seen.items()]
  content = [elements.Heading('Data')]
  if counts:
    head = ('labels seen', 'normal', 'anomalous')
    content.append(elements.Table(head, counts))
  for key, text in _AUDITS.items():
    if result.get(key):
      content += [elements.Heading(text, 3), *facts.readable(result[key])]
  return content


def _classes(of: dict[str, int] | None) -> list[int | None]:
  return [(of or {}).get(label) for label in ('normal', 'anomalous')]


def _timings(result: results.Result) -> list[Any]:
  rows = [
    (f'{name}, s', text) for name, text in facts.flat(result.get('seconds') or {})
  ]
  if result.get('test_ms_per_session') is not None:
    rows.append(('a session, ms', results.number(result['test_ms_per_session'])))
  return [elements.Heading('Timings'), facts.table(rows)] if rows else []


def _folded(text: str, values: dict[str, Any]) -> list[Any]:
  if not values:
    return []
  rows = facts.flat(values)
  return [
    elements.Heading(text),
    elements.Fold(f'{len(rows)} entries', [facts.table(rows)]),
  ]
