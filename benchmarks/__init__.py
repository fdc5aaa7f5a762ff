"""Benchmarks: `make bench` measures everything in one run and writes docs/performance.md."""
