"""How fast a clip store is prepared in two processes against a plain loop on one core, and how much memory that takes for N and for 2N clips.

    python benchmarks/prepare_speed.py [--clips 247] [--rounds 3] [--jobs 2]      writes benchmarks/results/prepare_speed.json

The clips are folders of 60 JPEG frames of 640 x 480 px (quality 95) with a synthetic face before a background, moved by a swaying head, under sensor noise.
Both sides do the same work through the same function: decode, find and align the face, hold the alignment, crop. The loop drops the crops; the store writes,
hashes and syncs them. Rounds alternate between the two, and the ratio is taken within a round. `cpu` is the processor time of the store over that of the loop,
start of the processes included: what is left of it where other programs want the cores too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from merzoo.data.readers.folder import FolderTree
from merzoo.data.store import open_store
from merzoo.data.synthetic import SyntheticFaces
from merzoo.specs import Preprocessing

FRAMES, WIDTH, HEIGHT, FACE = 60, 640, 480, 240
FACES = 4  # rendered clips, which all others are made of: rendering is slow
PREPROCESSING = Preprocessing(size=128)
RESULTS = Path(__file__).parent / "results" / "prepare_speed.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=247)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory:
        print(json.dumps(memory(args.memory, args.jobs)))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MERZOO_CACHE"] = str(Path(folder) / "cache")
        tree = Path(folder) / "tree"
        make_tree(tree, args.clips)
        rounds = [one_round(tree, args.jobs) for _ in range(args.rounds)]
        peak = {args.clips: peak_of(tree, args.jobs), 2 * args.clips: peak_of(doubled(tree), args.jobs)}
    found = {
        "clips": args.clips, "frames": FRAMES, "jobs": args.jobs, "cores": os.cpu_count(), "machine": platform.machine(), "opencv": cv2.__version__,
        "rounds": rounds, "ratio": round(statistics.median(r["ratio"] for r in rounds), 2),
        "cpu": round(statistics.median(r["cpu"] for r in rounds), 2), "peak_rss_mib": peak,
    }  # fmt: skip
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def make_tree(root: Path, clips: int) -> None:
    """SUBJECT/EMOTION/CLIP/frame.jpg: the rendered faces at other places, of other sizes, with other noise."""
    rng = np.random.default_rng(0)
    faces = SyntheticFaces("development")
    ids = faces.table().query("kind == 'micro'")["sample_id"][:: len(faces.lengths()) // FACES][:FACES]
    rendered = [faces.frames(sample, FACE)[..., ::-1] for sample in ids]
    noise = [rng.normal(0, 3, (HEIGHT + 64, WIDTH + 64, 3)).astype(np.float32) for _ in range(4)]
    for number in range(clips):
        folder = root / f"s{number // 10:03d}" / "calm" / f"c{number % 10}"
        folder.mkdir(parents=True)
        face, side = rendered[number % len(rendered)], int(rng.integers(190, FACE + 1))
        shade = cv2.resize(rng.uniform(40, 160, (6, 8, 3)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        left, top = rng.uniform(20, WIDTH - side - 20), rng.uniform(20, HEIGHT - side - 20)
        for at in range(FRAMES):
            sway = np.array([left + 3 * np.sin(at / 9), top + 2 * np.cos(at / 13)])
            place = np.array([[side / FACE, 0, sway[0]], [0, side / FACE, sway[1]]])
            picture = shade.copy()
            cv2.warpAffine(face[at % len(face)].astype(np.float32), place, (WIDTH, HEIGHT), picture, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
            y, x = rng.integers(0, 64, 2)
            picture += noise[at % len(noise)][y : y + HEIGHT, x : x + WIDTH]
            cv2.imwrite(str(folder / f"{at:03d}.jpg"), picture.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])


def one_round(tree: Path, jobs: int) -> dict[str, float]:
    """Frames a second of the loop and of the store, one after the other."""
    cv2.setNumThreads(1)
    (source,) = FolderTree(tree).sources
    lengths = source.lengths()
    started, busy = time.perf_counter(), processor_time()
    for sample in lengths:
        source.crops(sample, PREPROCESSING)
    loop, busy_loop = time.perf_counter() - started, processor_time() - busy
    shutil.rmtree(os.environ["MERZOO_CACHE"], ignore_errors=True)
    started, busy = time.perf_counter(), processor_time()
    store = open_store(source, PREPROCESSING, jobs=jobs)
    prepared, cpu = time.perf_counter() - started, (processor_time() - busy) / busy_loop
    assert all(store.frames(sample) == frames for sample, frames in lengths.items())
    total = sum(lengths.values())
    return {"loop_fps": round(total / loop, 1), "store_fps": round(total / prepared, 1), "ratio": round(loop / prepared, 3), "cpu": round(cpu, 3)}


def processor_time() -> float:
    """Seconds that this process and its ended children have computed."""
    return sum(os.times()[:4])


def doubled(tree: Path) -> Path:
    """The tree with every subject twice."""
    other = tree.with_name("twice")
    for copy in ("a", "b"):
        for subject in tree.iterdir():
            shutil.copytree(subject, other / f"{subject.name}{copy}", copy_function=os.link)
    return other


def peak_of(tree: Path, jobs: int) -> dict[str, float]:
    """Peak resident memory of a process that prepares the tree, and of the largest of its workers, in MiB."""
    shutil.rmtree(os.environ["MERZOO_CACHE"], ignore_errors=True)
    command = [sys.executable, __file__, "--memory", str(tree), "--jobs", str(jobs)]
    peak: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return peak


def memory(tree: Path, jobs: int) -> dict[str, float]:
    """In a process of its own: prepare, and say what it took."""
    (source,) = FolderTree(tree).sources
    open_store(source, PREPROCESSING, jobs=jobs)
    whose = {"parent": resource.RUSAGE_SELF, "largest worker": resource.RUSAGE_CHILDREN}
    return {name: round(resource.getrusage(who).ru_maxrss / 1024, 1) for name, who in whose.items()}


if __name__ == "__main__":
    main()
