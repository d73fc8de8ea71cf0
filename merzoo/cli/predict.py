"""`merzoo predict`: a video in, emotions and a picture out; or a folder of videos in, and a table out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from merzoo.cli.output import print_json, print_lines, print_table
from merzoo.cli.predict_folder import holds_recordings, predict_folder
from merzoo.errors import UsageError

if TYPE_CHECKING:
    from merzoo.prediction import Event, Prediction


def command(
    source: Annotated[str, typer.Argument(help="A video file, a folder of frames, or a folder of such (any depth).")],
    model: Annotated[str | None, typer.Option(help="A model, or a published one: hf-hub:org/repo[@commit], local-dir:PATH. By default miacnet-ma2mi.")] = None,
    weights: Annotated[str, typer.Option(help="A tag, a path to a .safetensors file, hf-hub:… or local-dir:…")] = "default",
    face: Annotated[Literal["largest", "all", "none"], typer.Option(help="Which face; none: the frames are face crops already.")] = "largest",
    interval: Annotated[str | None, typer.Option(metavar="ONSET,APEX,OFFSET", help="Frame numbers, where they are known.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second, where the source does not say (30 is assumed).")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for prediction.json and prediction.png; for many sources, predictions.csv too.")] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the network runs.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Many sources: keep those already in --out, made with the same model, weights and options.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Find and name micro-expressions in a face video, or in every video of a folder."""
    from merzoo.output import names

    known = _frames(interval)
    if holds_recordings(Path(source), out):
        if known is not None:
            raise UsageError(f"an interval belongs to one recording, and {source} is a folder of recordings; give one of them")
        return predict_folder(Path(source), model, weights, device, json, out=out, face=face, fps=fps, resume=resume)
    if resume:
        raise UsageError(f"{source} is one recording, so there is nothing to resume; leave --resume out")
    from merzoo.prediction import predict

    with _Progress() as tell:
        found = predict(source, model, weights=weights, face=face, interval=known, device=device, out=out, fps=fps, progress=tell)
    many = found if isinstance(found, list) else [found]
    if json:
        print_json([_facts(p) for p in many] if isinstance(found, list) else _facts(many[0]))
        return 0
    for number, prediction in enumerate(many, 1):
        _show(prediction, f"face {number} of {len(many)}" if isinstance(found, list) else "")
    if out is not None:
        print_lines([f"written: {', '.join(str(out / name) for name in names(len(many)))}"])
    return 0


def _facts(prediction: Prediction) -> dict[str, Any]:
    """As in prediction.json, and how long it took, which is not kept there: the same input gives the same file."""
    per_second, seconds = prediction.frames_per_second, prediction.elapsed
    if per_second is None or seconds is None:
        return prediction.to_dict()
    return {**prediction.to_dict(), "speed": {"frames_per_second": round(per_second, 1), "seconds": round(seconds, 3)}}


def _frames(interval: str | None) -> Sequence[int] | None:
    if interval is None:
        return None
    try:
        return [int(number) for number in interval.split(",")]
    except ValueError:
        raise UsageError(f"interval {interval!r} is not three frame numbers; give ONSET,APEX,OFFSET, as in 15,45,71") from None


class _Progress:
    """One line on a terminal that says what is being done, and goes when it is done; nothing where stderr is a file or a pipe."""

    def __call__(self, step: str) -> None:
        self._write(f"\r\x1b[K{step} …")

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(text)
            sys.stderr.flush()


def _show(prediction: Prediction, which: str) -> None:
    lines = str(prediction).splitlines()
    print_lines([f"{which}: {lines[0]}" if which else lines[0], lines[1]])
    if prediction.events:
        rows = [_row(prediction, number, event) for number, event in enumerate(prediction.events, 1)]
        print_table(("", "emotion", "p", "onset", "apex", "offset", "time", "runners-up", ""), rows)
        print_lines(f"{number}: {beside}" for number, event in enumerate(prediction.events, 1) for beside in event.beside)
    print_lines(lines[-1:])


def _row(prediction: Prediction, number: int, event: Event) -> tuple[object, ...]:
    first, last = (prediction.seconds(frame) for frame in (event.onset, event.offset))
    time = "-" if first is None or last is None else f"{first:.2f}-{last:.2f} s"
    flag = "" if event.confident else "no movement stands out"
    share = f"{event.probabilities[event.emotion]:.0%}"
    return number, event.title, share, event.onset, event.apex, event.offset, time, ", ".join(_others(event)), flag


def _others(event: Event, most: int = 3) -> Iterator[str]:
    ranked = sorted(event.probabilities.items(), key=lambda item: -item[1])
    return (f"{label} {p:.0%}" for label, p in ranked[1 : 1 + most])
