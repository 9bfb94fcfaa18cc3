"""Other wire forms of the same events: pure projections, no I/O, nothing remembered beyond one reader's stream."""
