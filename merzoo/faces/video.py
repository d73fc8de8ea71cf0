"""Frames from a video file, a folder of pictures or an array: RGB uint8, one at a time, so memory does not grow with the length."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

# FFmpeg inside OpenCV reads this once, at the first capture; its complaints would reach stderr beside our one line.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2

from merzoo.errors import MediaError, MerzooWarning
from merzoo.faces.stills import quiet, read_picture
from merzoo.text import plain

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
DEFAULT_RATE = 30.0  # frames per second assumed for time constants where the source does not say (our choice)
DIGITS = re.compile(r"[0-9]+")


class FrameSource(ABC):
    """Frames of one recording. Iterating yields RGB uint8 [H, W, 3]; every new iteration starts again at frame 0.

    Attributes: name (for messages), fps (frames per second, None where nothing says), declared_frames (what the container says; None where it
    says nothing; the number that decodes may be smaller).
    """

    name: str
    fps: float | None
    declared_frames: int | None

    @abstractmethod
    def read(self, wanted: Iterable[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (frame number, RGB uint8 [H, W, 3]) for the ascending `wanted` numbers (None: all), stopping at the end of the recording."""

    def visit(self) -> Iterator[tuple[int, Callable[[], np.ndarray]]]:
        """Yield (frame number, a function that gives the picture, as in `read`) for every frame.

        Pictures that nobody asks for are not made where that saves time. A function is good until the next frame is asked for.
        """
        for index, frame in self.read():
            yield index, partial(_given, frame)

    def __iter__(self) -> Iterator[np.ndarray]:
        for _, frame in self.read():
            yield frame

    def frames(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """Yield frames start, start + 1, …, stop - 1 (fewer where the recording ends before)."""
        for _, frame in self.read(range(start, stop)):
            yield frame

    @property
    def rate(self) -> float:
        """Frames per second for time constants: `fps`, or 30 where the source does not say."""
        return self.fps or DEFAULT_RATE

    def _check_two(self) -> None:
        """Raise `MediaError` unless two frames can be read: motion needs two."""
        got = sum(1 for _ in self.read(range(2)))
        if got == 0:
            raise MediaError(f"{self.name} cannot be decoded: no frame could be read; give a video that plays, or a folder of its frames")
        if got == 1:
            raise MediaError(f"{self.name} has a single frame, and motion needs two; give a video or a folder of frames")


class VideoFile(FrameSource):
    """A video file, decoded by OpenCV's FFmpeg. Warns once (`MerzooWarning`) if clearly fewer frames decode than the file declares."""

    def __init__(self, path: Path, fps: float | None = None) -> None:
        self.path, self.name = path, str(path)
        capture = self._open()
        try:
            count, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        finally:
            capture.release()
        self.declared_frames = int(count) if math.isfinite(count) and 0 < count < 2**31 else None
        # Containers without a clock report 0, or their time base (1000, 90000) as a rate.
        self.fps = fps or (float(rate) if math.isfinite(rate) and 1 <= rate < 1000 else None)
        self._told = False
        self._check_two()

    def _open(self) -> cv2.VideoCapture:
        with quiet():
            capture = cv2.VideoCapture(self.name, cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise MediaError(f"{self.name} cannot be decoded: {_why_not_open(self.path)}")
        return capture

    def visit(self) -> Generator[tuple[int, Callable[[], np.ndarray]], None, None]:
        """See `FrameSource.visit`: every frame is decoded, since seeking by number is not exact in every container, but few need a picture."""
        capture, index, shape = self._open(), 0, None

        def picture() -> np.ndarray:
            nonlocal shape
            ok, bgr = capture.retrieve()
            if not ok or bgr is None:
                raise MediaError(f"{self.name}: frame {index} cannot be decoded; convert the video to H.264 and try again")
            if shape is not None and bgr.shape != shape:
                raise MediaError(f"{self.name}: the picture size changes at frame {index}; convert the video to one size")
            shape = bgr.shape
            return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

        try:
            while capture.grab():
                yield index, picture
                index += 1
            self._tell_end(index)
        finally:
            capture.release()

    def read(self, wanted: Iterable[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """See `FrameSource.read`."""
        numbers = itertools.count() if wanted is None else iter(wanted)
        target = next(numbers, None)
        with contextlib.closing(self.visit()) as visited:
            while target is not None:
                for index, picture in visited:
                    if index == target:
                        yield index, picture()
                        break
                else:
                    return
                target = next(numbers, None)

    def count(self, most: int) -> int:
        """How many frames decode, counted up to `most`: what a container declares may be an estimate. The last ones may still fail to become pictures."""
        capture, found = self._open(), 0
        try:
            while found < most and capture.grab():
                found += 1
        finally:
            capture.release()
        return found

    def _tell_end(self, decoded: int) -> None:
        declared = self.declared_frames
        # Some containers only estimate the count from the duration, hence the tolerance of 2 frames or 2 %.
        if self._told or declared is None or decoded < 2 or declared - decoded <= max(2, 0.02 * declared):
            return
        self._told = True
        text = f"{self.name} is cut off or damaged: {decoded} of {declared} frames decode ({decoded / declared:.0%}), and only these are used"
        warnings.warn(text, MerzooWarning, stacklevel=3)


class FrameFiles(FrameSource):
    """Pictures in the order given, as frames. Pictures are read, and found unreadable or of another size (`MediaError`), while iterating."""

    def __init__(self, name: str, files: Sequence[Path], fps: float | None = None) -> None:
        self.name, self.files, self.fps = name, list(files), fps
        self.declared_frames = len(self.files)
        self._shape: tuple[int, ...] | None = None

    def read(self, wanted: Iterable[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """See `FrameSource.read`."""
        for index in range(len(self.files)) if wanted is None else wanted:
            if index >= len(self.files):
                return
            yield index, self._picture(index)

    def visit(self) -> Iterator[tuple[int, Callable[[], np.ndarray]]]:
        """See `FrameSource.visit`."""
        for index in range(len(self.files)):
            yield index, partial(self._picture, index)

    def _picture(self, index: int) -> np.ndarray:
        frame, shape = read_picture(self.files[index]), self._shape
        if shape is not None and frame.shape != shape:
            raise MediaError(f"{self.files[index]} is {frame.shape[1]}x{frame.shape[0]}, the frames before it {shape[1]}x{shape[0]}; give frames of one size")
        self._shape = frame.shape
        return frame


class FrameFolder(FrameFiles):
    """A folder of pictures in the order of the last number in their names (img2 before img10)."""

    def __init__(self, path: Path, fps: float | None = None) -> None:
        try:
            files = [f for f in path.iterdir() if f.suffix.lower() in PICTURES and not f.name.startswith(".") and f.is_file()]
        except OSError as error:
            raise MediaError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
        if not files:
            raise MediaError(f"{path} holds no frames ({', '.join(PICTURES)}); give a folder of pictures or a video file")
        super().__init__(str(path), sorted(files, key=lambda f: natural_key(f.stem)), fps)
        self._check_two()


class FrameArray(FrameSource):
    """A uint8 array [T, H, W, 3] (RGB) or [T, H, W] (grey)."""

    def __init__(self, array: np.ndarray, fps: float | None = None) -> None:
        self.name, self.fps, shape = "array", fps, array.shape
        if array.dtype != np.uint8:
            raise MediaError(f"the array is {array.dtype}; give uint8 frames with values 0 to 255")
        if array.ndim == 3 and shape[-1] in (1, 3, 4) and min(shape[:2]) > 4:
            raise MediaError(f"the array {list(shape)} is a single frame, and motion needs two; give [T, H, W, 3]")
        if array.ndim not in (3, 4) or (array.ndim == 4 and shape[-1] != 3) or 0 in shape:
            raise MediaError(f"the array {list(shape)} is no clip; give uint8 [T, H, W, 3] in RGB or [T, H, W] in grey")
        self.array, self.declared_frames = array, len(array)
        self._check_two()

    def read(self, wanted: Iterable[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        for index in range(len(self.array)) if wanted is None else wanted:
            if index >= len(self.array):
                return
            frame = self.array[index]
            yield index, np.ascontiguousarray(frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=-1))


def open_source(source: str | os.PathLike[str] | np.ndarray | FrameSource, fps: float | None = None) -> FrameSource:
    """Open a video file, a folder of frames or a uint8 array [T, H, W, 3] (RGB) or [T, H, W] (grey).

    fps: frames per second, overriding what a file says; folders and arrays say nothing.
    Raises `MediaError`: missing file, empty or undecodable file, folder without frames, single frame, or an array of another kind. Frames of
    differing sizes and unreadable pictures are found, and raised, while iterating.
    """
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise MediaError(f"fps is {fps}; give frames per second above 0")
    if isinstance(source, FrameSource):
        return source
    if isinstance(source, np.ndarray):
        return FrameArray(source, fps)
    if not isinstance(source, str | os.PathLike):
        raise MediaError(f"{type(source).__name__} is no source; give a path or a uint8 array [T, H, W, 3]")
    path = Path(source)
    if not path.exists():
        raise MediaError(f"{path} does not exist; give a video file or a folder of frames")
    if path.is_dir():
        return FrameFolder(path, fps)
    if not path.is_file():
        raise MediaError(f"{path} is neither a file nor a folder; give a video file or a folder of frames")
    if path.suffix.lower() in PICTURES:
        raise MediaError(f"{path} is a single picture, and motion needs two frames; give a video or a folder of frames")
    if not is_utf8(str(path)):
        raise MediaError(f"{plain(path)} has a name that is no UTF-8, which OpenCV cannot open; rename it")  # it would end the process
    return VideoFile(path, fps)


def _given(frame: np.ndarray) -> np.ndarray:
    return frame


def is_utf8(name: str) -> bool:
    """Whether a file name is text, and not bytes that Python carries as lone surrogates."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def natural_key(stem: str) -> tuple[int, int, str]:
    """Sort key of a frame's name: its last run of digits as a number; names without digits come last, by name."""
    runs = DIGITS.findall(stem)
    return (0, int(runs[-1]), stem) if runs else (1, 0, stem)


def _why_not_open(path: Path) -> str:
    """Reason and remedy for a file in which FFmpeg finds no video."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        return f"it cannot be read ({error.strerror}); check its permissions"
    if size == 0:
        return "the file is empty; copy it again"
    if head[4:8] == b"ftyp":
        return "it is an MP4 whose index or video stream is missing, as in a copy that was cut off before its end; copy or record it again"
    if b"\0" not in head:
        return "it is text, not a video; give a video file or a folder of frames"
    return "no video stream is found in it; convert it to MP4 (H.264) or give a folder of its frames"
