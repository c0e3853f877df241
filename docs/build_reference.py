"""Makes docs/recipe.md and docs/recipe.zh.md from the code: `python docs/build_reference.py`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sensorium.config import Config
from sensorium.data import COLUMNS
from sensorium.decoders import DECODERS
from sensorium.encoders import ENCODERS
from sensorium.fusion import FUSIONS
from sensorium.heads import HEADS
from sensorium.sections import DataConfig, TrainingConfig

DOCS = Path(__file__).resolve().parent
CHOSEN_BY = {"type", "kind"}
"""Fields that a section's title names, so that its table need not."""
COMPARISONS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_PLAIN = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "`true` or `false`",
    NoneType: "`null`",
    Any: "anything",
}


class Words(NamedTuple):
    """The page's own words in one language; descriptions of fields come from the code."""

    file: str
    introduction: str
    data: str
    inputs: str
    encoder: str
    decoder: str
    fusion: str
    outputs: str
    training: str
    default: str
    header: str
    no_fields: str
    required: str
    its_defaults: str


ENGLISH = Words(
    file="recipe.md",
    introduction="""\
# The recipe, field by field

[中文](recipe.zh.md) · [guide](guide.md) · [architecture](architecture.md)

*Made from the code by `python docs/build_reference.py`; do not edit. A test compares the two.*

A recipe is a YAML file with six sections. Only `inputs` and `outputs` are needed, and `data` where the
table is not given in the call. An unknown field is an error that names the nearest known one.

```yaml
name: shoes                      # of the run folder, runs/shoes; default: the file's name, or its folder's
data:
  path: table.csv                # relative to this file
inputs:                          # name: {type, fields of the column, encoder: {kind, fields of the encoder}}
  photo: {type: image, size: 96, encoder: {kind: cnn}}
  description: {type: text}
fusion: {kind: concat}
outputs:                         # name: {type, fields of the head}
  category: {type: category}
training: {epochs: 20, batch_size: 32}
```

Short forms: `data: table.csv` for `{path: table.csv}`, `key: id` for `[id]`, `photo: image` for
`{type: image}`, `encoder: cnn` for `{kind: cnn}`, `augment: true` for its defaults and `false` for `null`,
`fusion: gated` for `{kind: gated}`, `optimizer: sgd` for `{kind: sgd}`.

`runs/NAME/recipe.yaml` holds the recipe of a run with every default written out,
and `version: 1`, its grammar. The field may be left out; a recipe of a newer version is refused.
""",
    data="## data",
    inputs="## inputs",
    encoder="encoder for",
    decoder="decoder",
    fusion="## fusion",
    outputs="## outputs",
    training="## training",
    default=" (default)",
    header="| field | type | default | description |",
    no_fields="No fields of its own.",
    required="required",
    its_defaults="its defaults",
)

CHINESE = Words(
    file="recipe.zh.md",
    introduction="""\
# 配方字段一览

[English](recipe.md) · [使用指南](guide.zh.md) · [架构](architecture.md)

*本页由 `python docs/build_reference.py` 从代码生成，请勿手工修改；有测试保证它与代码一致。类型与说明直接取自
代码，因此保留英文。*

配方是一个 YAML 文件，分为六节。必须写的只有 `inputs` 和 `outputs`；如果调用时没有另外给出表格，
还要写 `data`。写错字段名会报错，并提示最接近的正确名称。

```yaml
name: shoes                      # 运行目录的名字，即 runs/shoes；默认取文件名或其所在文件夹名
data:
  path: table.csv                # 相对于本文件
inputs:                          # 名字: {type, 列的字段, encoder: {kind, 编码器的字段}}
  photo: {type: image, size: 96, encoder: {kind: cnn}}
  description: {type: text}
fusion: {kind: concat}
outputs:                         # 名字: {type, 输出头的字段}
  category: {type: category}
training: {epochs: 20, batch_size: 32}
```

简写：`data: table.csv` 等于 `{path: table.csv}`，`key: id` 等于 `[id]`，`photo: image` 等于 `{type: image}`，
`encoder: cnn` 等于 `{kind: cnn}`，`augment: true` 等于其默认值、`false` 等于 `null`，`fusion: gated` 等于
`{kind: gated}`，`optimizer: sgd` 等于 `{kind: sgd}`。

训练之后，`runs/NAME/recipe.yaml` 中保存着补全了所有默认值的完整配方，并带有 `version: 1`，
即语法版本。该字段可以不写；版本比程序新的配方会被拒绝。

表中各列依次为：字段、类型（含取值范围）、默认值、说明。
""",
    data="## data：数据",
    inputs="## inputs：输入",
    encoder="编码器，用于",
    decoder="解码器",
    fusion="## fusion：融合",
    outputs="## outputs：输出",
    training="## training：训练",
    default="（默认）",
    header="| 字段 | 类型 | 默认值 | 说明 |",
    no_fields="没有自己的字段。",
    required="必填",
    its_defaults="其默认值",
)


