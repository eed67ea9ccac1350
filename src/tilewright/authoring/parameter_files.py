"""The run's parameters told to others: Nextflow's configuration, and the tables of docs/run.md."""

from __future__ import annotations

from pydantic.fields import FieldInfo

from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.plan.params import FIRST, Params, plain

FROM_PARAMS = "written by `./tilewright generate` from params.py"
HEAD = ("| parameter | default | meaning |", "|---|---|---|")
TABLES_BEGIN, TABLES_END = f"<!-- {FROM_PARAMS} -->\n", "<!-- until here -->\n"


def params_config() -> str:
    """Every parameter with its default, for Nextflow.

    Nextflow lets an assignment here win over the command line for what configuration itself
    reads; so each looks first whether it is said already.
    """
    lines = [
        f"// Every parameter, {FROM_PARAMS}. What is said already, on the",
        "// command line or in a file of parameters, stays: a bare default would win over it where",
        "// configuration reads it. (In a block, parser v1 would make a parameter `params`.)",
    ]
    for name, field in fields().items():
        if name in FIRST:
            lines += ["", f"// {FIRST[name]}"]
        told = plain(field.description or "")
        lines.append(f"params.{name} = params.getOrDefault('{name}', {value(field)})  // {told}")
    return "\n".join([*lines, ""])


def fields() -> dict[str, FieldInfo]:
    """The parameters by the name that users give."""
    return {field.alias or name: field for name, field in Params.model_fields.items()}


def value(field: FieldInfo) -> str:
    """A default as Groovy writes it."""
    default = None if field.is_required() else field.default
    if isinstance(default, str):
        return f"'{default}'"
    return "null" if default is None else str(default).lower()


def tables(page: str) -> str:
    """The page docs/run.md with the tables of parameters as they should be.

    Raises
    ------
    TilewrightError
        When the place for them isn't marked.
    """
    before, begin, rest = page.partition(TABLES_BEGIN)
    _, end, after = rest.partition(TABLES_END)
    if not begin or not end:
        raise TilewrightError(
            "docs/run.md has no place for the parameters between "
            f"{TABLES_BEGIN.strip()} and {TABLES_END}",
            fix="Put both lines back.",
            code=BAD_DATA,
        )
    return before + begin + "\n".join(table()) + "\n\n" + end + after


def table() -> list[str]:
    """The lines of all tables, each under its group's name."""
    lines = []
    for name, field in fields().items():
        if name in FIRST:
            lines += ["", f"{FIRST[name]}:", "", *HEAD]
        default = "required" if field.is_required() else str(field.default).lower()
        lines.append(f"| `--{name}` | {default} | {cell(field.description or '')} |")
    return lines


def cell(text: str) -> str:
    """A sentence as a table's cell has it: without its capital and its full stop."""
    text = " ".join(text.split()).removesuffix(".")
    return text if text[1:2].isupper() else text[0].lower() + text[1:]
