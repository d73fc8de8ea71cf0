"""The newcomer's first minutes: `python -m merzoo.demo --out demo` trains, scores, ranks and predicts, and says where to look."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from merzoo.cli.guard import guarded
from merzoo.cli.progress import progress

MODELS = ("miacnet-ma2mi", "miacnet", "flow-svm")
DATA = "synthetic:demo"


def demo(out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("demo"), jobs: Annotated[int, typer.Option(help="Processes.")] = 0) -> None:
    """Train small models on synthetic faces under leave-one-subject-out, build the board, and read a video with the weights that come with merzoo."""
    from merzoo.cli.evaluate import auto_jobs, show
    from merzoo.evaluation.evaluate import evaluate
    from merzoo.leaderboard.build import build

    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    runs = out / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    for model in MODELS:
        print(f"\n{model}: trained from scratch without each person in turn, then tested on that person ({DATA})", flush=True)
        with progress() as report:
            result = evaluate(model, DATA, out=runs / model, preset="small", jobs=jobs or auto_jobs("auto"), report=report)
        show(result, runs / model)
    build(runs, out / "board")
    video, shown = write_video(out / "clip.avi")
    from merzoo.prediction import predict

    prediction = predict(video, "miacnet-ma2mi", out=out / "prediction")
    print(f"\n{prediction}\nWhat the rendered face did show: {shown}.")
    print(
        f"\nDone in {time.monotonic() - started:.0f} s. Look at\n"
        f"  {out / 'board' / 'index.html'}    who is better, and how sure that is\n"
        f"  {out / 'prediction' / 'prediction.png'}    what was seen in {video}\n"
        "Eight synthetic people are few: the intervals are wide. `merzoo evaluate --help` and the README go on from here."
    )


def write_video(path: Path) -> tuple[Path, str]:
    """A rendered face that no weights were trained on, as a short video: the first smile, large enough to see, of the demonstration's people.

    Returns the path and what the face shows.
    """
    import cv2

    from merzoo.data.synthetic import SyntheticFaces

    faces = SyntheticFaces("demo")
    clip = faces.table().query("kind == 'macro' and emotion == 'happiness'").iloc[0]
    frames = faces.frames(clip["sample_id"], size=256)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), float(clip["fps"]), (480, 360))
    for frame in frames:
        framed = cv2.copyMakeBorder(frame, 52, 52, 112, 112, cv2.BORDER_REPLICATE)
        writer.write(cv2.cvtColor(framed, cv2.COLOR_RGB2BGR))
    writer.release()
    return path, f"{clip['emotion']} (action units {clip['aus']})"


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(demo)
    raise SystemExit(guarded(lambda: app(standalone_mode=False)))