def main() -> None:
    """Writes both pages."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


def pages() -> dict[Path, str]:
    """Path → content, as the code is now."""
    return {DOCS / words.file: _page(words) for words in (ENGLISH, CHINESE)}


def _page(words: Words) -> str:
    blocks = [words.introduction.strip()]
    blocks += [words.data, *_with_parts(DataConfig, words)]
    blocks += [words.inputs, *_inputs(words)]
    blocks += [words.fusion, *_choices(FUSIONS, "fusion", words)]
    blocks += [words.outputs, *_choices(HEADS, "output", words), *_decoders(words)]
    blocks += [words.training, *_with_parts(TrainingConfig, words)]
    return "\n\n".join(blocks) + "\n"


def _inputs(words: Words) -> Iterator[str]:
    """Every type of column, and below it the encoders that it can have."""
    for kind, column in COLUMNS.items():
        yield f"### type: {kind}"
        yield from _about(column)
        yield from _table(column.Config, words)
        for position, (name, encoder) in enumerate(ENCODERS[kind].items()):
            yield f"#### {words.encoder} {kind}: {name}{'' if position else words.default}"
            yield from _about(encoder)
            yield from _table(encoder.Config, words)
    shared = [column.Config for column in COLUMNS.values()]
    shared += [encoder.Config for table in ENCODERS.values() for encoder in table.values()]
    for part in dict.fromkeys(part for config in shared for part in _parts(config)):
        yield from _section(part, words)


def _choices(table: Mapping[str, Any], what: str, words: Words) -> Iterator[str]:
    field = "kind" if what == "fusion" else "type"
    for position, (name, choice) in enumerate(table.items()):
        default = words.default if what == "fusion" and position == 0 else ""
        yield f"### {field}: {name}{default}"
        yield from _about(choice)
        yield from _table(choice.Config, words)


def _decoders(words: Words) -> Iterator[str]:
    """What writes a text, kind by kind, and how it is written."""
    for position, (name, decoder) in enumerate(DECODERS.items()):
        yield f"#### {words.decoder}: {name}{'' if position else words.default}"
        yield from _about(decoder)
        yield from _table(decoder.Config, words)
    configs = [*(head.Config for head in HEADS.values()), *(one.Config for one in DECODERS.values())]
    for part in dict.fromkeys(part for config in configs for part in _parts(config)):
        yield from _section(part, words)


def _with_parts(config: type[Config], words: Words) -> Iterator[str]:
    """A section of the recipe and the sections inside it."""
    yield from _table(config, words)
    for field in config.model_fields.values():
        for part in _configs(field.annotation):
            yield f"### {_title(part)}"
            yield _line(part)
            yield from _table(part, words)


def _section(config: type[Config], words: Words) -> Iterator[str]:
    yield f"### {config.__name__}"
    yield _line(config)
    yield from _table(config, words)


def _about(choice: type[Any]) -> Iterator[str]:
    """What a configuration is for, and the first paragraph of what it configures."""
    own = choice.__dict__.get("__doc__") or ""
    described = inspect.cleandoc(own).split("\n\n")[0].replace("\n", " ")
    purpose = _line(choice.Config)
    yield purpose if purpose and not purpose.startswith("What a recipe may say") else described
    if described and purpose and not purpose.startswith("What a recipe may say") and described != purpose:
        yield described


def _line(config: type[Any]) -> str:
    return inspect.cleandoc(config.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _table(config: type[Config], words: Words) -> Iterator[str]:
    rows = [
        f"| `{name}` | {_field_type(field)} | {_default(field, words)} | {_cell(_description(field))} |"
        for name, field in config.model_fields.items()
        if name not in CHOSEN_BY or not _is_fixed(field)
    ]
    yield "\n".join([words.header, "|---|---|---|---|", *rows]) if rows else words.no_fields


def _description(field: FieldInfo) -> str:
    """What the field says of itself; else, where it is a section, what the section says."""
    return field.description or " ".join(_line(part) for part in _configs(field.annotation))


def _is_fixed(field: FieldInfo) -> bool:
    """True where only one value is allowed."""
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


def _field_type(field: FieldInfo) -> str:
    kept = [part for part in get_args(field.annotation) if part is not NoneType]
    if NoneType not in get_args(field.annotation):
        return _cell(_with_limits(_type(field.annotation), field.metadata))
    return _cell(f"{_with_limits(_any_of(kept), field.metadata)} or `null`")


def _type(annotation: Any) -> str:
    """A type in the words of YAML."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [part for mark in arguments[1:] for part in getattr(mark, "metadata", [mark])]
        return _with_limits(_type(arguments[0]), inner)
    if origin is Literal:
        return " or ".join(f"`{_yaml(value)}`" for value in arguments)
    if origin in (Union, UnionType):
        return _any_of(arguments)
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is tuple:
        return f"[{', '.join(_type(part) for part in arguments)}]"
    if origin is dict:
        return f"mapping of names to {_type(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Config):
        title = _title(annotation)
        return f"mapping, see [{title}](#{title.replace('.', '').lower()})" if title else "mapping"
    return _PLAIN[annotation]


