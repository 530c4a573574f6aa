"""Directions that features are looked at in, from images that anybody may see: what a private head learns in few dimensions costs little noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from stages.assemble import Told
from stages.data.images import content_key
from stages.data.sources import read_sources
from stages.data_settings import DataSettings
from stages.learners.federated.settings import FederateSettings
from stages.learners.network.heads import find_basis
from stages.learners.network.loading import State
from stages.learners.network.model import NetworkLearner
from stages.preprocess import Preprocess
from stages.task import Task

__all__ = ["public_basis"]

_AT_ONCE = 16


@torch.inference_mode()
def public_basis(base: NetworkLearner, settings: FederateSettings, tell: Told | None = None) -> State | None:
    """Return mean and directions of the head's basis, or None where `public` names no data set.

    Args:
        base: Whose starting weights give the features.
        settings: Of the federation.
        tell: Told about progress.

    Raises:
        DataError: If the public images cannot be read, or are fewer than `dimensions`.
    """
    if settings.public is None:
        return None
    samples, _ = read_sources(DataSettings(dataset=settings.public.dataset, root=settings.public.root))
    preprocess = Preprocess(base.settings.preprocess)
    images = preprocess.store(samples, content_key(samples), None)
    plain = base.settings.head.model_copy(update={"basis": None})
    learner = replace(base, settings=base.settings.model_copy(update={"head": plain}))
    none = np.zeros(0, np.int64)
    network = learner.network(Task(images, none, {}, ("one", "other"), preprocess, none)).eval()
    found = []
    for begin in range(0, len(images), _AT_ONCE):
        batch = torch.from_numpy(np.array(images[begin : begin + _AT_ONCE]))
        found.append(network.features(batch.permute(0, 3, 1, 2).float() / 255))
        if tell:
            tell(f"{settings.public.dataset}: public features", begin + len(batch), len(images))
    return find_basis(torch.cat(found).double(), settings.dimensions)
