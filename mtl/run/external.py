"""Score finished stages on data sets that no stage has seen; nothing is trained again for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtl.config import Experiment
from mtl.errors import ConfigError
from mtl.progress import Steps
from mtl.records import ExternalRecord, write_record
from mtl.run.scoring import Scorer, source_record, write_predictions
from mtl.runs import StageFolder, stage_key
from segmentation.files import make_folder
from stages.assemble import Assembled
from stages.data.sources import source_names
from stages.external import External, Trained, assemble_external
from stages.learners.classical.colour import colour_baselines
from stages.learners.model import Floats, Model, load_model
from stages.learners.network.model import NetworkModel
from stages.metrics import Evaluation
from stages.splits.chains import Learned
from stages.splits.split import Split

__all__ = ["ExternalTests"]

_FOLDER = "tests"


@dataclass(frozen=True)
class ExternalTests:
    """The external tests of a run, read and checked before anything is trained.

    Attributes:
        experiment: What is run.
        trained: What its chains learn from.
        planned: What each stage is scored on, by its number.
    """

    experiment: Experiment
    trained: Trained
    planned: Mapping[int, tuple[External, ...]]

    @classmethod
    def plan(
        cls,
        experiment: Experiment,
        data: Mapping[int, Assembled],
        splits: Mapping[int, Split],
        learned: Learned,
        steps: Steps,
    ) -> ExternalTests:
        """Read the data sets and map their classes.

        Args:
            experiment: What is run.
            data: By stage number.
            splits: By stage number.
            learned: What the weights to start from have learned.
            steps: Told about progress.

        Raises:
            ConfigError: If a test names a stage that does not learn.
            DataError: If one cannot be read, mapped, or was trained on.
        """
        trained = Trained(data, splits, learned)
        ends = {max(own) for chain in experiment.chains() if (own := [one for one in chain if one in data])}
        names = source_names([test.dataset for test in experiment.tests])
        planned: dict[int, list[External]] = {}
        for place, (test, name) in enumerate(zip(experiment.tests, names, strict=True)):
            for number in {test.stage} if test.stage else ends or {0}:
                if number not in data:
                    known = ", ".join(map(str, sorted(data))) or "none"
                    raise ConfigError(
                        f"Expected `--test` {name} to score a stage that learns ({known}), but the chain has no such stage"
                        + (f" {test.stage}" if test.stage else "")
                        + "; do change `--stages`"
                    )
                found = assemble_external(
                    test, name, number, data[number].classes, trained,
                    experiment.stage(number).data.positive, steps.step, f"tests.{place}",
                    experiment.stage(number).unit,
                )  # fmt: skip
                planned.setdefault(number, []).append(found)
        return cls(experiment, trained, {number: tuple(found) for number, found in planned.items()})

    def score(self, folder: StageFolder, steps: Steps) -> None:
        """Score a finished stage on what is planned for it, and add that to its `stage.json`; what is there is reused.

        Raises:
            StagesError: If images cannot be read or the model is damaged.
        """
        number = folder.record().number
        for external in self.planned.get(number, ()):
            bar = f"test on {external.source.name}  {folder.path.name}"
            with folder.lock():
                record = folder.learned_record()
                key = stage_key(
                    record.key, external.fingerprint, self.experiment.evaluation.model_dump(mode="json"),
                    self.experiment.seed, external.source.name, external.notes,
                )  # fmt: skip
                known = next((one for one in record.tests if one.key == key), None)
                steps.step(bar, 0, 1)
                result = known or self._scored(folder, number, key, external)
                kept = [one for one in record.tests if one.key != key]
                write_record(folder.path / "stage.json", record.model_copy(update={"tests": (*kept, result)}))
            steps.step(bar, 1, 1, "reused" if known else "")

    def _scored(self, folder: StageFolder, number: int, key: str, external: External) -> ExternalRecord:
        model, samples = load_model(folder.path), external.samples
        images = model.preprocess.store(samples, external.fingerprint)
        votes = model.calibrated(model.prepared_probabilities(images))
        scorer = Scorer(self.experiment, samples, model.classes)
        over_colour = None
        baselines: dict[str, Evaluation] = {}
        if self.experiment.evaluation.baselines:
            colour = self._colour(number, model, images)
            baselines, over_colour = scorer.against_colour(votes, colour)
        make_folder(folder.path / _FOLDER)
        file = f"{_FOLDER}/{external.source.name}-{key}.csv"
        write_predictions(folder.path / file, samples, model.classes, votes)
        device, precision = "", ""
        if isinstance(model, NetworkModel):
            device, precision = model.inference.device, model.inference.precision
        labels = [sample.label for sample in samples]
        return ExternalRecord(
            key=key,
            source=source_record(external.source, samples),
            counts={name: labels.count(name) for name in model.classes},
            notes=external.notes,
            predictions=file,
            device=device,
            precision=precision,
            evaluation=scorer.evaluate(votes),
            baselines=baselines,
            over_colour=over_colour,
        )

    def _colour(self, number: int, model: Model, images: npt.NDArray[np.uint8]) -> dict[str, Floats]:
        stage, names = self.trained.stages[number], set(self.trained.splits[number].train)
        rows = np.flatnonzero([sample.name in names for sample in stage.samples])
        seen = model.preprocess.store(stage.samples, stage.fingerprint)
        return colour_baselines(
            seen[rows], stage.labels()[rows], images, len(model.classes), seed=self.experiment.seed
        )
