"""Prompts of zero-shot classification: every template filled with every class name."""

import hashlib
import json
from collections.abc import Callable, Sequence

from lrjax.checks.text import brief
from lrjax.errors import UserError

Template = str | Callable[[str], str]
"""A text with one "{}", or a function of a class name."""


def class_prompts(classes: Sequence[str], templates: Sequence[Template]) -> list[list[str]]:
    """Fill every template with every class name.

    Args:
        classes: K class names.
        templates: T texts with exactly one "{}" each, or functions that give the text for a class name.

    Returns:
        K lists of T prompts.

    Raises:
        UserError: there is no class or template, one text stands in place of several, a class or what a function gives
            is no text, or a template does not hold exactly one "{}".

    Reference: Radford et al. 2021, arXiv 2103.00020, section 3.1.4.
    """
    for texts in (classes, templates):
        if isinstance(texts, str):
            raise UserError(f"prompts need lists of classes and templates, but one is {texts!r}; write [{texts!r}]")
    classes, templates = list(classes), list(templates)
    if not classes or not templates:
        raise UserError(
            f"prompts need classes and templates, got {len(classes)} and {len(templates)}; give at least one of each"
        )
    for number, name in enumerate(classes):
        if not isinstance(name, str):
            raise UserError(f"class {number} is {brief(name)}; give the names of classes as texts")
    for number, template in enumerate(templates):
        if callable(template):
            continue
        if not isinstance(template, str):
            raise UserError(f"template {number} is {brief(template)}; give a text with '{{}}', or a function")
        if template.count("{}") != 1:
            raise UserError(
                f"template {template!r} holds {template.count('{}')} of '{{}}'; write exactly one where the "
                "class name goes"
            )
    return [[_filled(template, name) for template in templates] for name in classes]


def _filled(template: Template, name: str) -> str:
    text = template(name) if callable(template) else template.replace("{}", name)
    if not isinstance(text, str):
        raise UserError(f"a template gives {brief(text)} for the class {name!r}; its function must give a text")
    return text


def content_hash(classes: Sequence[str], templates: Sequence[str]) -> str:
    """Return 16 hexadecimal digits that depend on the class names and templates and their order, for cache keys and
    result rows.
    """
    content = json.dumps([list(classes), list(templates)], ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
