"""Few-shot prompts: exemplars from the training split before each query (FLAN, section 4.4)."""

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flan_jax.errors import InputError
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.task import TemplatedTask
from flan_jax.tasks.templates import AnyTemplate, Template, renders_pairs

Example = Mapping[str, Any]
BETWEEN = "\n\n"
"""Between exemplars, and before the query. An exemplar's targets follow its inputs on a new line."""


class Exemplars:
    """Draws exemplars for queries, from the seed: the same for a row of a split in each of its templates.

    `pool` are (row number, fields) of the training split. The row itself is never its own exemplar, nor is one with equal
    fields. A prompt takes at most `tokens`, measured by `count_tokens`: exemplars that do not fit beside the query are
    left out whole. `placed` and `prompts` count what was given out. Raises InputError when the pool has no `shots` + 1
    examples, or when none of the first hundred fits into `tokens`.
    """

    def __init__(
        self,
        task: TemplatedTask,
        pool: Iterable[tuple[int, Example]],
        prompts: Prompts,
        *,
        count_tokens: Callable[[str], int],
        tokens: int,
        seed: int,
    ):
        self._task, self._pool, self._shots, self._seed = task, list(pool), prompts.shots, seed
        self._mixed = prompts.mixed_templates
        self._templates = [
            _pair_template(task, template) for template in prompts.templates_for(task)
        ]
        self._count, self._tokens = count_tokens, tokens
        self._rendered: dict[tuple[int, int], tuple[str, int]] = {}
        self.placed = self.prompts = 0
        if len(self._pool) <= self._shots:
            raise InputError(
                f"task {task.name!r} has {len(self._pool)} training examples; {self._shots} exemplars beside the query need "
                f"{self._shots + 1}. Ask for fewer shots"
            )
        shortest = min(self._exemplar(place, 0)[1] for place in range(min(100, len(self._pool))))
        if shortest >= tokens:
            raise InputError(
                f"task {task.name!r}: not one exemplar fits into {tokens} tokens, the shortest takes {shortest}. "
                "Raise Prompts.exemplar_tokens or the inputs' length"
            )

    def prompt(self, split: str, number: int, example: Example, template: int, inputs: str) -> str:
        """The query `inputs` (row `number` of `split` in a template) behind its exemplars."""
        self.prompts += 1
        room = self._tokens - self._count(inputs)
        chosen: list[str] = []
        for place, shown_in in self._drawn(split, number, example, template):
            text, size = self._exemplar(place, shown_in)
            if size <= room:
                chosen.append(text)
                room -= size
        # Tokens of the parts are not quite those of the whole.
        while chosen and self._count(prompt := BETWEEN.join([*chosen, inputs])) > self._tokens:
            chosen.pop()
        self.placed += len(chosen)
        return prompt if chosen else inputs

    def _drawn(
        self, split: str, number: int, example: Example, template: int
    ) -> list[tuple[int, int]]:
        """(place in the pool, template) of a row's exemplars."""
        rng = random.Random(f"{self._seed}\0{self._task.name}\0{split}\0{number}")
        size = len(self._pool)
        places: list[int] = []
        for place in rng.sample(range(size), min(size, 8 * self._shots)):
            other, fields = self._pool[place]
            if (
                len(places) < self._shots
                and not (split == "train" and other == number)
                and fields != example
            ):
                places.append(place)
        if not self._mixed or self._templates[template].turned_around:
            return [(place, template) for place in places]
        asking = [i for i, shown in enumerate(self._templates) if not shown.turned_around]
        return [(place, rng.choice(asking)) for place in places]

    def _exemplar(self, place: int, template: int) -> tuple[str, int]:
        """(text, tokens) of an exemplar in a template."""
        key = place, template
        if key not in self._rendered:
            inputs, targets = self._templates[template].render(self._pool[place][1])
            text = f"{inputs}\n{targets}"
            self._rendered[key] = text, self._count(text + BETWEEN)
        return self._rendered[key]


def _pair_template(task: TemplatedTask, template: AnyTemplate) -> Template:
    """Returns the template if it gives an input and a target, of which an exemplar is made."""
    if not renders_pairs(template):
        raise InputError(
            f"task {task.name!r}: few-shot exemplars are pairs of an input and a target, which "
            f"{type(template).__name__} does not give. Use Prompts.shots = 0"
        )
    return template
