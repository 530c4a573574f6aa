"""Graphs as files: PyTorch's own, ONNX, OpenVINO's, and ONNX in eight bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from segmentation.errors import MtlError
from segmentation.files import write_bytes
from stages.export.graph import INPUT, OUTPUTS

__all__ = [
    "EXPORT_FOLDER",
    "FILES",
    "INT8_FILE",
    "MissingExportError",
    "copy_export",
    "save_graph",
    "save_int8",
]

FILES: Mapping[str, str] = {"torch": "model.pt2", "onnx": "model.onnx", "openvino": "model.xml"}
"""What a format's file is called; `model.xml` has its weights beside it in `model.bin`."""
INT8_FILE = "model-int8.onnx"
EXPORT_FOLDER = "export"
"""In the folder of a stage, where nothing else is said."""
Image = npt.NDArray[np.uint8]


class MissingExportError(MtlError, ImportError):
    """A package of the extra `export` is not installed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Expected {name} to be installed, but it is not; do `pip install 'mtl[export]'`")


def save_graph(
    program: torch.export.ExportedProgram,
    form: str,
    folder: Path,
    told: Mapping[str, str],
    names: Sequence[str] = OUTPUTS,
) -> Path:
    """Write a graph.

    Args:
        program: Of `exported_program`.
        form: `torch`, `onnx` or `openvino`.
        folder: Gets the file, and `model.onnx`, too, on the way to OpenVINO.
        told: Texts by name that stand in the file.
        names: Of the outputs.

    Raises:
        MissingExportError: If the extra is not installed.
    """
    path = folder / FILES[form]
    if form == "torch":
        torch.export.save(program, path, extra_files=dict(told))
        return path
    if form == "onnx":
        _save_onnx(program, path, told, names)
        return path
    try:
        import openvino
    except ImportError as error:
        raise MissingExportError("openvino") from error
    # Read and not converted: OpenVINO's converters send telemetry.
    read = openvino.Core().read_model(save_graph(program, "onnx", folder, told, names))
    for name, text in told.items():
        read.set_rt_info(text, [name])
    openvino.save_model(read, path, compress_to_fp16=False)
    return path


def save_int8(source: Path, path: Path, images: Sequence[Image]) -> None:
    """Write an ONNX file in which convolutions and dense layers count in eight bits (static quantisation, a scale a channel).

    Args:
        source: The file in float32.
        path: To write.
        images: Training images that show which values occur, each (H, W, 3) uint8.

    Raises:
        MissingExportError: If the extra is not installed.
    """
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise MissingExportError("onnxruntime") from error

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest: Iterator[Image] = iter(images)

        def get_next(self) -> dict[str, Image] | None:
            image = next(self.rest, None)
            return None if image is None else {INPUT: image[None]}

    prepared = path.with_suffix(".prepared.onnx")
    quantization.quant_pre_process(source, prepared, skip_symbolic_shape=True)
    # Clip and Relu belong to their convolution: cut off before it is rounded, its output needs no levels for what is cut off.
    quantization.quantize_static(
        prepared, path, Reader(), op_types_to_quantize=["Conv", "Gemm", "Clip", "Relu"], per_channel=True,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip


def copy_export(path: Path, folder: Path) -> Path:
    """Copy an exported file, whole or not at all; the weights of OpenVINO's first."""
    for source in (path.with_suffix(".bin"), path):
        if source.is_file():
            write_bytes(folder / source.name, source.read_bytes())
    return folder / path.name


def _save_onnx(
    program: torch.export.ExportedProgram, path: Path, told: Mapping[str, str], names: Sequence[str]
) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401 - PyTorch's exporter needs it
    except ImportError as error:
        raise MissingExportError("onnx and onnxscript") from error
    made: Any = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=[INPUT], output_names=list(names)
    )
    proto = made.model_proto
    onnx.helper.set_model_props(proto, dict(told))
    write_bytes(path, proto.SerializeToString(), durable=False)
