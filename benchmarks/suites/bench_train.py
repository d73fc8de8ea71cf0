"""Five steps of small batches in each stage of a model at its preset small, by the engine, views ready: a network of a few layers, one that is pre-trained
without labels before, and one with a second-order gradient."""

import pytest

from merzoo.testing.contract import MACHINE, STEPS, Case
from merzoo.training.engine import run_stages


@pytest.mark.parametrize("model", ["ststnet", "miacnet-ma2mi", "lightmannet"])
def bench_steps(benchmark, model):
    case = Case.of(model)

    def fresh():
        recognizer = case.build()
        return (recognizer, case.short_stages(recognizer)), {"seed": 1, "machine": MACHINE}

    logs = benchmark.pedantic(run_stages, setup=fresh, rounds=5, warmup_rounds=1)  # the first round prepares the views
    assert STEPS in {log.steps for log in logs}
