"""Benchmarks of Paddock beside its peers. `make bench` runs all of them once; docs/performance.md tells what they mean.

One module per subject, each with `measure() -> list[Table]`. Peers run in the same run, on the same Redis and the same two ends
of a wire, because only ratios within one run say anything. Nothing here is a test: a missed bar is printed, not raised.
"""
