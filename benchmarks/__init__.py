"""Benchmarks: the same graphs as hand-written Temporal workflows and through StructForge, on the same servers.

`python -m benchmarks compare` prints medians, ratios and the bars of the product; `python -m benchmarks profile` says
where a worker's time goes. Neither runs with the tests.
"""
