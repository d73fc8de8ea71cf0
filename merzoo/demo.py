"""The newcomer's first minutes: `python -m merzoo.demo --out demo` trains, scores, ranks and predicts, and says where to look."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from merzoo.cli.guard import guarded
from merzoo.cli.progress import progress

MODELS = {  # name: what is done
    "flow-svm": "no training by gradients; optical flow and a linear SVM, the baseline to beat",
    "miacnet": "a network trained anew, from random weights, without each person in turn",
    "miacnet-ma2mi": "the same network, first pre-trained without labels on videos of eight other people",
}
DATA = "synthetic:demo"


def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("demo"),
    jobs: Annotated[int, typer.Option(help="Processes.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the training: only make a video and read it, in seconds.")] = False,
) -> None:
    """Train small models on synthetic faces under leave-one-subject-out, build the board, and read a video with the weights that come with merzoo."""
    from merzoo.cli.evaluate import auto_jobs, show
    from merzoo.evaluation.compare import compare
    from merzoo.evaluation.evaluate import evaluate
    from merzoo.evaluation.runs import RunFolder
    from merzoo.leaderboard.build import build

    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    if quick:
        read_a_video(out)
        return
    print(f"Three models on {DATA}: eight rendered people, each tested by models that never met them. A few minutes on two cores; what is done is kept.")
    for number, (model, what) in enumerate(MODELS.items(), 1):
        print(f"\n{number} of {len(MODELS)}: {model} - {what}", flush=True)
        run = out / "runs" / model
        with progress() as report:
            result = evaluate(model, DATA, out=run, preset="small", jobs=jobs or auto_jobs("auto"), resume=run.exists(), report=report)
        show(result, run)
    build(out / "runs", out / "board")
    network, baseline = (RunFolder.open(out / "runs" / model) for model in ("miacnet-ma2mi", "flow-svm"))
    verdict = compare(network, baseline)["verdict"]
    print(f"\nmiacnet-ma2mi against flow-svm: {verdict.replace('A minus B', 'their difference')}.")
    print("Eight people are few, for networks above all; the README shows the same models on 24.")
    read_a_video(out)
    print(f"\nDone in {time.monotonic() - started:.0f} s. Look at\n  {out / 'board' / 'index.html'}    who is better, and how sure that is")
    print(f"  {out / 'prediction' / 'prediction.png'}    what was seen in the video, and where\nThe README goes on from here.")


def read_a_video(out: Path) -> None:
    """Predict on a rendered video with the weights that come with the plugin, which have met none of the demonstration's people."""
    from merzoo.data.synthetic.video import write_video
    from merzoo.prediction import predict

    video, shown = write_video(out / "clip.avi")
    print(f"\nA video of a clear micro-expression, {video}, read with the weights that come with miacnet-ma2mi (not those trained just now):")
    print(f"{predict(video, 'miacnet-ma2mi', out=out / 'prediction')}\nWhat the rendered face did show: {shown}.")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(demo)
    raise SystemExit(guarded(lambda: app(standalone_mode=False)))
