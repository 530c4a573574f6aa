"""Run chains of stages: read, split, then every stage from its parent's weights; finished stages are reused."""

from __future__ import annotations

from mtl.config import Experiment
from mtl.errors import ConfigError
from mtl.loading import dump_settings
from mtl.progress import Steps
from mtl.records import RunRecord, write_record
from mtl.run.compared import compare_chains
from mtl.run.external import ExternalTests
from mtl.run.stage import StageMaker, imagenet_stage
from mtl.runs import RunFolder, StageFolder, environment, follows
from segmentation.files import write_text
from stages.assemble import Assembled, assemble, split_stages
from stages.preprocess import Preprocess
from stages.splits.chains import Learned
from stages.splits.split import Split

__all__ = ["check_beginnings", "prepare", "run_experiment"]


def run_experiment(
    experiment: Experiment,
    run: RunFolder,
    command: str,
    reporter: Steps,
    start: StageFolder | None = None,
    *,
    scratch: bool = False,
) -> dict[str, list[StageFolder]]:
    """Run every chain of an experiment and write the run folder.

    Args:
        experiment: What to run.
        run: Where to.
        command: As typed, for the report.
        reporter: Shows progress.
        start: A finished stage to begin from, instead of stage 1.
        scratch: Let a chain that does not begin with 1 begin from random weights.

    Returns:
        The finished stages of every chain, by the chain's text such as `"1,2,3"`.

    Raises:
        ConfigError: If a chain starts from nothing.
        StagesError: If data, weights or training fail.
        KeyboardInterrupt: If stopped; the same call goes on.
    """
    if not scratch:
        check_beginnings(experiment, start)
    first = start or imagenet_stage(experiment, run, reporter, experiment.weights)
    data, splits = prepare(experiment, run, reporter, first.learned())
    tests = ExternalTests.plan(experiment, data, splits, first.learned(), reporter)
    write_text(
        run.path / "config.yaml", dump_settings(experiment)
    )  # a test that is refused leaves the old one
    maker = StageMaker(experiment, run, reporter)
    done: dict[str, list[StageFolder]] = {}
    for chain in experiment.chains():
        parent = first if start or chain[0] == 1 else imagenet_stage(experiment, run, reporter, "none")
        folders = [parent]
        for number in chain:
            if number in data:
                parent = maker.make(number, data[number], splits[number], parent)
                folders.append(parent)
        done[",".join(map(str, chain))] = folders
    if follows():
        return done
    for folder in {folder.path: folder for folders in done.values() for folder in folders}.values():
        tests.score(folder, reporter)
    within, external = compare_chains(list(done.items()), experiment.evaluation.resamples, experiment.seed)
    record = RunRecord(
        name=experiment.name,
        command=command,
        chains={chain: tuple(folder.path.name for folder in folders) for chain, folders in done.items()},
        start=start.path.resolve() if start else None,
        environment=environment(),
        comparison=within,
        external=external,
    )
    write_record(run.path / "run.json", record)
    return done


def check_beginnings(experiment: Experiment, start: StageFolder | None) -> None:
    """Refuse chains that start from nothing.

    Args:
        experiment: What to run.
        start: A finished stage to begin from, or None.

    Raises:
        ConfigError: If a chain does not begin with 1 and there is no start.
    """
    for chain in experiment.chains():
        if chain[0] != 1 and start is None:
            raise ConfigError(
                f"Expected `--stages {','.join(map(str, chain))}` to begin with 1, or `--from` to name a finished run; do add one"
            )


def prepare(
    experiment: Experiment, run: RunFolder, reporter: Steps, learned: Learned
) -> tuple[dict[int, Assembled], dict[int, Split]]:
    """Read and split the data of every stage that learns.

    Args:
        experiment: What to run.
        run: Gets the split lists.
        reporter: Told about progress.
        learned: What the weights to start from have learned.

    Raises:
        DataError: If data cannot be read or split.
        ModelError: If weights that shall segment cannot be used.
    """
    numbers = sorted(
        {number for chain in experiment.chains() for number in chain if experiment.learns(number)}
    )
    for number in numbers:
        Preprocess.of_stage(experiment.stage(number)).check()
    data = {}
    for number in numbers:
        settings = experiment.stage(number)
        data[number] = assemble(settings.data, settings.split.near_duplicates, reporter.step, settings.unit)
    if not data:
        return {}, {}
    chosen = {number: experiment.stage(number).split for number in numbers}
    return split_stages(data, chosen, experiment.seed, run.path / "splits", reporter.step, learned)