def _any_of(parts: Iterable[Any]) -> str:
    return " or ".join(dict.fromkeys(_type(part) for part in parts))


def _with_limits(text: str, metadata: Sequence[Any]) -> str:
    limits = [
        f"{sign} {getattr(mark, name):g}"
        for mark in metadata
        for name, sign in COMPARISONS.items()
        if getattr(mark, name, None) is not None
    ]
    return f"{text} {', '.join(limits)}" if limits else text


def _default(field: FieldInfo, words: Words) -> str:
    if field.is_required():
        return words.required
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Config):
        given = value.model_dump(mode="json", exclude_unset=True)
        if not given:
            return words.its_defaults
        value = {**({"kind": value.kind} if hasattr(value, "kind") else {}), **given}
    return _cell(f"`{_yaml(value)}`")


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _parts(config: type[Config]) -> Iterator[type[Config]]:
    """Configurations inside a configuration that get a section of their own below."""
    for field in config.model_fields.values():
        yield from (part for part in _configs(field.annotation) if _title(part) == part.__name__)


def _configs(annotation: Any) -> Iterator[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
    for part in get_args(annotation):
        yield from () if isinstance(part, str | FieldInfo) else _configs(part)


def _title(config: type[Config]) -> str:
    """The title of a configuration's section; empty for those that a table of the code lists by kind."""
    for place, section in (("data", DataConfig), ("training", TrainingConfig)):
        for name, field in section.model_fields.items():
            if config in _configs(field.annotation):
                return f"{place}.{name}"
    return "" if "kind" in config.model_fields else config.__name__


if __name__ == "__main__":
    main()
