"""Frames a second and peak memory of `merzoo predict` on a video of an hour, beside one of a minute.

    python benchmarks/video_speed.py [--minutes 1 60] [--model NAME] [--videos FOLDER]      writes benchmarks/results/video_speed.json

The videos have 640 x 360 px and 30 frames a second. A synthetic face sways before a background, under sensor noise, and now and then a muscle moves: the
frames of a few rendered clips are written again and again, in an order that is drawn. They are made under a temporary folder, or kept in FOLDER and taken from
there. Each is predicted by a fresh process.
`frames_per_second` is what that reports, from opening the video to naming its events; `wall_s` has Python's start and the
loading of the model in it too, `cpu_s` is the processor time of all its threads, `peak_rss_mib` its largest resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from merzoo.data.synthetic import SyntheticFaces
from merzoo.files import dumps

WIDTH, HEIGHT, RATE, FACE = 640, 360, 30, 240
CLIPS = 4  # rendered ones
REST = 60  # frames of the loop between movements
SWAY = 5  # px
RESULTS = Path(__file__).parent / "results" / "video_speed.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, nargs="+", default=[1, 60])
    parser.add_argument("--model", default="miacnet-ma2mi")
    parser.add_argument("--videos", type=Path)
    parser.add_argument("--only-make", action="store_true", help="make the videos in --videos and measure nothing")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.videos or Path(scratch)
        videos = {minutes: made(folder / f"{minutes}min.mp4", minutes * 60 * RATE) for minutes in args.minutes}
        if args.only_make:
            return
        runs = [{"minutes": minutes, **measured(video, args.model)} for minutes, video in videos.items()]
    peaks = [run["peak_rss_mib"] for run in runs]
    found = {
        "model": args.model, "width": WIDTH, "height": HEIGHT, "rate": RATE, "runs": runs, "peak_ratio": round(peaks[-1] / peaks[0], 3),
        "machine": platform.machine(), "cores": os.cpu_count(), "opencv": cv2.__version__, "torch": torch.__version__,
    }  # fmt: skip
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(dumps(found), encoding="utf-8")
    print(dumps(found))


def made(path: Path, frames: int) -> Path:
    """The video, written whole or not at all."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished, rng, written = path.with_suffix(".part.mp4"), np.random.default_rng(0), 0
    writer = cv2.VideoWriter(str(unfinished), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (WIDTH, HEIGHT))
    scenes = [(scene(clip[:1].repeat(REST, axis=0), seed), scene(clip, seed)) for seed, clip in enumerate(rendered())]
    while written < frames:
        rest, movement = scenes[rng.integers(len(scenes))]
        for frame in [*rest * int(rng.integers(2, 6)), *movement, *rest][: frames - written]:
            writer.write(frame)
            written += 1
    writer.release()
    unfinished.replace(path)
    return path


def rendered() -> list[np.ndarray]:
    """Clips BGR uint8 [T, FACE, FACE, 3]: three micro-expressions of one person, and a macro-expression of another."""
    faces = SyntheticFaces("development")
    table = faces.table()
    mine = table[table["subject"] == table[table["kind"] == "micro"]["subject"].iloc[0]]["sample_id"].iloc[: CLIPS - 1]
    return [faces.frames(sample, FACE)[..., ::-1] for sample in [*mine, table[table["kind"] == "macro"]["sample_id"].iloc[0]]]


def scene(faces: np.ndarray, seed: int) -> list[np.ndarray]:
    """Frames BGR uint8 [HEIGHT, WIDTH, 3] in which the face sways and comes back to its place, so that scenes of one seed can follow each other."""
    rng, frames = np.random.default_rng(seed), []
    shade = cv2.resize(rng.uniform(40, 160, (6, 8, 3)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    for at, face in enumerate(faces):
        angle = 2 * np.pi * at / len(faces)
        place = np.array([[1, 0, (WIDTH - FACE) / 2 + SWAY * np.sin(angle)], [0, 1, (HEIGHT - FACE) / 2 + SWAY * np.sin(angle) ** 2]])
        picture = shade.copy()
        cv2.warpAffine(face.astype(np.float32), place, (WIDTH, HEIGHT), picture, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
        frames.append((picture + rng.normal(0, 2, picture.shape)).clip(0, 255).astype(np.uint8))
    return frames


def measured(video: Path, model: str) -> dict[str, Any]:
    """One prediction in a process of its own."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "merzoo", "predict", str(video), "--model", model, "--json"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)  # of this process alone, where getrusage would give the largest of all
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"merzoo predict {video} ended with {process.returncode}")
    facts = json.loads(said)
    return {
        "frames": facts["frames"], **facts["speed"], "wall_s": round(time.perf_counter() - began, 1), "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_rss_mib": round(usage.ru_maxrss / 1024, 1), "detected_fraction": facts["face"]["detected_fraction"], "events": len(facts["events"]),
    }  # fmt: skip


if __name__ == "__main__":
    main()
