"""Asks a question of a model without a run around it."""

import dataclasses
from dataclasses import dataclass, field

import tiny
from lrjax.config import Evaluation
from lrjax.data.dataset import Dataset
from lrjax.data.datasets import get_dataset, open_source
from lrjax.models.predict import Predictor
from lrjax.questions import registry
from lrjax.questions.bench import Bench, JobError
from lrjax.questions.case import Setting
from lrjax.questions.sweep_rows import damaged_name
from lrjax.results.store import ResultStore
from lrjax.runs.asking import Asking, Plan, Subject
from lrjax.sharding import PLACEMENTS, make_mesh


@dataclass
class Answer:
    """Everything that a question says of one data set.

    Attributes:
        values: (value, n) by metric and resolution; without the resolution where there is only one case.
        samples: arrays by resolution.
        skipped: names of the damaged images.
    """

    values: dict = field(default_factory=dict)
    samples: dict = field(default_factory=dict)
    skipped: tuple = ()


def dataset(classes):
    names = tuple(f"class {number}" for number in range(classes))
    return Dataset("pictures", ("test",), names, ("a {}",), None, None, classes)


def ask(question, source, head, *, predictor, batch_size=8, model="tiny", variant="vanilla", lr_tokens=None, **options):
    """Asks a question of one source.

    Args:
        question: the question.
        source: the images.
        head: float32 [K, E], the classifier.
        predictor: the model.
        lr_tokens: with which it sees.
        **options: of `Bench`.
    """
    pictures = dataset(len(head))
    predictor = predictor if lr_tokens is None else predictor.adapted({"tokens": lr_tokens})
    setting = Setting(model=model, variant=variant, backbone=predictor.row, datasets=[(pictures, source)])
    question.check(setting)
    bench = Bench(predictor=predictor, head=lambda _: head, batch_size=batch_size, **options)
    failure = None
    cases = list(question.plan(setting))
    needs = [case.needs["test"] for case in cases]
    try:
        if needs[0].read == "logits":
            records = bench.sweep(source, needs)[0]
        else:
            jobs = {str(number): question.job(need, setting, bench) for number, need in enumerate(needs)}
            records = list(bench.sweep(source, [], jobs)[1].values())
    except JobError as error:
        failure = error.cause
    if failure is not None:
        raise failure
    answer = Answer(skipped=tuple(damaged_name(source, int(index)) for index in records[0]["skipped"]))
    for case, record in zip(cases, records, strict=True):
        score, side = question.score(case, {"test": record}), case.condition.get("resolution", "hr")
        answer.values |= {(one.metric, side): (one.value, one.n) for one in score.measurements}
        answer.samples[side] = dict(score.samples)
    return answer


def images_for(name, count=12):
    """A data set that has what a question of the registry asks of, and its images."""
    dataset = get_dataset({"classes": "shapes", "captions": "captioned"}[registry.find(name).asks_of])
    # The tiny text tower reads twelve letters: behind "a photo of a " all classes would be one.
    dataset = dataclasses.replace(dataset, templates=dataset.templates and ("{}",))
    return dataset, open_source(dataset, count=count, seed=0)


def predictor_of_128_px(devices=None):
    """The tiny backbone with an input as large as the sides that questions have by default."""
    image = dataclasses.replace(tiny.row().spec.image, size=128, patch=32)
    row = dataclasses.replace(tiny.row(), spec=dataclasses.replace(tiny.row().spec, image=image))
    mesh = make_mesh(devices)
    params = tiny.place_tree(tiny.random_params(row.spec), mesh, PLACEMENTS["replicate"])
    return Predictor(row, params, tiny.tokenizer(), mesh)


def asking(name, folder, predictor, **evaluation):
    """A question of the registry as it is by default, to be asked of the images that it needs."""
    config = tiny.config("run", tiny.train_options(), questions={name: {}}, evaluation=Evaluation(**evaluation))
    dataset, source = images_for(name)
    plan = Plan(
        config=config,
        questions={name: registry.find(name)()},
        datasets=[(dataset, source)],
        places={dataset.name: {}},
    )
    model = tiny.model(predictor.row)
    plan.questions[name].check(plan.setting(model, "vanilla"))
    subject = Subject(model=model, predictor=predictor, variant="vanilla", weights=model.weights)
    return Asking(plan, subject, ResultStore(folder))
