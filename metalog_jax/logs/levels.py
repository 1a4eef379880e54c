"""How loud a record is: words, letters and numbers of many loggers, as words."""

import polars as pl

WORDS = (
  'TRACE DEBUG DBG INFO INF INFORMATION NOTICE NOTE WARNING WARN WRN ERROR ERR SEVERE '
  'CRITICAL CRIT FATAL FTL PANIC ALERT EMERGENCY EMERG FINE FINER FINEST CONFIG '
  'VERBOSE VRB LOG AUDIT SUCCESS SYSTEM'
).split()
ANY = '(?i:' + '|'.join(sorted(WORDS, key=len)[::-1]) + ')'

_SAME = {
  **dict(I='INFO', W='WARN', E='ERROR', F='FATAL', D='DEBUG', V='VERBOSE', T='TRACE'),
  **dict(A='ALERT', C='CRITICAL', N='NOTICE', DBG='DEBUG', INF='INFO', WRN='WARN'),
  **dict(ERR='ERROR', FTL='FATAL', CRIT='CRITICAL', EMERG='EMERGENCY', VRB='VERBOSE'),
  **dict(INFORMATION='INFO', WARNING='WARN', NOTE='NOTICE', FAIL='ERROR', DBUG='DEBUG'),
  **dict(TRCE='TRACE', DEBU='DEBUG', ERRO='ERROR', FATA='FATAL', PANI='PANIC'),
  **{'.': 'DEBUG', '-': 'VERBOSE', '*': 'NOTICE', '#': 'WARN'},  # redis
  **{'10': 'TRACE', '20': 'DEBUG', '30': 'INFO', '40': 'WARN', '50': 'ERROR'},  # pino
  **{'60': 'FATAL', '0': 'EMERGENCY', '1': 'ALERT', '2': 'CRITICAL', '3': 'ERROR'},
  **{'4': 'WARN', '5': 'NOTICE', '6': 'INFO', '7': 'DEBUG'},  # syslog
}
KNOWN = {*WORDS, *_SAME.values()}


def read(table: pl.DataFrame) -> pl.Series:
  """Levels [n] in capitals and in full, '' where there is none.

  Of columns `level` and `priority` (RFC 5424: eight times the facility, plus the
  severity), the first that there is.
  """
  if 'level' in table.columns:
    text = table['level'].fill_null('').str.strip_chars(' []()<>|:').str.to_uppercase()
  elif 'priority' in table.columns:
    number = table['priority'].cast(pl.Int64, strict=False)
    text = (number % 8).cast(pl.String).fill_null('')
  else:
    return pl.Series('level', [''], dtype=pl.String).new_from_index(0, len(table))
  return text.replace(_SAME)
