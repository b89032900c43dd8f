"""The virtual board asks again and again while its link drops: `python -m benchmarks.soak --help`."""
