"""Asks a question of a model without a run around it."""

from dataclasses import dataclass, field

from lrjax.data.dataset import Dataset
from lrjax.questions.bench import Bench, JobError, damaged_name
from lrjax.questions.case import Setting


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
            records = bench.sweep(needs)[0]
        else:
            jobs = {str(number): question.job(need, setting, bench) for number, need in enumerate(needs)}
            records = list(bench.sweep([], jobs)[1].values())
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
