"""The chat template of a model folder as texts of a row: what stands around prompts and answers.

A template is rendered as transformers renders it (Jinja in a sandbox), for made-up messages. What
it writes around them is the row format.
"""

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from flan_jax.errors import InputError
from flan_jax.json_files import JsonObject, read_json_object

DAY = datetime.datetime(2024, 7, 26)
"""What templates take for today, so that the rows of a run are the same tomorrow."""

QUESTION, ANSWER, NEXT_QUESTION = "Qx71question", "Ax42answer", "Nx93question"
"""Contents of messages that no template holds."""

Message = Mapping[str, str]


class ChatTexts(NamedTuple):
    """What a chat template writes around the contents of messages.

    Attributes:
      prompt_prefix: text before the first user's content.
      separator: text between the user's content and the assistant's.
      answer_prefix: the space that begins the assistant's turn, if the template writes one there.
      after_answer: text after the assistant's content, to the end.
      between: text between the assistant's content and the next user's; None if a conversation is
        written in another way than its parts.
      trims_prompts: whether the user's content loses its outer whitespace.
      trims_answers: whether the assistant's content does.
    """

    prompt_prefix: str
    separator: str
    answer_prefix: str
    after_answer: str
    between: str | None
    trims_prompts: bool
    trims_answers: bool


def find_chat_template(folder: Path) -> str | None:
    """Returns the chat template of a model folder; None if it has none.

    Args:
      folder: the folder, with chat_template.jinja or a tokenizer_config.json that has it.

    Raises:
      InputError: a file cannot be read, or holds several templates and none named "default".
    """
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = _read(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template}
        if "default" not in named:
            raise InputError(
                f"{folder}/tokenizer_config.json has the chat templates "
                f"{', '.join(map(str, named))}, but none is named 'default'; write the one to use "
                "into chat_template.jinja"
            )
        template = named["default"]
    if template is not None and not isinstance(template, str):
        raise InputError(
            f"chat_template in {folder}/tokenizer_config.json is no text; write the template "
            "into chat_template.jinja"
        )
    return template


def chat_texts(template: str, variables: Mapping[str, str]) -> ChatTexts:
    """Returns what a chat template writes around prompts and answers.

    Args:
      template: the template, in Jinja.
      variables: the special tokens by name, {"bos_token": "<s>"}.

    Raises:
      InputError: the template raises, leaves contents out or changes them, or writes an answer in
        another way than it lets it be generated.
    """

    def render(*contents: str, generate: bool) -> str:
        roles = ("user", "assistant", "user")
        messages = [
            {"role": role, "content": content}
            for role, content in zip(roles, contents, strict=False)
        ]
        return render_chat(template, messages, variables, generate=generate)

    question = render(QUESTION, generate=True)
    prompt_prefix, asked = _split(question, [QUESTION])
    exchange = render(QUESTION, ANSWER, generate=False)
    exchange_prefix, middle, after_answer = _split(exchange, [QUESTION, ANSWER])
    if exchange_prefix != prompt_prefix or not middle.startswith(asked):
        raise _refusal(
            f"writes {exchange_prefix + QUESTION + middle!r} before an answer, and {question!r} "
            "where one is to be generated"
        )
    separator = asked
    answer_prefix = middle.removeprefix(asked)
    if answer_prefix.strip():
        # Not a space that belongs to the answer, but the header of the assistant's turn.
        separator, answer_prefix = middle, ""

    between = None
    conversation = render(QUESTION, ANSWER, NEXT_QUESTION, generate=True)
    parts = _split(conversation, [QUESTION, ANSWER, NEXT_QUESTION])
    if (parts[0], parts[1], parts[3]) == (prompt_prefix, middle, asked):
        between = parts[2]
    spaced = render(f"\n {QUESTION} \n", f"\n {ANSWER} \n", generate=False)
    return ChatTexts(
        prompt_prefix=prompt_prefix,
        separator=separator,
        answer_prefix=answer_prefix,
        after_answer=after_answer,
        between=between,
        trims_prompts=f"{prompt_prefix}{QUESTION}{middle}" in spaced,
        trims_answers=f"{middle}{ANSWER}{after_answer}" in spaced,
    )


def render_chat(
    template: str,
    messages: Sequence[Message],
    variables: Mapping[str, str],
    *,
    generate: bool,
) -> str:
    """Renders a chat template.

    Args:
      template: the template, in Jinja.
      messages: {"role": ..., "content": ...} of each message.
      variables: the special tokens by name.
      generate: whether the assistant's turn is opened behind the last message.

    Raises:
      InputError: the template is no Jinja, or raises.
    """
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationBlocks, jinja2.ext.loopcontrols],
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = DAY.strftime
    try:
        return environment.from_string(template).render(
            **variables,
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=generate,
            enable_thinking=False,
        )
    except Exception as error:  # a template's code can raise anything
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise _refusal(f"cannot be rendered: {lines[0]}") from error


class _GenerationBlocks(jinja2.ext.Extension):
    """The blocks {% generation %} that mark an assistant's text; they are rendered as they are."""

    tags = {"generation"}  # noqa: RUF012 (as jinja2 wants it)

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        """Returns the content of a block."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def special_token_variables(folder: Path) -> dict[str, str]:
    """Returns the special tokens that a model folder names, {"bos_token": "<s>"}.

    Args:
      folder: the folder, with tokenizer_config.json or special_tokens_map.json.
    """
    variables = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        for key, token in _read(folder / name).items():
            if isinstance(token, dict):
                token = token.get("content")
            if key.endswith("_token") and isinstance(token, str):
                variables[key] = token
    return variables


def _split(rendered: str, contents: Iterable[str]) -> list[str]:
    """Returns the texts around the contents of messages.

    Raises:
      InputError: a content is not there once, after the one before.
    """
    texts = []
    rest = rendered
    for content in contents:
        if rest.count(content) != 1:
            raise _refusal(
                f"writes {rendered!r}, which does not hold each message's text once"
            )
        before, _, rest = rest.partition(content)
        texts.append(before)
    return [*texts, rest]


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _refusal(reason: str) -> InputError:
    return InputError(
        f"the chat template {reason}. Set ROW_FORMAT to another format: 'text', or "
        "@RowFormat() with the texts around prompts and answers"
    )


def _read(file: Path) -> JsonObject:
    return read_json_object(file) if file.is_file() else {}
