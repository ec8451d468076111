"""Prompts of zero-shot classification: every template filled with every class name."""

import hashlib
import json
from collections.abc import Sequence

from lrjax.errors import UserError


def class_prompts(classes: Sequence[str], templates: Sequence[str]) -> list[list[str]]:
    """Fill every template with every class name.

    Args:
        classes: K class names.
        templates: T texts with exactly one "{}" each.

    Returns:
        K lists of T prompts.

    Raises:
        UserError: there is no class or template, one text stands in place of several, or a template does not hold
            exactly one "{}".

    Reference: Radford et al. 2021, arXiv 2103.00020, section 3.1.4.
    """
    for texts in (classes, templates):
        if isinstance(texts, str):
            raise UserError(f"prompts need lists of classes and templates, but one is {texts!r}; write [{texts!r}]")
    if not classes or not templates:
        raise UserError(
            f"prompts need classes and templates, got {len(classes)} and {len(templates)}; give at least one of each"
        )
    for template in templates:
        if template.count("{}") != 1:
            raise UserError(
                f"template {template!r} holds {template.count('{}')} of '{{}}'; write exactly one where the "
                "class name goes"
            )
    return [[template.replace("{}", name) for template in templates] for name in classes]


def content_hash(classes: Sequence[str], templates: Sequence[str]) -> str:
    """Return 16 hexadecimal digits that depend on the class names and templates and their order, for cache keys and
    result rows.
    """
    content = json.dumps([list(classes), list(templates)], ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
