"""Open a data set of any kind by name."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skt_crowd.data.readers import BeijingBrt, ImageFolder, Mall, ShanghaiTech, UcfCc50, UcfQnrf
from skt_crowd.data.samples import CrowdDataset
from skt_crowd.data.synthetic import SyntheticCrowds
from skt_crowd.errors import UsageError

_ON_DISK: dict[str, Callable[..., CrowdDataset]] = {
    "shanghaitech": ShanghaiTech,
    "ucf_cc_50": UcfCc50,
    "ucf_qnrf": UcfQnrf,
    "mall": Mall,
    "beijing_brt": BeijingBrt,
    "folder": ImageFolder,
}

DATASET_KINDS = (*_ON_DISK, SyntheticCrowds.kind)


def open_dataset(kind: str, root: Path | None, *, split: str = "train", **options: Any) -> CrowdDataset:
    """Open a data set of one of ``DATASET_KINDS``.

    Args:
        kind: ``"shanghaitech"`` (option ``part``), ``"ucf_cc_50"`` (``fold``), ``"ucf_qnrf"``, ``"mall"``,
            ``"beijing_brt"``, ``"folder"``: your own images, or ``"synthetic"`` (``length``, ``seed``,
            ``height``, ``width``, ``people_min``, ``people_max``).
        root: its folder; None for synthetic crowds, which have none.
        split: ``"train"``, ``"test"``, or for your own images any folder below `root`.
        options: of the kind; see its class.

    Raises:
        UsageError: an unknown kind, option or split; a root that is missing, or given where there is none.
        SktError: what is on the disk is not such a data set.

    Example:
        >>> open_dataset("synthetic", None, length=2)[1].image.shape
        (128, 128, 3)
    """
    if kind not in DATASET_KINDS:
        raise UsageError(f"data set kind: expected one of {', '.join(DATASET_KINDS)}, got {kind!r}")
    opener = _ON_DISK.get(kind, SyntheticCrowds)
    known = [name for name in inspect.signature(opener).parameters if name not in ("root", "split")]
    for name in options:
        if name not in known:
            raise UsageError(f"data set {kind}: no option {name}; it has {', '.join(known) or 'none'}")
    if kind == SyntheticCrowds.kind:
        if root is not None:
            raise UsageError(f"data set synthetic: made in memory, but a folder was given: {root}")
        return SyntheticCrowds(split=split, **options)
    if root is None:
        raise UsageError(f"data set {kind}: needs its folder")
    return opener(Path(root), split=split, **options)
