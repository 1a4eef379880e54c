"""How people write times: regular expressions whose groups name the parts of one.

Y, M, D, h, m, s are numbers, f digits of a fraction of a second, p the half of the day,
z the offset, b a month by name, e seconds since the epoch; A, B and C are day, month
and year in an order that the file has to tell.
"""

MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'.split()
ZONES = {
  **dict.fromkeys(('Z', 'UTC', 'GMT', 'WET'), 0),
  **dict(EST=-300, EDT=-240, CST=-360, CDT=-300, MST=-420, MDT=-360, PST=-480),
  **dict(PDT=-420, BST=60, CET=60, CEST=120, EET=120, EEST=180, MSK=180, IST=330),
  **dict(HKT=480, SGT=480, JST=540, KST=540, AEST=600, AEDT=660),
}  # minutes east of Greenwich

_CLOCK = r'(?P<h>\d{1,2}):(?P<m>\d\d):(?P<s>\d\d)(?:[.,:](?P<f>\d{1,9}))?'
_HALF = r'(?:[ \u00a0\u202f]?(?P<p>[AaPp](?:[Mm]\b|\. ?[Mm]\.)))?'
_NAMED = '|'.join(sorted(ZONES, key=len)[::-1])
_OFFSET = r'[+-]\d\d:?\d\d|[+-]\d\d|(?:UTC|GMT)[+-]\d{1,2}(?::?\d\d)?'
_ZONE = rf'(?P<z> ?(?:\((?:{_NAMED})\)|(?:{_OFFSET}|{_NAMED})\b))?'
_TIME = _CLOCK + _HALF + _ZONE + r'(?:\[(?:UTC|GMT|[A-Z]\w+/\w+)\])?'
_MONTH = rf'(?P<b>(?i:{"|".join(MONTHS)}))[a-z]{{0,6}}\.?'
WEEKDAYS = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}'
_WEEKDAY = rf'(?:{WEEKDAYS},? )?'
_Y, _M, _D = (rf'(?P<{letter}>\d\d)' for letter in 'YMD')
_YEAR, _DAY = r'(?P<Y>(?:19|20)\d\d)', r'(?P<D>\d\d?)'
_HMS = r'(?P<h>\d\d):?(?P<m>\d\d):?(?P<s>\d\d)'
# Between date and clock: spaces, one mark and spaces, ends of quotes and brackets.
_GAP = (
  rf'(?: ?\(?{WEEKDAYS}\)?)?(?:[\])>"\x27]?(?:[ \t]{{0,8}}(?:[|,;@T_/-]|at)[ \t]{{0,8}}'
  r'|[ \t]{1,8})(?:[上下午前後]{2} ?|오[전후] ?)?[\[(<"\x27]?|[\])>"\x27][\[(<"\x27])'
)
_ISO = rf'(?P<Y>\d{{4}})[-/.](?P<M>\d\d?)[-/.]{_DAY}'
_ISO_WIDE = _ISO.replace('[-/.]', r'(?:[-/.]|\. )')
_SLASHES = r'(?P<A>\d\d?)[/.-](?P<B>\d\d?)[/.-]'
_DAY_FIRST = rf'{_DAY}[/ -]{_MONTH}[/ -](?P<Y>\d{{4}})'

_WEEK_SIGN = (
  r'(?: ?[(（]?(?:星期|周|週)?[一二三四五六日天月火水木金土월화수목금토일]'
  r'(?:曜日|요일)?[)）]?)?'
)
SIGNS = (  # writings of East Asia and of Unicode's spaces, as ASCII
  ('[\u00a0\u2007\u2009\u202f\u3000]', ' '),
  (
    rf'(\d{{4}})[年년] ?(\d\d?)[月월] ?(\d\d?)[日일]{_WEEK_SIGN}[, \t|]*',
    '$1-$2-$3 ',
  ),
  (r'(\d)[时時시] ?(\d\d)[分분] ?(\d\d)[秒초]?', '$1:$2:$3'),
  (r'(?:上午|午前|오전) ?([\d:.,]+)', '$1 AM'),
  (r'(?:下午|午後|오후) ?([\d:.,]+)', '$1 PM'),
)

