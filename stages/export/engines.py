"""Exported files at work: the same answers without the code that trained them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from segmentation.cache import cached
from segmentation.files import sha256_of
from stages.calibrate import at_temperature
from stages.errors import ModelError
from stages.export.formats import FILES, MissingExportError
from stages.learners.model import Floats, Image
from stages.learners.network.model import NetworkModel

__all__ = ["Engine", "fastest", "open_engine", "use_engine"]

Engine = Callable[[Image], tuple[npt.NDArray[np.float32], ...]]
"""Images (N, H, W, 3) uint8 to what the file gives: calibrated probabilities (N, K) and features (N, F) of a classifier."""
_BATCH, _ROUNDS = 16, 3


def open_engine(form: str, path: Path) -> Engine:
    """Return what runs an exported file; see `stages.export.formats.FILES`.

    Raises:
        MissingExportError: If what runs it is not installed.
        ModelError: If the file cannot be read.
    """
    opened = {"torch": _torch, "onnx": _onnx, "openvino": _openvino}[form]
    try:
        return opened(path)
    except ImportError as error:
        raise MissingExportError({"onnx": "onnxruntime", "openvino": "openvino"}[form]) from error
    except Exception as error:  # each library raises its own kinds
        raise ModelError(
            f"Expected {path} to be a file of `mtl export`, but it cannot be read ({type(error).__name__}); do export it again"
        ) from error


def use_engine(model: NetworkModel, form: str, folder: Path) -> None:
    """Let a model answer by what was exported of it.

    Args:
        model: Keeps preparing images and judging answers as before.
        form: `onnx` or `openvino`.
        folder: With the exported file.

    Raises:
        MissingExportError: If what runs it is not installed.
        ModelError: If there is none.
    """
    path = folder / FILES[form]
    if not path.is_file():
        raise ModelError(
            f"Expected {path} to be there for `--engine {form}`, but it is not; do `mtl export RUN --format {form}` first"
        )
    run = open_engine(form, path)
    temperature = model.calibration.certainty.temperature if model.calibration else 1.0

    def answers(images: Image) -> tuple[Floats, Floats]:
        parts = [
            run(np.ascontiguousarray(images[place : place + _BATCH]))
            for place in range(0, len(images), _BATCH)
        ]
        said, seen = (np.concatenate(column).astype(np.float64) for column in zip(*parts, strict=True))
        return at_temperature(said, 1 / temperature), seen

    model.engine = answers


def fastest(model: NetworkModel, folder: Path) -> str:
    """Return `onnx` or `openvino`, where what was exported is faster here than `torch`; all of them give the same answers.

    The speed is measured once and remembered, so that a machine always chooses alike.
    """
    there = {form: folder / FILES[form] for form in ("onnx", "openvino") if (folder / FILES[form]).is_file()}
    if not there:
        return "torch"
    files = {form: sha256_of(path) for form, path in there.items()}
    key = f"engine|{files}|{torch.__version__}|{torch.get_num_threads()}|{torch.backends.cpu.get_cpu_capability()}"
    return str(cached("precision", key, lambda: _measured(model, there)))


def _measured(model: NetworkModel, there: Mapping[str, Path]) -> str:
    size = model.preprocess.settings.image_size
    images = np.random.default_rng(0).integers(0, 256, (_BATCH, size, size, 3), np.uint8)
    runs: dict[str, Callable[[Image], object]] = {"torch": model.prepared_answers}
    for form, path in there.items():
        try:
            runs[form] = open_engine(form, path)
        except MissingExportError:
            continue
    taken: dict[str, list[float]] = {form: [] for form in runs}
    for number in range(
        _ROUNDS + 1
    ):  # one after the other, so that a busy machine is unfair to none; the first warms up
        for form, run in runs.items():
            started = time.perf_counter()
            run(images)
            if number:
                taken[form].append(time.perf_counter() - started)
    return min(taken, key=lambda form: min(taken[form]))


def _torch(path: Path) -> Engine:
    run: Any = torch.export.load(path).module()

    def answers(images: Image) -> tuple[Any, ...]:
        with torch.no_grad():
            return tuple(one.numpy() for one in run(torch.from_numpy(images)))

    return answers


def _onnx(path: Path) -> Engine:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    return lambda images: tuple(session.run(None, {entry.name: images}))


def _openvino(path: Path) -> Engine:
    import openvino

    core = openvino.Core()
    # Some processors would count in bfloat16 by themselves, which is no parity.
    threads = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = core.compile_model(core.read_model(path), "CPU", threads)
    request = compiled.create_infer_request()

    def answers(images: Image) -> tuple[Any, ...]:
        found = request.infer([images])
        return tuple(found[number].copy() for number in range(len(found)))

    return answers
