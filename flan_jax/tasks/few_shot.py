"""Few-shot prompts: exemplars from the training split before each query (FLAN, section 4.4)."""

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flan_jax.errors import InputError, plural
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.task import TemplatedTask
from flan_jax.tasks.templates import AnyTemplate, Template, renders_pairs

Example = Mapping[str, Any]
BETWEEN = "\n\n"
"""The text between exemplars and before the query."""
CANDIDATES_PER_SHOT = 8
"""How many rows are drawn for each exemplar. Those that equal the query are passed over."""


class Exemplars:
    """Draws exemplars for queries, from a seed.

    A row has the same exemplars in each of its templates. A row is never its own exemplar, nor is
    another one with equal fields.

    Attributes:
      pool: (row number, fields) of the rows that exemplars are drawn from.
      placed: the number of exemplars in all prompts so far.
      prompts: the number of prompts so far.
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
        """Checks that exemplars can be drawn.

        Args:
          task: the task.
          pool: (row number, fields) of the rows of the training split.
          prompts: how many exemplars there are, and in which templates.
          count_tokens: the number of tokens of a text.
          tokens: the largest number of tokens of a prompt. Exemplars that do not fit beside the
            query are left out whole.
          seed: the seed of the draws.

        Raises:
          InputError: the pool has too few examples, or none of its first 100 fits into `tokens`.
        """
        self._task = task
        self.pool = list(pool)
        self._shots = prompts.shots
        self._mixed_templates = prompts.mixed_templates
        self._templates = [
            _pair_template(task, template) for template in prompts.templates_for(task)
        ]
        self._count_tokens = count_tokens
        self._tokens = tokens
        self._seed = seed
        self._rendered: dict[tuple[int, int], tuple[str, int]] = {}
        self.placed = 0
        self.prompts = 0

        if len(self.pool) <= self._shots:
            raise InputError(
                f"task {task.name!r} has {plural(len(self.pool), 'training example')}; "
                f"{plural(self._shots, 'exemplar')} and the query need {self._shots + 1}. Ask "
                "for fewer shots"
            )
        first_indices = range(min(100, len(self.pool)))
        shortest = min(self._exemplar(index, 0)[1] for index in first_indices)
        if shortest >= tokens:
            raise InputError(
                f"task {task.name!r}: not one exemplar fits into {tokens} tokens, the shortest "
                f"takes {shortest}. Raise Prompts.exemplar_tokens or the inputs' length"
            )

    def prompt(
        self, inputs: str, *, split: str, number: int, example: Example, template: int
    ) -> str:
        """Returns a query behind its exemplars.

        Args:
          inputs: the rendered query.
          split: the split of the query.
          number: the number of its row.
          example: its fields.
          template: the index of its template.
        """
        self.prompts += 1
        free_tokens = self._tokens - self._count_tokens(inputs)
        texts: list[str] = []
        drawn = self._draw(split, number, example=example, template=template)
        for pool_index, exemplar_template in drawn:
            text, size = self._exemplar(pool_index, exemplar_template)
            if size <= free_tokens:
                texts.append(text)
                free_tokens -= size
        prompt = BETWEEN.join([*texts, inputs])
        # The tokens of a text are not quite those of its parts.
        while texts and self._count_tokens(prompt) > self._tokens:
            texts.pop()
            prompt = BETWEEN.join([*texts, inputs])
        self.placed += len(texts)
        return prompt

    def _draw(
        self, split: str, number: int, *, example: Example, template: int
    ) -> list[tuple[int, int]]:
        """Returns (index in the pool, template) of a row's exemplars."""
        rng = random.Random(f"{self._seed}\0{self._task.name}\0{split}\0{number}")
        pool_size = len(self.pool)
        candidates = rng.sample(
            range(pool_size), min(pool_size, CANDIDATES_PER_SHOT * self._shots)
        )
        indices: list[int] = []
        for index in candidates:
            if len(indices) == self._shots:
                break
            row_number, fields = self.pool[index]
            is_query = split == "train" and row_number == number
            if not is_query and self._texts(fields) != self._texts(example):
                indices.append(index)

        if not self._mixed_templates or self._templates[template].turned_around:
            return [(index, template) for index in indices]
        asking = [
            i for i, other in enumerate(self._templates) if not other.turned_around
        ]
        return [(index, rng.choice(asking)) for index in indices]

    def _texts(self, fields: Example) -> Example:
        """Returns the fields without the name of the group, unless templates show it."""
        hidden = self._task.group
        if hidden is None or any(hidden in t.fields for t in self._templates):
            return fields
        return {name: value for name, value in fields.items() if name != hidden}

    def _exemplar(self, pool_index: int, template: int) -> tuple[str, int]:
        """Returns the text of an exemplar, with the targets on a new line, and its tokens."""
        key = (pool_index, template)
        if key not in self._rendered:
            _, fields = self.pool[pool_index]
            inputs, targets = self._templates[template].render(fields)
            text = f"{inputs}\n{targets}"
            self._rendered[key] = (text, self._count_tokens(text + BETWEEN))
        return self._rendered[key]


def _pair_template(task: TemplatedTask, template: AnyTemplate) -> Template:
    """Returns the template if it gives an input and a target, as an exemplar needs both."""
    if not renders_pairs(template):
        raise InputError(
            f"task {task.name!r}: few-shot exemplars are pairs of an input and a target, which "
            f"{type(template).__name__} does not give. Use Prompts.shots = 0"
        )
    return template