SHAPES = {  # the first that fits is taken; `apart` has more between, and is slower
  'iso': rf'{_ISO}(?:[T_ -]|, ) ?{_TIME}',
  'iso-apart': rf'{_WEEKDAY}{_ISO_WIDE}\.?{_GAP}{_TIME}',
  'dotted': rf'{_YEAR}[.-]{_M}[.-]{_D}[T_-](?P<h>\d\d)\.(?P<m>\d\d)\.(?P<s>\d\d)'
  r'[.:](?P<f>\d{1,9})',
  'dashed': rf'{_YEAR}[.-]{_M}[.-]{_D}{_GAP}(?P<h>\d\d)-(?P<m>\d\d)-(?P<s>\d\d)\b',
  'minutes': rf'{_YEAR}[-/]{_M}[-/]{_D}{_GAP}(?P<h>\d\d):(?P<m>\d\d){_ZONE}',
  'signs': rf'{_YEAR}[年년] ?(?P<M>\d\d?)[月월] ?{_DAY}[日일]{_WEEK_SIGN}[, \t|]'
  r'{0,4}(?:(?:[上下午前後]{2}|오[전후]) ?)?'
  r'(?P<h>\d\d?)[:时時시] ?(?P<m>\d\d)[:分분] ?(?P<s>\d\d)[秒초]?'
  rf'(?:[.,:](?P<f>\d{{1,9}}))?{_ZONE}',
  'compact': rf'{_YEAR}{_M}{_D}(?:{_GAP})?{_HMS}(?:[.,:](?P<f>\d{{1,9}}))?{_ZONE}\b',
  'short': rf'{_Y}{_M}{_D}(?: {{1,2}}|\t){_HMS}\b',
  'common': rf'{_WEEKDAY}{_DAY_FIRST},?[: ]:?{_TIME}',
  'common-apart': rf'{_WEEKDAY}{_DAY_FIRST}{_GAP}{_TIME}',
  'named': rf'{_YEAR}[/ -]{_MONTH}[/ -]{_DAY}{_GAP}{_TIME}',
  'date': rf'{_WEEKDAY}{_MONTH} {{1,2}}{_DAY},? (?P<Y>\d{{4}}){_GAP}{_TIME}',
  'ctime': rf'{_WEEKDAY}{_MONTH} {{1,2}}{_DAY} {_CLOCK}{_ZONE} {_YEAR}\b',
  'syslog': rf'{_WEEKDAY}{_MONTH}(?: {{1,2}}|-){_DAY}{_GAP}{_CLOCK}{_ZONE}',
  'day': rf'{_WEEKDAY}{_DAY}[ -]{_MONTH}{_GAP}{_CLOCK}{_ZONE}',
  'slashes': rf'{_SLASHES}(?P<C>\d{{4}}|\d\d){_GAP}{_TIME}',
  'yearless': rf'{_M}[-/.]{_D} {_CLOCK}{_ZONE}',
  'clock-iso': rf'{_TIME}{_GAP}{_ISO}\b',
  'clock-slashes': rf'{_TIME}{_GAP}{_SLASHES}(?P<C>\d{{4}})\b',
  'clock-common': rf'{_TIME}{_GAP}{_DAY_FIRST}\b',
  'clock': _CLOCK + _HALF,
  'klog': rf'{_M}{_D} {_CLOCK}',
  'stamp': rf'{_YEAR}-{_M}-{_D} (?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d+))?',
  'uptime': r'(?P<e>\d{1,9}\.\d{3,9})',
  'epoch': r'(?P<e>[12]\d{9}(?:\.\d{1,9}|\d{3}|\d{6}|\d{9})?)\b',
}
