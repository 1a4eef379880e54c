"""Findings in logs without labels, formats or training; no jax.

From bottom to top:
  redact, feedback     what is masked in outputs; what people said of findings
  windows              records, block by block, to counts of templates per window
  sides, rhythms       sources and numbers as series; times of messages, those missed
  counted              these counts by template and by value
  statistics, changes  how surprising a count is beside the template's other windows
  surprises            all that is not as expected
  findings             surprises to causes: merged, ranked, with samples and a sentence
  sessions             records with an id in common: bags
  session_scores       how odd each of them is, and why
  session_findings     odd sessions to findings
  baseline             counts of good records in a folder, and added to
  labelled             labels held against findings and windows
  verdicts, adapting, alike
                       what people said: as labels of sessions, which are judged
                       again by them; and of findings like those
  account              what was read, how far it can be trusted, rows of windows.jsonl
  scan                 the road from files to findings; result: what Python gets
  following, follow    what a follower remembers; findings as windows close
                       (follow_findings) and as sessions end (followed_sessions)
  sinks                webhook and metrics
  output, picture      the terminal's table, JSON lines, report.html, a figure
"""
