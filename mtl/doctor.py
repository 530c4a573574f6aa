"""What this machine has for an experiment: every line is fine, or says what to do."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mtl.errors import ConfigError, MtlError
from mtl.tune.settings import TuneSettings
from segmentation.cache import cache_folder
from stages import STAGES

__all__ = ["CACHES", "Diagnosis", "Finding", "clean_cache", "examine"]

CACHES = (
    "bags", "classical", "copies", "damaged", "features", "locks", "logs", "masks", "names", "origins", "pace", "precision", "preprocess", "rendered", "stacked", "stores",
)  # fmt: skip
"""Folders that mtl makes in its cache; nothing else is ever deleted."""
_TIGHT = 2 * 1024**3  # bytes
_EXTRA = re.compile(r"extra\s*==\s*[\"']([\w-]+)")


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        name: What was looked at.
        status: `ok`; `note`, which a person may want to know; `mend`, without which something will fail.
        text: What was found.
        cure: What to do; empty where nothing is.
    """

    name: str
    status: Literal["ok", "note", "mend"]
    text: str
    cure: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was looked at."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing must be mended."""
        return all(one.status != "mend" for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        return {"ok": self.ok, "findings": [asdict(one) for one in self.findings]}

    def to_text(self) -> str:
        """Return a line for each finding."""
        wide = max(len(one.name) for one in self.findings)
        return "\n".join(
            f"{one.status:<4}  {one.name:<{wide}}  {one.text}{f'; do {one.cure}' if one.cure else ''}"
            for one in self.findings
        )


def examine(
    settings: TuneSettings, runs: Path, say: Callable[[str], object] = lambda name: None
) -> Diagnosis:
    """Look at everything that an experiment, or a study on it, needs; nothing is trained and no network is asked.

    Args:
        settings: Its configuration, as `mtl run` and `mtl tune` read it.
        runs: Folder of run folders.
        say: Told what is looked at next.
    """
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("python", _python),
        ("packages", _packages),
        ("devices", lambda: _devices(settings)),
        ("precision", lambda: _precision(settings)),
        ("weights", lambda: _weights(settings)),
        ("data", lambda: _data(settings)),
        ("disk", lambda: _disk(runs)),
        ("storage", lambda: _storage(settings, runs)),
        ("cache", _cache),
    )
    found: list[Finding] = []
    for name, check in checks:
        say(name)
        try:
            found += check()
        except MtlError as error:  # one that cannot be looked at does not hide the others
            found.append(Finding(name, "mend", *_halves(str(error))))
    return Diagnosis(tuple(found))


def clean_cache() -> int:
    """Delete what mtl has put into its cache, and return how many bytes that frees.

    Raises:
        ConfigError: If the folder holds what mtl did not make: then it may be no cache at all.
    """
    folder = cache_folder()
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    strange = [entry.name for entry in entries if entry.name not in CACHES or not entry.is_dir()]
    if strange:
        raise ConfigError(
            f"Expected {folder} to hold nothing but what mtl caches, but it holds {strange[0]}; do delete by hand what is not needed, or set MTL_CACHE"
        )
    freed = sum(_size(entry) for entry in entries)
    for entry in entries:
        shutil.rmtree(entry, ignore_errors=True)
    return freed


def _halves(sentence: str) -> tuple[str, str]:
    text, _, cure = sentence.rpartition("; do ")
    return (text, cure) if text else (sentence, "")


def _python() -> Iterator[Finding]:
    wanted, have = metadata.metadata("mtl")["Requires-Python"], platform.python_version()
    text = f"{have} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if have in SpecifierSet(wanted, prereleases=True):
        yield Finding("python", "ok", text)
    else:
        yield Finding("python", "mend", text, f"install Python {wanted}")


def _packages() -> Iterator[Finding]:
    tested, extras = _tested(), dict[str, list[Requirement]]()
    for text in metadata.requires("mtl") or ():
        requirement = Requirement(text)
        named = _EXTRA.search(str(requirement.marker or ""))
        extras.setdefault(named[1] if named else "", []).append(requirement)
    for extra, requirements in sorted(extras.items()):
        if extra == "dev":
            continue
        name = f"extra {extra}" if extra else "packages"
        missing = [one.name for one in requirements if _version(one.name) is None]
        old = [
            f"{one.name} {_version(one.name)}"
            for one in requirements
            if one.name not in missing
            and not one.specifier.contains(_version(one.name) or "", prereleases=True)
        ]
        other = [
            f"{one.name} {_version(one.name)} ({tested[canonicalize_name(one.name)]})"
            for one in requirements
            if _version(one.name) not in (None, tested.get(canonicalize_name(one.name), _version(one.name)))
        ]
        install = f"pip install 'mtl[{extra}]'" if extra else "pip install --upgrade mtl"
        if extra and missing:
            yield Finding(
                name, "note", f"not installed ({', '.join(missing)})", f"`{install}` where it is needed"
            )
        elif missing or old:
            yield Finding(
                name, "mend", f"missing or not as asked for: {', '.join((*missing, *old))}", f"`{install}`"
            )
        elif other:
            yield Finding(
                name,
                "ok",
                f"{len(requirements)} as asked for; tested with another version: {', '.join(other)}",
            )
        else:
            yield Finding(name, "ok", f"{len(requirements)} as tested")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _tested() -> dict[str, str]:
    """Return the version that the tests ran with, by package."""
    inside = Path(__file__).parent / "constraints.txt"
    path = inside if inside.is_file() else Path(__file__).parent.parent / "constraints.txt"
    pairs = (line.partition("==") for line in path.read_text("utf-8").splitlines() if "==" in line)
    return {canonicalize_name(name): version for name, _, version in pairs}


