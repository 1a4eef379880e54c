"""Findings in logs without labels, formats or training; no jax.

From bottom to top:
  redact, feedback   what is masked in outputs; what people said of findings
  windows            records, block by block, to counts of templates per window
  sides              sources such as hosts, and numbers such as durations, as series
  counted            these counts by template and by value
  statistics, changes  how surprising a count is beside the template's other windows
  surprises          all that is not as expected
  sessions           records with an id in common: bags, their scores and reasons
  findings           surprises to causes: merged, ranked, with samples and a sentence
  session_findings   the same for odd sessions
  baseline           counts of good records in a folder, and added to
  labelled, account  labels held against findings; what limits them
  tail, following    files that grow; what a follower remembers, and its state
  follow, sinks      findings as windows close; webhook and metrics
  scan               the road from files to findings; result: what Python gets
  output, picture    the terminal's table, JSON lines, report.html, a figure
"""
