"""Benchmarks: `make bench` prints a table each; the figures of record stand in docs/benchmarks.md.

Times on shared machines mean little alone, so that each table names a peer measured in the same run, where
there is one. Nothing here fails for a time.
"""
