"""`mtl federate server`: run the rounds of a federation whose clients come over a network."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Message

from mtl.errors import ConfigError
from mtl.extras import check_extra
from mtl.federate.command import FederateResult, finish
from mtl.federate.content import ClientScore
from mtl.federate.keys import CERTIFICATE, KEY, client_keys, kept_secret
from mtl.federate.plan import END, Plan, read_end, read_record, told
from mtl.federate.public import public_basis
from mtl.federate.settings import ServedExperiment, split_address
from mtl.loading import dump_settings
from mtl.progress import Reporter
from mtl.records import DataRecord, LearnedRecord, write_record
from mtl.run.backbone import check_backbones
from mtl.run.execute import find_start
from mtl.run.stage import imagenet_stage
from mtl.runs import RunFolder, StageFolder, stage_key
from segmentation.files import read_json, write_json, write_table, write_text
from stages import STAGES
from stages.learners.federated.learner import FederatedLearner
from stages.learners.federated.records import ClientRecord, FederatedRecord, RefusedRecord
from stages.learners.federated.rounds import Federated, added_up
from stages.learners.federated.strategy import unusable_scores
from stages.learners.federated.superlink import SuperLinkGrid, Tls, superlink
from stages.learners.model import Fitting
from stages.learners.network.loading import State, backbone_fingerprint
from stages.learners.network.model import NetworkLearner, NetworkModel
from stages.preprocess import Preprocess
from stages.preprocess.fitting import asks_for_fitting
from stages.task import Task

__all__ = ["serve"]

_PARTS = ("train", "validation", "test")


def serve(
    experiment: ServedExperiment, runs: Path, command: str, start: Path | None = None
) -> FederateResult:
    """Wait for clients, run the rounds with them, and write a report.

    Args:
        experiment: What to run.
        runs: Folder of run folders.
        command: As typed.
        start: Run or stage folder to begin from.

    Raises:
        MtlError: If configuration, keys or run folder are not usable.
        StagesError: If weights or rounds fail.
        KeyboardInterrupt: If stopped; the same call goes on.
    """
    check_extra("federated")
    last = experiment.stages[-1]
    settings = experiment.stage(last)
    if experiment.stages != (1, last) and start is None:
        raise ConfigError(
            f"Expected `--stages` to be 1,{last}, since a server has no images to learn an earlier stage from, but got {','.join(map(str, experiment.stages))}; do train it with `mtl run` and give it as --from"
        )
    if asks_for_fitting(settings.preprocess):
        raise ConfigError(
            "Expected no preprocessing that is fitted on training images, since every client would fit its own, but got one; do set normalise, sharpen and segment.settings.fit off"
        )
    keys = client_keys(experiment.server.keys)
    if len(keys) < experiment.federate.clients:
        raise ConfigError(
            f"Expected a key for each of --clients {experiment.federate.clients}, but {experiment.server.keys} holds {len(keys)}; do add .pub files, or lower --clients"
        )
    folder = RunFolder(runs / f"{experiment.name}-federated")
    with folder.lock(), Reporter() as reporter:
        folder.claim("federate-server")
        begin = find_start(start, experiment) if start else None
        check_backbones(experiment)
        parent = begin or imagenet_stage(experiment, folder, reporter, experiment.weights)
        write_text(folder.path / "config.yaml", dump_settings(experiment))
        stage = STAGES[last]
        told_plan = experiment.plan().model_dump(mode="json")
        key = stage_key("federate-server", told_plan, experiment.server.classes, parent.record().key)
        done = folder.stage(last, stage.name, key)
        bar = f"stage {last}  {stage.title}, federated"
        server = _Server(experiment, parent, done, reporter, bar)
        scores = server.run(keys)
        return finish(experiment, folder, [parent, done], command, scores, None, begin)


class _Server:
    def __init__(
        self,
        experiment: ServedExperiment,
        parent: StageFolder,
        stage: StageFolder,
        reporter: Reporter,
        bar: str,
    ) -> None:
        settings, origin = experiment.stage(experiment.stages[-1]), parent.record()
        size = settings.preprocess.image_size
        none = np.zeros(0, np.int64)
        # A task of no images: classes and preprocessing are all that a server knows.
        self.task = Task(
            np.zeros((0, size, size, 3), np.uint8), none, dict.fromkeys(_PARTS, none), experiment.server.classes,
            Preprocess(settings.preprocess), none,
        )  # fmt: skip
        base = NetworkLearner(
            settings, origin.weights, parent.weights, experiment.seed, experiment.hardware,
            experiment.evaluation.flips, lambda done, total, text: reporter.step(bar, done, total, text),
        )  # fmt: skip
        basis = public_basis(base, experiment.federate, reporter.step)
        self.learner = FederatedLearner(
            replace(base, basis=basis),
            experiment.federate,
            (),
            kept_secret(stage.path / "secret.json") if experiment.federate.dp == "central" else 0,
        )
        self.experiment, self.parent, self.stage, self.reporter = experiment, parent, stage, reporter
        self.records: dict[int, ClientRecord] = {}
        self.turned_away: list[RefusedRecord] = []

    def run(self, keys: Mapping[str, bytes]) -> tuple[ClientScore, ...]:
        """Run the rounds with the clients that have these keys, write the stage, and return what each reached."""
        started = time.perf_counter()
        network, folder = self.experiment.server, self.experiment.server.keys
        host, port = split_address(network.listen, "--listen", lowest=0)
        start, shared = self.learner.start(self.task)
        template = self.learner.client("server", 0, self.task, start, shared, self.stage.path)
        with superlink(host, port, Tls(folder / CERTIFICATE, folder / KEY), keys, network.timeout) as grid:
            plan = Plan(
                experiment=self.experiment.plan(),
                classes=network.classes,
                weights=self.learner.base.weights,
            )
            grid.plan, grid.admits = (
                told(plan.model_dump_json(), start),
                lambda *answer: self._admits(grid, *answer),
            )
            names = self._names(grid)
            self._gather(grid)
            hospitals = self.experiment.federate.clients
            model, done = self.learner.federate(grid, template, self.stage.path, hospitals, 1)
            scores = self._ends(grid, done.state)
        self._write(model, done, names, scores, time.perf_counter() - started)
        return tuple(score for score, _ in scores.values())

    def _names(self, grid: SuperLinkGrid) -> dict[int, str]:
        """Return the names of all nodes that there ever were: a server that is started again gives new numbers."""
        path = self.stage.path / "nodes.json"
        known = read_json(path) if path.is_file() else {}
        names = {int(node): name for node, name in known.items()} | dict(grid.names)
        write_json(path, names)
        return names

    def _gather(self, grid: SuperLinkGrid) -> None:
        wanted, bar = self.experiment.federate.clients, f"clients at port {grid.port}"
        there = -1
        while there < wanted:
            now = len(grid.get_node_ids())
            if now != there:
                names = ", ".join(sorted(grid.names[node] for node in grid.admitted))
                self.reporter.step(bar, min(now, wanted), wanted, names or "none yet")
            there = now
            time.sleep(0 if there >= wanted else 0.2)

    def _admits(self, grid: SuperLinkGrid, node: int, reply: Message) -> bool:
        """Take a client in, or note why not."""
        name = grid.names[node]
        try:
            if reply.has_error():
                raise ValueError(reply.error.reason)
            record = read_record(reply, self.task.classes)
        except (ValueError, KeyError) as error:
            self.turned_away.append(RefusedRecord(round=0, client=name, reason=str(error)[:300]))
            self.reporter.step(f"{name} was not taken in", 1, 1, str(error)[:300])
            return False
        self.records[node] = record.model_copy(update={"name": name, "spent": {}})
        return True

    def _ends(self, grid: SuperLinkGrid, state: State) -> dict[int, tuple[ClientScore, Mapping[str, Any]]]:
        """Give every client that is there the last weights, and return what they reach on its test images."""
        nodes = grid.get_node_ids()
        found: dict[int, tuple[ClientScore, Mapping[str, Any]]] = {}
        for reply in grid.send_and_receive([Message(told("", state), node, END) for node in nodes]):
            node = reply.metadata.src_node_id
            try:
                if reason := unusable_scores(reply, len(self.task.classes)):
                    raise ValueError(reason)
                score = read_end(reply)
            except (ValueError, KeyError) as error:
                self.turned_away.append(
                    RefusedRecord(round=0, client=grid.names[node], reason=f"Scores: {str(error)[:200]}")
                )
                continue
            named = ClientScore(grid.names[node], score.n, score.groups, score.accuracy, score.macro_f1)
            found[node] = named, next(iter(reply.content.metric_records.values()))
        return found

    def _write(
        self,
        model: NetworkModel,
        done: Federated,
        names: Mapping[int, str],
        scores: Mapping[int, tuple[ClientScore, Mapping[str, Any]]],
        seconds: float,
    ) -> None:
        spent: dict[str, dict[int, tuple[float, float]]] = {}
        for node, rounds in done.spent.items():
            spent[names[node]] = spent.get(names[node], {}) | rounds
        records = [
            record.model_copy(update={"spent": spent.get(record.name, {})})
            for record in self.records.values()
        ]
        record = self.learner.write(
            self.stage.path, done, records, names,
            more=self.turned_away, test=added_up(metrics for _, metrics in scores.values()),
        )  # fmt: skip
        fitting, path = self.learner.fitting(model, done, seconds), self.stage.path
        header = list(dict.fromkeys(column for row in fitting.history for column in row))
        write_table(
            path / "history.csv",
            header,
            [[row.get(column, "") for column in header] for row in fitting.history],
        )
        write_json(path / "learned.json", self.parent.learned().parts)
        write_record(path / "stage.json", self._stage(record, fitting))

    def _stage(self, record: FederatedRecord, fitting: Fitting) -> LearnedRecord:
        number, origin = self.experiment.stages[-1], self.parent.record()
        return LearnedRecord(
            number=number, name=STAGES[number].name, key=self.stage.path.name.rpartition("-")[2], parent=origin.key, start=origin.backbone,
            lineage=tuple(dict.fromkeys((*origin.lineage, number))), weights=origin.weights, seconds=fitting.seconds,
            backbone=backbone_fingerprint(self.stage.weights), classes=self.task.classes, settings=self.experiment.stage(number),
            data=_data(record), best_epoch=fitting.best_epoch, parameters=fitting.parameters, device="", precision="",
            evaluation=None, baselines={}, over_colour=None,
        )  # fmt: skip


def _data(record: FederatedRecord) -> DataRecord:
    """Return what is known of images that stayed with their clients."""

    def added(values: list[dict[str, int]]) -> dict[str, int]:
        return {key: sum(one[key] for one in values) for key in (values[0] if values else ())}

    clients = record.clients
    return DataRecord(
        dataset=f"images of {len(clients)} clients", sources=(), rendered=any(client.rendered for client in clients), fingerprint="",
        counts={part: added([client.counts[part] for client in clients]) for part in _PARTS},
        groups=added([client.groups for client in clients]), unit="; ".join(sorted({client.unit for client in clients})),
        split="by each client of its own images", notes=("No image left its client; what is said of them is what clients tell.",),
    )  # fmt: skip
