"""The model card of what was trained."""

import dataclasses
from pathlib import Path

import jax

from lrjax.config import Config
from lrjax.display.tables import Table
from lrjax.results.store import write_atomically
from lrjax.train.outputs import BEST, RESULT
from lrjax.types import Tree
from lrjax.weights.naming import Model
from lrjax.weights.token_file import read_adaptation

_CARD = """# {parts} for {model}

{size:,} parameters beside the image tower of {tower}, distilled from the backbone itself on images of several
resolutions (LR0.FM, arXiv 2502.03950, section 5).

```python
model = lrjax.load({names}, lr_tokens="{file}")
embeddings = lrjax.encode_image(model, images)
```
{best}
## {table.title}

{comparison}

{table.caption}

## Recipe

{steps} steps, seed {config.seed}, {config.precision}, weights {weights}.

| config.train | value |
|---|---|
{options}
"""


def write_card(config: Config, model: Model, adaptation: Tree, table: Table) -> None:
    """Writes `tokens.md` beside `tokens.safetensors`: backbone, accuracies before and after, recipe.

    Args:
        config: the run.
        model: the model.
        adaptation: what was trained.
        table: accuracies before and after.
    """
    directory, row = Path(config.workdir), model.row
    facts, best = read_adaptation(directory / RESULT, row)[1], ""
    if config.train.evaluate_every and (directory / BEST).is_file():
        found = read_adaptation(directory / BEST, row)[1]
        best = f"\nThe best evaluation, {100 * found['score']:.2f} % after step {found['step']}, is `{BEST}`.\n"
    options = dataclasses.asdict(config.train)
    card = _CARD.format(
        parts=" and ".join(sorted(adaptation)),
        model=model.name,
        tower=row.name if model.name == row.name else f"{model.name}, a {row.name} from `{model.source}`",
        names=", ".join(f'"{name}"' for name in (row.name, config.source) if name),
        size=sum(leaf.size for leaf in jax.tree.leaves(adaptation)),
        file=RESULT,
        best=best,
        table=table,
        comparison=table.markdown(),
        steps=facts["step"],
        config=config,
        weights=facts["weights"],
        options="\n".join(f"| {name} | {value} |" for name, value in options.items()),
    )
    write_atomically(directory / "tokens.md", card)
