"""`paddock stress`: the same message many times to one provider, each run watched by its stream alone, and a report of what came of it.

`command` is what a person calls, `course` the order of events, `watching` one run, `findings` what a report holds, `pages` how it reads.
"""
