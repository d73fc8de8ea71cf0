"""Listing what is registered, in fresh processes."""

import json


def bench_json(benchmark, python):
    assert json.loads(benchmark(python, "-m", "merzoo", "list", "--json"))
