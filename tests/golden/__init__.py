"""Recorded journals of real agents, and what their adapters must make of them.

`<adapter>/<name>.json` holds the launch, the records, and for each record its step. `python -m tests.golden.record` plays
the scenes anew with the installed binary. Read the difference before it is committed: the steps are what the adapter made.
"""
