"""What stands in `federated.json` beside a federated model."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from segmentation.files import read_json, write_json
from stages.errors import ModelError
from stages.learners.federated.settings import FederateSettings

__all__ = [
    "FEDERATED_FILE",
    "ClientRecord",
    "FederatedRecord",
    "RefusedRecord",
    "read_federated",
    "write_federated",
]

FEDERATED_FILE = "federated.json"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClientRecord(_Record):
    """One client.

    Attributes:
        name: For people.
        images: By part.
        groups: Patients, slides or fields by part.
        counts: Images by part and class.
        noise: Noise multiplier of DP-SGD or of central privacy, or standard deviation of the noise on sums; None without privacy.
        spent: (RDP, PRV) epsilon after every round that it took part in; of least squares the epsilon of the mechanism twice.
        unit: What its groups are; empty where all clients have the same.
        rendered: Whether its images are rendered smears.
    """

    name: str
    images: dict[str, int]
    groups: dict[str, int]
    counts: dict[str, dict[str, int]]
    noise: float | None
    spent: dict[int, tuple[float, float]]
    unit: str = ""
    rendered: bool = False


class RefusedRecord(_Record):
    """An answer that was left out of a round; round 0 is before the first or behind the last."""

    round: int
    client: str
    reason: str


class FederatedRecord(_Record):
    """A federation.

    Attributes:
        settings: What it was told.
        clients: Who took part.
        history: A row a round: training loss, and scores over all clients' validation parts.
        best_round: Whose weights were kept, from 1.
        refused: Answers that were left out.
        shared: Number of arrays that are exchanged.
        batch_norms: What becomes of batch normalisation, in a sentence.
        drowning: Of central privacy: length of a round's noise over the longest that the mean of the clipped steps can be.
        test: Accuracy and the like over the test images of clients that keep them; empty where they are known here.
    """

    settings: FederateSettings
    clients: tuple[ClientRecord, ...]
    history: tuple[dict[str, float], ...]
    best_round: int
    refused: tuple[RefusedRecord, ...]
    shared: int
    batch_norms: str
    test: dict[str, float] = {}
    drowning: float | None = None

    @property
    def guarantee(self) -> str:
        """What is guaranteed of privacy, in a sentence."""
        told = self.settings
        if told.dp == "none":
            return "No privacy is guaranteed: weights are exchanged as they are, and can tell of the images that they were trained on."
        whose = "the server's secret" if told.dp == "central" else "its secret"
        seed = whose if self.test else "the seed"
        spent = [max(both[0] for both in client.spent.values()) for client in self.clients if client.spent]
        most = f"{max(spent):.3g}" if spent else "0"
        if told.dp == "central":
            return (
                f"What is released is ({most}, {told.delta:g})-differentially private for one client more or less: the model, and the weights "
                f"between the rounds. The server sees the clients' weights as they are, scores and numbers of images are not covered, and who knows {seed} can "
                f"take the noise away.{self._drowned}"
            )
        return (
            f"Each client's answers are ({most}, {told.delta:g})-differentially private towards everybody else, for one image more or less "
            "in its training part. A patient with many images is protected less, scores are not covered, and who knows "
            f"{seed} can take the noise away."
        )

    @property
    def _drowned(self) -> str:
        if self.drowning is None:
            return ""
        told = (
            f" A round's noise is {self.drowning:.3g} times as long as the mean of all clients' steps can be"
        )
        return f"{told}: it drowns what they learned." if self.drowning > 1 else f"{told}."


def write_federated(folder: Path, record: FederatedRecord) -> None:
    """Write `federated.json`.

    Raises:
        WriteError: If it cannot be written.
    """
    write_json(folder / FEDERATED_FILE, record.model_dump(mode="json"))


def read_federated(folder: Path) -> FederatedRecord:
    """Read `federated.json`.

    Raises:
        ReadError: If it is missing or damaged.
        ModelError: If it is of another version.
    """
    try:
        return FederatedRecord.model_validate(read_json(folder / FEDERATED_FILE))
    except ValidationError as error:
        raise ModelError(
            f"Expected {folder / FEDERATED_FILE} to be written by this version, but it is not; do run again in a new folder"
        ) from error
