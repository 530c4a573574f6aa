"""Flags that nobody should give: each ends in one short line and exit code 2, before anything heavy begins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from conftest import called

HUGE = "9" * 30
SEEDS = ("-1", "99999999999", str(2**64), HUGE, "1.5", "nan", "x", "")
COUNTS = ("0", "-1", "1.5", "nan", "inf", HUGE, "x", "")

EXPERIMENT = {
    "--seed": SEEDS,
    "--epochs": COUNTS,
    "--image-size": (*COUNTS, "15", "99999"),
    "--config": ("x", "", "/", "/dev/null"),
    "--single-cell": ("x", "x:y", ":", "all-idb2:", ""),
    "--multi-cell": ("x", "x:y", ":", "all-idb1:", ""),
}
SHARED = {flag: values[:2] for flag, values in EXPERIMENT.items()}  # read by the same lines as those of `run`
RUN = {
    "--lr": ("inf", "-inf", "nan", "-1", "0", "1e300", "x"),
    "--batch-size": (*COUNTS, "1"),
    "--precision": ("bf16-true", "16-true", "64-true", "x", ""),
    "--devices": ("0", "-1", "1.5", "x", ""),
    "--name": ("..", ".", "", "a/b", "/x", "a\nb"),
    "--stages": ("x", "", "0", "4", "3,1", "1,1", "-1", "1 2"),
    "--against": ("x", "3,1", "1,4", "1,1", ","),
    "--segment": ("x", ""),
    "--time-budget": ("0", "-1", "nan", "inf", "x", ""),
}
FIND_LR = {
    "--stage": ("x", "1", "4", "1.5", ""),
    "--lowest": ("0", "-1", "nan", "inf", "1e9", "x"),
    "--highest": ("0", "-1", "nan", "inf", "1e-9", "x"),
    "--steps": (*COUNTS, "1"),
    "--from": ("/nowhere", "."),
}
BENCHMARK = {
    "--chains": ("x", "", "3,1"),
    "--repeats": COUNTS,
    "--folds": ("-1", "1", "1.5", HUGE, "x"),
    "--draw": ("-1", "1.5", HUGE, "x"),
    "--metric": ("x", "ece", ""),
    "--rope": ("-1", "100", "nan", "inf", "x"),
    "--workers": ("0", "-1", "1.5", "x"),
}
TUNE = {
    "--trials": COUNTS,
    "--folds": COUNTS,
    "--stage": ("x", "1", "4", ""),
    "--search": ("/nowhere", "/", "/dev/null"),
    "--metric": ("x", "", ",", "macro_f1,macro_f1", "macro_f1,x"),
    "--sampler": ("x", ""),
    "--pruner": ("x", ""),
    "--study": ("../x", "", "..", "a/b"),
    "--storage": ("x", "", "nosuch://x", "sqlite://", "sqlite:///", "sqlite:///:memory:"),
    "--join": ("/nowhere", "."),
}
COMPARE = {
    "--test-fraction": ("0", "1", "-1", "nan", "inf", "x"),
    "--folds": ("0", "1", "-1", HUGE + ".5", "x"),
    "--rope": ("-1", "100", "nan", "inf", "x"),
    "--claim": ("x", "", "1,2", "t,df,p"),
}
RENDER = {
    "--fields": COUNTS,
    "--crops": COUNTS,
    "--slides": COUNTS,
    "--size": ("x", "0x0", "1x1", "99999x9", "-1x3", ""),
    "--seed": SEEDS,
}
DASHBOARD = {"--port": ("99999", "-5", HUGE, "x"), "--runs": ("/nowhere",)}

ANY_SETS = ("x", "=", "=1", "x=1", "seed=-1", "seed=.nan", "seed={a: b", "seed=!!python/object:os.system x", "x" * 500 + "=1", "seed=" + "x" * 2000)  # fmt: skip
EXPERIMENT_SETS = (
    "seed.x=1", "a..b=1", ".=1", "seed=$NOT_SET_ANYWHERE", "single_cell=3", "single_cell.train=[]",
    "single_cell.train.epochs={}", "single_cell.train.epochs=1e400", "single_cell.train.learning_rate=.inf",
    "single_cell.train.learning_rate=.nan", "single_cell.train.head_learning_rate=.inf", "multi_cell.train.weight_decay=.inf",
    "single_cell.train.warmup=.nan", "single_cell.augment.mixup=.inf", "single_cell.augment.rotate=.nan",
    "single_cell.head.hidden=[0]", f"single_cell.head.hidden=[{HUGE}]", "single_cell.split.test=1", "single_cell.split.test=.nan",
    "single_cell.split.method=files", "single_cell.data.limit=0", "against=0.5", "against=[[0.5]]", "against={}", "stages=[]",
    "stages={}", "stages=1.5", "stages=null", "hardware.devices=0", "hardware.precision=64-true", "rendering.fields=1",
    "rendering.fields=.inf", "evaluation.resamples=-1", f"evaluation.resamples={HUGE}", "weights=[]", "backbone=null",
    "backbone=" + "x" * 2000, "imagenet.proceed=3",
)  # fmt: skip
SETS = {
    ("run",): (*ANY_SETS, *EXPERIMENT_SETS),
    ("benchmark",): (*ANY_SETS, "benchmark=3", "benchmark.chains={}", "benchmark.chains=0.5", "benchmark.repeats=.inf"),
    ("tune",): (*ANY_SETS, "tune=3", "tune.trials=.inf", "tune.metrics=[]", "tune.metrics=3", "tune.space=[]", "tune.space={a: b}", "tune.space={multi_cell.train.epochs: {choices: [0]}}"),
    ("compare", "scores.csv"): ANY_SETS,
    ("data", "render", "out"): (*ANY_SETS, "fields=.inf", "height=1e9"),
}  # fmt: skip
COMMANDS = (
    ("x",), ("",), ("--x",), ("run", "extra"), ("run", "--x"), ("run", "--from", "/nowhere"), ("run", "--from", "."),
    ("report",), ("report", "/nowhere"), ("report", "."), ("report", "/dev/null"), ("report", "a\0b"),
    ("tune", "report"), ("tune", "report", "/nowhere"), ("tune", "report", "."),
    ("compare",), ("compare", "/nowhere"), ("compare", "/"), ("compare", "/dev/null"),
    ("data", "x"), ("data", "list", "x"), ("data", "check"), ("data", "check", "x", "y"),
    ("data", "check", "all-idb1", "/nowhere"), ("data", "check", "bloodmnist", "/dev/null"), ("data", "check", "folder", "a\0b"),
    ("data", "clean"), ("data", "clean", "/nowhere"), ("data", "clean", "."), ("data", "clean", ".", "--folds", "1"),
    ("data", "get", "x"), ("data", "get", "bloodmnist", "out", "--variant", "x"),
)  # fmt: skip


def flags_of(command: tuple[str, ...], flags: dict[str, tuple[str, ...]]) -> Iterable[tuple[str, ...]]:
    """Every command line with one of the flags."""
    return ((*command, flag, value) for flag, values in flags.items() for value in dict.fromkeys(values))


LINES = [
    *COMMANDS,
    *flags_of(("run",), EXPERIMENT | RUN),
    *flags_of(("benchmark",), SHARED | {"--name": ("..", "a/b")} | BENCHMARK),
    *flags_of(("tune",), SHARED | TUNE),
    *flags_of(("find-lr",), SHARED | FIND_LR),
    *flags_of(("compare", "scores.csv"), COMPARE),
    *flags_of(("data", "render", "out"), RENDER),
    *flags_of(("dashboard",), DASHBOARD),
    *((*command, "--set", text) for command, texts in SETS.items() for text in texts),
]


@pytest.mark.parametrize(
    "command", list(dict.fromkeys(line[0] for line in LINES)), ids=lambda command: command or "nothing"
)
def test_hostile_flags_are_one_short_line(tmp_path: Path, command: str) -> None:
    (tmp_path / "scores.csv").write_text("a,b\n.5,.6\n.4,.5\n.3,.7\n")
    wrong = []
    for line in (line for line in LINES if line[0] == command):
        done = called(*line, cwd=tmp_path)
        said = done.stderr.splitlines()
        if not (
            done.returncode == 2
            and len(said) == 1
            and said[0].startswith("mtl: ")
            and len(said[0]) <= 305
            and said[0].isprintable()
            and not done.stdout
        ):
            wrong.append((line, done.returncode, done.stdout[:200], done.stderr[:400]))
    assert wrong == []