def _devices(settings: TuneSettings) -> Iterator[Finding]:
    import torch

    from segmentation.engine import make_trainer

    hardware = settings.hardware
    asked = f"asked for {hardware.accelerator}, {hardware.devices} devices, strategy {hardware.strategy}"
    trainer = make_trainer(hardware, 1)
    device = trainer.strategy.root_device
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    used = f"used {trainer.num_devices} x {named}, {type(trainer.strategy).__name__}"
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    idle = torch.cuda.device_count() - (trainer.num_devices if device.type == "cuda" else 0)
    if idle > 0:
        yield Finding(
            "devices",
            "note",
            f"{asked}: {used}; {idle} GPUs are idle",
            "give --accelerator gpu --devices auto to use them",
        )
    elif device.type == "cpu" and Path("/proc/driver/nvidia/version").exists():
        yield Finding(
            "devices",
            "mend",
            f"{asked}: {used}, though the machine has an NVIDIA driver",
            "install a PyTorch that is built for it",
        )
    else:
        yield Finding("devices", "ok", f"{asked}: {used}{threads}")


def _precision(settings: TuneSettings) -> Iterator[Finding]:
    from segmentation.engine import pick_device
    from stages.learners.network.backbones import create_backbone
    from stages.learners.network.inference import choose_inference
    from stages.learners.network.network import Network

    stage = settings.multi_cell
    size = stage.preprocess.image_size
    backbone, record = create_backbone(settings.backbone, "none", stage.head.pool, size)
    network = Network(backbone, record, stage.head, ("one", "two")).to(pick_device(settings.hardware)).eval()
    probe = choose_inference(network, size, record.backbone).probe
    yield Finding(
        "precision",
        "ok",
        f"asked for {settings.hardware.precision} in training; {record.backbone} at {size} px predicts in {probe.precision}, bfloat16 is {probe.speedup:.2f} times as fast",
    )


def _weights(settings: TuneSettings) -> Iterator[Finding]:
    from stages.learners.network.hub import is_here
    from stages.learners.network.names import find_backbone

    if settings.weights == "none":
        yield Finding("weights", "note", "none asked for: the backbone begins at random")
    elif settings.weights != "auto":
        there = Path(settings.weights).is_file()
        yield Finding(
            "weights",
            "ok" if there else "mend",
            f"{settings.weights} is {'here' if there else 'not a file'}",
            "" if there else "check --weights",
        )
    else:
        name = find_backbone(settings.backbone)
        place = {"package": "in an installed package", "cache": "in the cache"}.get(is_here(name))
        cure = "" if place else f"let the first run download them, or see `mtl backbones {name}`"
        yield Finding("weights", "ok" if place else "note", f"{name}: {place or 'not here'}", cure)


def _data(settings: TuneSettings) -> Iterator[Finding]:
    stages = [
        (STAGES[number].name, settings.stage(number).data.each())
        for number in settings.stages
        if settings.learns(number)
    ]
    for name, sources in [*stages, ("test", settings.tests)]:
        for source in sources:
            line = f"{name} data"
            if source.root is None:
                yield Finding(line, "ok", f"{source.dataset}: rendered smears, made when they are needed")
            elif source.root.is_file() or (source.root.is_dir() and any(source.root.iterdir())):
                yield Finding(line, "ok", f"{source.dataset}: {source.root}")
            else:
                yield Finding(
                    line,
                    "mend",
                    f"{source.dataset}: {source.root} is {'empty' if source.root.is_dir() else 'not there'}",
                    f"see `mtl data list {source.dataset}`",
                )


def _disk(runs: Path) -> Iterator[Finding]:
    for name, folder in (
        ("runs", runs),
        ("cache", cache_folder()),
        ("temporary files", Path(tempfile.gettempdir())),
    ):
        place = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
        free = shutil.disk_usage(place).free
        text = f"{folder}: {_bytes(free)} free"
        if not os.access(place, os.W_OK):
            yield Finding(
                f"disk, {name}",
                "mend",
                f"{place} cannot be written",
                "change its rights, or choose another folder",
            )
        elif free < _TIGHT:
            yield Finding(f"disk, {name}", "mend", text, "free some, such as by `mtl doctor --clean`")
        else:
            yield Finding(f"disk, {name}", "ok", text)


def _storage(settings: TuneSettings, runs: Path) -> Iterator[Finding]:
    from mtl.tune.address import storage_address, without_password
    from mtl.tune.storage import open_storage

    plan = settings.plan()
    address = storage_address(plan.storage, runs / (plan.study or ""))
    file = address.removeprefix("sqlite:///") if address.startswith("sqlite") else address
    shown = without_password(address)
    if (address.startswith("sqlite") or "://" not in address) and not Path(file).is_file():
        yield Finding("storage", "ok", f"{shown}: made when a study begins")
        return
    studies = len(open_storage(plan.storage, runs / (plan.study or "")).get_all_studies())
    yield Finding("storage", "ok", f"{shown}: {studies} studies")


def _cache() -> Iterator[Finding]:
    folder = cache_folder()
    sizes = {name: _size(folder / name) for name in CACHES if (folder / name).is_dir()}
    told = ", ".join(
        f"{name} {_bytes(size)}" for name, size in sorted(sizes.items(), key=lambda one: -one[1]) if size
    )
    yield Finding(
        "cache",
        "ok",
        f"{folder}: {_bytes(sum(sizes.values()))}" + (f" ({told}); --clean frees them" if told else ""),
    )


def _size(folder: Path) -> int:
    return sum(entry.lstat().st_size for entry in folder.rglob("*") if entry.is_file())


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
