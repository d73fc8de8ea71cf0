"""Scenarios around the network: `load` (from nothing to a recogniser), `predict` (from a video to emotions), `views` (from frames to its inputs)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np

from merzoo.benchmark.bench import Bench
from merzoo.benchmark.clips import few
from merzoo.benchmark.measurement import Measurement, measurement
from merzoo.benchmark.sampling import WARM_UP_SHARE, Limits, WarmUp, warm_up
from merzoo.benchmark.statistics import rounded
from merzoo.benchmark.subject import LABELS, Subject, weights_at
from merzoo.errors import RunError
from merzoo.interval import Interval
from merzoo.making import make_view
from merzoo.views.base import ViewKind

PROCESSES, LEAST, AGAIN = 5, 3, 4  # fresh processes, as many even when the time is up, and loads in each after the first
FEWER = {"predict": (50, 5), "views": (200, 20)}  # samples: at most, at least
CLIPS = 4  # whose views are made in turn
NO_WARM_UP = WarmUp(0, 0.0, False, 0.0)
_LOAD = """
import json, sys, time
name, options, times = sys.argv[1], json.loads(sys.argv[2]), []
for _ in range(int(sys.argv[3])):
    began = time.perf_counter()
    import merzoo
    model = merzoo.load(name, **options)
    if options["device"] != "cpu":
        import torch
        torch.cuda.synchronize()
    times.append(1e6 * (time.perf_counter() - began))
print(json.dumps(times))
"""


def load(subject: Subject) -> None:
    """Cold: a fresh process, from `import merzoo` to a recogniser on the device, torch's own import included; its files are in the system's cache after the
    first process. Warm: again in the same process."""
    spec, own = subject.spec, weights_at(subject.spec, subject.preset)
    options = {"weights": own.tag} if own else {"weights": None, "preset": subject.preset, "labels": LABELS}
    request = json.dumps({**options, "device": subject.bench.machine.device})
    cold: list[float] = []
    warm: list[float] = []
    began = time.perf_counter()
    for _ in range(PROCESSES):
        command = [sys.executable, "-c", _LOAD, spec.name, request, str(1 + AGAIN)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RunError(f"a fresh process cannot load it: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
        first, *others = json.loads(done.stdout)
        cold.append(rounded(first))
        warm += map(rounded, others)
        if len(cold) >= LEAST and time.perf_counter() - began > subject.bench.limits.seconds:
            break
    for state, times in (("cold", cold), ("warm", warm)):
        subject.measurements.append(measurement("load", times, NO_WARM_UP, about={"state": state}))


def predict(subject: Subject) -> None:
    """`merzoo.predict` of one synthetic video by a model that is loaded: decoding, the search for the face and its movements, views and network."""
    from merzoo.prediction import predict as predicted

    with tempfile.TemporaryDirectory() as folder:
        video = _video(Path(folder) / "clip.avi")
        frames = predicted(video, subject.recognizer).frames
        about = {"video": "synthetic", "frames": frames}
        subject.measurements.append(_repeated("predict", lambda: predicted(video, subject.recognizer), subject.bench, about, items=frames))


def _video(path: Path) -> Path:
    from merzoo.data.synthetic.video import write_video

    return write_video(path)[0]


def views(subject: Subject) -> None:
    """Making each input of a clip from its frames, one measurement an input and view; the same clips for all models, cropped as each wants them."""
    clips = few(subject.recognizer.preprocessing, CLIPS)
    shown = [(clips.frames(at).copy(), clips.interval(at)) for at in range(len(clips))]
    for name, choices in subject.recognizer.test_views.items():
        for number, view in enumerate(choices):
            if view not in choices[:number]:  # a look may be given twice
                about = {"input": name, "view": view.kind, **({"look": number + 1} if len(choices) > 1 else {})}
                subject.measurements.append(_repeated("views", _in_turn(make_view(view), shown), subject.bench, about, items=1))


def _in_turn(kind: ViewKind, shown: Sequence[tuple[np.ndarray, Interval]]) -> Callable[[], np.ndarray]:
    """A function that makes the view of the next clip, laid out as it is stored: what is only another reading of the frames costs something too."""
    turn = cycle(shown)
    return lambda: np.ascontiguousarray(kind.prepare(*next(turn)))


def _repeated(scenario: str, run: Callable[[], object], bench: Bench, about: Mapping[str, object], items: int) -> Measurement:
    limits: Limits = bench.limits.fewer(*FEWER[scenario])
    warm = warm_up(lambda: bench.clock.call(run).wall_us, WARM_UP_SHARE * limits.seconds)
    times: list[float] = []
    ends = time.perf_counter() + limits.seconds
    while len(times) < limits.samples and (len(times) < limits.least or time.perf_counter() < ends):
        times.append(bench.clock.call(run).wall_us)
    return measurement(scenario, times, warm, about=about, items=items)
