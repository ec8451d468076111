"""Retrieval of images by captions and of captions by images, at every resolution."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, Shaped

from lrjax.checks.ranges import Side
from lrjax.questions.base import Question
from lrjax.questions.case import Arrays, Case, Measurement, Need, Outcomes, Score, Setting, Views

RECALLS = (1, 5, 10)
DIRECTIONS = ("image_to_text", "text_to_image")
_AT_ONCE = 2**24
"""Similarities that are in memory together, 64 MiB."""


@dataclass(frozen=True, kw_only=True)
class Retrieval(Question):
    """Is a caption of the image among the k nearest captions, and the image of a caption among the k nearest images?

    Captions are compared as they are, without a prompt, cut to the context of the text tower.

    Metrics: "image_to_text_recallK", the share of images of which any caption is among the K nearest, and
    "text_to_image_recallK", the share of captions whose image is, K 1, 5 and 10, where there are as many to choose
    from; "recallK" is the mean of both.

    Samples: "index" and "rank" of every image, "caption" and "caption_rank" of every caption: the place of the nearest
    right one, from 0; and "caption_image", the index of the image of every caption.

    Attributes:
        resolutions: sides in pixels to which images are reduced before the model sees them, beside the size of its
            own input, "hr".

    Reference:
        Karpathy and Fei-Fei 2015, arXiv 1412.2306, section 4.1 (the task); Recall@K as clip_benchmark counts it.
    """

    version: ClassVar[int] = 2
    headline: ClassVar[str] = "recall5"
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        f"{direction}recall{k}": True for direction in ("", *(f"{one}_" for one in DIRECTIONS)) for k in RECALLS
    }
    asks_of: ClassVar[Literal["classes", "captions"]] = "captions"
    choosing: ClassVar[frozenset[str]] = frozenset({"resolutions"})

    resolutions: tuple[Side, ...] = (16, 32, 64, 128)

    def check(self, setting: Setting) -> None:
        """Refuses resolutions above the input of the model."""
        super().check(setting)
        setting.check_sides(self.resolutions)

    def plan(self, setting: Setting) -> Iterable[Case]:
        """Plans a case per data set and resolution."""
        for dataset, source in setting.datasets:
            texts = Need(dataset=dataset, source=source, read="text")
            for side in setting.sides(self.resolutions):
                images = Need(dataset=dataset, source=source, views=Views(resolution=side), read="embedding")
                yield Case(
                    dataset=dataset, needs={"images": images, "texts": texts}, condition={"resolution": side or "hr"}
                )

    def score(self, case: Case, records: Mapping[str, Arrays]) -> Score:
        """Measures recall; the captions of images that are damaged are not asked for, nor found."""
        images, texts = records["images"], records["texts"]
        order = np.argsort(images["index"])
        index, pictures = images["index"][order], images["embedding"][order]
        there = np.isin(texts["label"], index)
        captions, owner = texts["embedding"][there], np.searchsorted(index, texts["label"][there])
        rank = places(pictures, captions, np.arange(len(index)), owner)
        caption_rank = places(captions, pictures, owner, np.arange(len(index)))
        samples = {
            "index": index,
            "rank": rank,
            "caption": texts["index"][there],
            "caption_rank": caption_rank,
            "caption_image": texts["label"][there],
        }
        found: list[Measurement] = []
        for k in (one for one in RECALLS if one <= len(pictures)):  # an image has a caption or more
            both = [float((one < k).mean()) for one in (rank, caption_rank)]
            counts = len(rank), len(caption_rank)
            found += [
                Measurement(f"{direction}_recall{k}", value, count)
                for direction, value, count in zip(DIRECTIONS, both, counts, strict=True)
            ]
            found.append(Measurement(f"recall{k}", sum(both) / 2, sum(counts)))
        return Score(found, samples)

    @classmethod
    def outcomes(cls, samples: Arrays) -> Mapping[str, Outcomes]:
        """Returns which images find a caption of theirs, and how many of their captions find them.

        The examples are images, for the captions of one are not independent. What there is to choose from stays.
        """
        index, rank, caption_rank = (samples[name] for name in ("index", "rank", "caption_rank"))
        owner = np.searchsorted(index, samples["caption_image"])
        captions = np.bincount(owner, minlength=len(index))
        found = {}
        for k in RECALLS:
            there = np.bincount(owner, caption_rank < k, len(index))
            found |= {
                f"{DIRECTIONS[0]}_recall{k}": Outcomes(index, (rank < k,)),
                f"{DIRECTIONS[1]}_recall{k}": Outcomes(index, (there, captions), _of_captions),
                f"recall{k}": Outcomes(index, (rank < k, there, captions), _both_ways),
            }
        return found


def _of_captions(there: Shaped[np.ndarray, "N"], captions: Int[np.ndarray, "N"]) -> float:
    return float(there.sum() / captions.sum())


def _both_ways(right: Bool[np.ndarray, "N"], there: Shaped[np.ndarray, "N"], captions: Int[np.ndarray, "N"]) -> float:
    return (float(right.mean()) + _of_captions(there, captions)) / 2


def places(
    queries: Float32[np.ndarray, "N E"],
    candidates: Float32[np.ndarray, "K E"],
    wanted: Int[np.ndarray, "N"],
    labels: Int[np.ndarray, "K"],
) -> Int32[np.ndarray, "N"]:
    """Returns the place of the nearest right candidate among all, most similar first.

    Args:
        queries: what is compared with the candidates.
        candidates: of equally similar ones the lower index comes first.
        wanted: the label of the right candidates of each query; there is at least one.
        labels: of the candidates.

    Returns:
        Places from 0.
    """
    step, position = max(1, _AT_ONCE // len(candidates)), np.arange(len(candidates))
    found = []
    for start in range(0, len(queries), step):
        similar = queries[start : start + step] @ candidates.T
        right = wanted[start : start + step, None] == labels
        best = np.where(right, similar, -np.inf).max(axis=1, keepdims=True)
        first = (right & (similar == best)).argmax(axis=1)[:, None]
        before = (similar > best) | ((similar == best) & (position < first))
        found.append(before.sum(axis=1, dtype=np.int32))
    return np.concatenate(found)
