"""What questions share: one sweep over the images of a data set, one reading of its captions."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from lrjax.data.corrupted import CorruptedSource
from lrjax.data.datasets import get_dataset
from lrjax.data.sources.base import Part
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.predict import Predictor
from lrjax.questions.base import Question
from lrjax.questions.bench import LOGIT_SCALE, Bench, Job, view_spec
from lrjax.questions.case import Case, Measurement, Need, Score, Setting, Views
from lrjax.questions.zeroshot import ZeroShot
from lrjax.questions.zoom.question import Zoom
from lrjax.results.store import ResultStore
from lrjax.runs.asking import Asking, Plan, Subject

SIDES = (8, None)
BACKBONE = zoo.get("EVA02-embedded")


class Captioned(tiny.Pictures):
    fingerprint = "six pictures"
    captions = (("a b", "b c"), ("c",), ("d e", "e", "f"), ("g",), ("h",), ("i",))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nearness(Question):
    """How near are captions to their pictures?"""

    version: ClassVar[int] = 1
    headline: ClassVar[str] = "nearness"
    higher_is_better: ClassVar[dict[str, bool]] = {"nearness": True}
    asks_of: ClassVar[str] = "captions"

    factor: float = 1.0

    def plan(self, setting):
        for dataset, source in setting.datasets:
            for side in setting.sides((8,)):
                needs = {
                    "images": Need(dataset=dataset, source=source, views=Views(resolution=side), read="embedding"),
                    "texts": Need(dataset=dataset, source=source, read="text"),
                }
                yield Case(dataset=dataset, needs=needs, condition={"resolution": side or "hr"})

    def score(self, case, records):
        images, texts = records["images"], records["texts"]
        found = (images["embedding"][texts["label"]] * texts["embedding"]).sum(axis=1).mean()
        return Score([Measurement("nearness", self.factor * float(found), len(texts["label"]))], {})


@pytest.fixture
def made(monkeypatch):
    """Sweeps and readings of texts, in order."""
    found, sweep, text = [], Bench.sweep, Predictor.text

    def swept(bench, source, *arguments):
        found.append(len(source))
        return sweep(bench, source, *arguments)

    def texts(predictor, given):
        found.append(list(given))
        return text(predictor, given)

    monkeypatch.setattr(Bench, "sweep", swept)
    monkeypatch.setattr(Predictor, "text", texts)
    return found


def asking(folder, source, questions, **evaluation):
    config = tiny.config(str(folder), tiny.train_options())
    config = dataclasses.replace(
        config,
        questions={name: {} for name in questions},
        evaluation=dataclasses.replace(config.evaluation, batch_size=4, **evaluation),
    )
    dataset = get_dataset("shapes")
    plan = Plan(config=config, questions=questions, datasets=[(dataset, source)], places={"shapes": {}})
    predictor = tiny.predictor()
    subject = Subject(model=tiny.model(predictor.row), predictor=predictor, variant="vanilla", weights="w")
    return Asking(plan, subject, ResultStore(folder))


@pytest.mark.parametrize("record_gib", [1.0, 0.0])
def test_questions_that_read_the_same_share_one_sweep(tmp_path, made, record_gib):
    questions = {"one": Nearness(), "zeroshot": ZeroShot(resolutions=(8,)), "two": Nearness(factor=2.0)}
    rows = asking(tmp_path, Captioned(6), questions, record_gib=record_gib).rows()
    assert made.count(6) == 1
    assert made.count([text for own in Captioned.captions for text in own]) == 1
    assert len(made) == 3  # and the prompts of the classes
    values = {(row.question, row.resolution): row.value for row in rows if row.metric == "nearness"}
    texts = tiny.predictor().text([text for own in Captioned.captions for text in own])
    for side in SIDES:
        bench = asking(tmp_path, Captioned(6), questions).bench
        need = Need(dataset=get_dataset("shapes"), source=Captioned(6), views=Views(resolution=side), read="embedding")
        images = bench.sweep(need.source, [need])[0][0]["embedding"]
        expected = np.mean([images[n] @ text for n, text in zip([0, 0, 1, 2, 2, 2, 3, 4, 5], texts, strict=True)])
        assert values["one", side or "hr"] == pytest.approx(expected, abs=1e-6)
        assert values["two", side or "hr"] == pytest.approx(2 * expected, abs=1e-6)
    made.clear()
    assert [row.value for row in asking(tmp_path, Captioned(6), questions).rows()] == [row.value for row in rows]
    assert made == []


@dataclasses.dataclass(frozen=True, kw_only=True)
class Brightness(Question):
    """How bright are the images, as they are?"""

    version: ClassVar[int] = 1
    headline: ClassVar[str] = "brightness"
    higher_is_better: ClassVar[dict] = {"brightness": True}
    channel: int = 0
    fails: str = ""

    def plan(self, setting):
        for dataset, source in setting.datasets:
            yield Case(dataset=dataset, needs={"test": Need(dataset=dataset, source=source, read="own")})

    def job(self, need, setting, bench):
        if self.fails == "early":
            raise UserError("no job")

        def program(batch, label):
            if self.fails == "late" and 4 in batch.index:
                raise UserError("no rows")
            means = [image[:height, :width, self.channel].mean() for image, (height, width) in pairs(batch)]
            finite = np.array([self.fails != "finite" or index != 4 for index in batch.index])
            return {"mean": np.array(means, np.float32), "finite": finite}

        return Job(program)

    def score(self, case, records):
        mean = records["test"]["mean"]
        return Score([Measurement("brightness", float(mean.mean()), len(mean))], {"mean": mean})


def pairs(batch):
    return zip(batch.images, np.maximum(batch.sizes, 1), strict=True)


@pytest.fixture
def decoded(monkeypatch):
    """Positions of the images that were read, in order."""
    found, read = [], Captioned.__getitem__
    monkeypatch.setattr(Captioned, "__getitem__", lambda self, index: (found.append(index), read(self, index))[1])
    return found


@pytest.mark.parametrize("first", ["zeroshot", "red", "blue"])
def test_an_image_is_decoded_once_for_all_questions(tmp_path, made, decoded, first):
    questions = {"zeroshot": ZeroShot(resolutions=(8,)), "red": Brightness(), "blue": Brightness(channel=2)}
    questions = {first: questions[first], **questions}
    rows = asking(tmp_path / "joint", Captioned(6), questions).rows()
    assert sorted(decoded) == list(range(6))
    assert made.count(6) == 1
    expected = [Captioned(6)[index]["image"].mean(axis=(0, 1)) for index in range(6)]
    values = {(row.question, row.metric, row.resolution): row.value for row in rows}
    assert values["red", "brightness", "hr"] == pytest.approx(np.mean([one[0] for one in expected]), rel=1e-5)
    assert values["blue", "brightness", "hr"] == pytest.approx(np.mean([one[2] for one in expected]), rel=1e-5)
    alone = asking(tmp_path / "alone", Captioned(6), {"zeroshot": questions["zeroshot"]}).rows()
    assert [row.value for row in rows if row.question == "zeroshot"] == [row.value for row in alone]


@dataclasses.dataclass(frozen=True, kw_only=True)
class First(Question):
    """What is the first channel of the embeddings, at two resolutions?"""

    version: ClassVar[int] = 1
    headline: ClassVar[str] = "first"
    higher_is_better: ClassVar[dict] = {"first": True}

    def plan(self, setting):
        for dataset, source in setting.datasets:
            needs = {
                str(side): Need(dataset=dataset, source=source, views=Views(resolution=side), read="own")
                for side in SIDES
            }
            for side_name, need in needs.items():
                yield Case(dataset=dataset, needs={"test": need}, condition={"resolution": side_name})
            yield Case(dataset=dataset, needs=needs, condition={"resolution": "both"})

    def job(self, need, setting, bench):
        def program(batch, label):
            embedded = bench.predictor.image(bench.predictor.views(batch))[:, 0]
            return {"first": embedded[:, 0], "finite": jnp.isfinite(embedded).all(axis=1)}

        return Job(program, (view_spec(bench.predictor.row, need.views),))

    def score(self, case, records):
        values = [float(one["first"].mean()) for one in records.values()]
        return Score([Measurement("first", values[0] - sum(values[1:]), 6)], {})


def test_own_records_of_several_views_are_several(tmp_path):
    rows = {row.resolution: row.value for row in asking(tmp_path, Captioned(6), {"first": First()}).rows()}
    bench = asking(tmp_path, Captioned(6), {"first": First()}).bench
    need = Need(dataset=get_dataset("shapes"), source=Captioned(6), read="embedding")
    low, high = bench.sweep(need.source, [dataclasses.replace(need, views=Views(resolution=side)) for side in SIDES])[0]
    assert rows["8"] == pytest.approx(low["embedding"][:, 0].mean(), abs=1e-6)
    assert rows["None"] == pytest.approx(high["embedding"][:, 0].mean(), abs=1e-6)
    assert rows["both"] == pytest.approx(rows["8"] - rows["None"], abs=1e-6)
    assert abs(rows["both"]) > 1e-3


@pytest.mark.parametrize("fails", ["early", "late", "finite"])
@pytest.mark.parametrize("place", ["before", "behind"])
def test_a_question_that_fails_takes_no_other_with_it(tmp_path, fails, place):
    zeroshot, wrong = {"zeroshot": ZeroShot(resolutions=(8,))}, {"red": Brightness(fails=fails)}
    questions = zeroshot | wrong if place == "behind" else wrong | zeroshot
    message = {"early": "no job", "late": "no rows", "finite": "embeds 1 of a batch of 4 as NaN .* image 4 of"}[fails]
    one = asking(tmp_path, Captioned(6), questions)
    with pytest.raises(UserError, match=message):
        one.rows()
    there = {row.question for row in ResultStore(tmp_path).rows}
    assert there == ({"zeroshot"} if place == "behind" else set())


def test_an_interrupted_sweep_of_several_questions_goes_on(tmp_path, decoded, monkeypatch):
    questions = {"zeroshot": ZeroShot(resolutions=(8,)), "red": Brightness()}
    expected = [row.value for row in asking(tmp_path / "whole", Captioned(13), questions, part_size=4).rows()]
    program = Brightness.job

    def interrupted(self, need, setting, bench):
        job = program(self, need, setting, bench)

        def stops(batch, label):
            if 12 in batch.index:
                raise KeyboardInterrupt
            return job.program(batch, label)

        return dataclasses.replace(job, program=stops)

    monkeypatch.setattr(Brightness, "job", interrupted)
    with pytest.raises(KeyboardInterrupt):
        asking(tmp_path / "again", Captioned(13), questions, part_size=4).rows()
    monkeypatch.setattr(Brightness, "job", program)
    decoded.clear()
    found = [row.value for row in asking(tmp_path / "again", Captioned(13), questions, part_size=4).rows()]
    assert found == expected
    assert 12 in decoded
    assert 0 not in decoded


def test_logits_are_the_products_of_the_embeddings(tmp_path):
    need = Need(dataset=get_dataset("shapes"), source=Captioned(6), read="embedding")
    bench = asking(tmp_path, Captioned(6), {"one": Nearness()}).bench
    low = dataclasses.replace(need, views=Views(resolution=8))
    wanted = [dataclasses.replace(need, read="logits"), low, need, dataclasses.replace(low, read="logits")]
    logits, low_embedding, embedding, low_logits = bench.sweep(need.source, wanted)[0]
    assert np.allclose(np.linalg.norm(embedding["embedding"], axis=1), 1, atol=1e-5)
    assert not np.allclose(embedding["embedding"], low_embedding["embedding"], atol=1e-3)
    head = bench.head(need.dataset)
    for found, products in ((embedding, logits), (low_embedding, low_logits)):
        assert found.keys() == {"index", "label", "skipped", "embedding"}
        assert np.allclose(LOGIT_SCALE * found["embedding"] @ head.T, products["logits"], atol=1e-3)


def records(folder, **changes):
    """Keys of the records by role."""
    one = asking(folder, changes.pop("source", Captioned(6)), {"one": Nearness()})
    one.subject = dataclasses.replace(one.subject, **changes)
    return [dict(cell.records) for cell in one.cells()]


def test_a_record_has_another_key_where_what_is_read_differs(tmp_path):
    low, native = records(tmp_path)
    assert low["texts"] == native["texts"]
    assert low["images"] != native["images"]

    class Renamed(Captioned):
        captions = (*Captioned.captions[:-1], ("j",))

    class Repainted(Captioned):
        fingerprint = "six others"

    texts, images = records(tmp_path, source=Renamed(6)), records(tmp_path, source=Repainted(6))
    assert texts[0]["images"] == low["images"] and texts[0]["texts"] != low["texts"]
    assert images[0]["images"] != low["images"] and images[0]["texts"] == low["texts"]
    with_tokens = tiny.predictor().adapted({"tokens": tiny.random_tokens()})
    tokens, weights = records(tmp_path, predictor=with_tokens), records(tmp_path, weights="v")
    assert tokens[0]["images"] != low["images"] and tokens[0]["texts"] == low["texts"]
    assert weights[0]["images"] != low["images"] and weights[0]["texts"] != low["texts"]


def test_captions_go_with_their_images():
    part = Part(Captioned(6), [2, 0])
    assert part.captions == [("d e", "e", "f"), ("a b", "b c")]
    assert CorruptedSource(part, "fog", severity=3).captions == part.captions
    assert Part(tiny.Pictures(6), [1]).captions is None


@pytest.mark.parametrize("question", [ZeroShot(), Zoom(), Nearness()])
def test_a_data_set_without_what_a_question_asks_of_is_refused(question):
    classes = get_dataset("shapes")
    setting = {"model": "tiny", "variant": "vanilla", "backbone": BACKBONE}
    bare = dataclasses.replace(classes, name="bare", classes=(), templates=())
    datasets = [(classes, Captioned(6)), (bare, tiny.Pictures(6))]
    with pytest.raises(UserError) as error:
        question.check(Setting(**setting, datasets=datasets))
    assert str(error.value) == (
        f"{type(question).__name__} asks of {question.asks_of}, and data set 'bare' has none; take it out of "
        "config.data.names, or the question out of config.questions"
    )
