"""Writes what follows from the source: pages of node types and error codes, the table of settings in README.md,
the OpenAPI document, and the typed client's models and routes.

python docs/generate.py            writes what differs
python docs/generate.py --check    only says what differs; exit code 1 if anything does
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from api.app import create_app
from engine import errors
from engine.dag.validate.codes import CODES
from engine.nodes.node_type import NodeType
from engine.nodes.ports import Ports
from engine.nodes.registry import built_in_catalogue
from engine.settings import Settings
from structforge.scaffolding.client_source import client_files

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
EXAMPLES = ROOT / "examples" / "nodes"
README = ROOT / "README.md"
CLIENT = ROOT / "structforge" / "client"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
MADE = "<!-- Made by docs/generate.py: change the source, not this page. -->\n\n"
WARNINGS = frozenset(
    {
        "ASSIGN_RACE",
        "CACHE_OF_EFFECTS",
        "CACHE_UNUSED",
        "ERROR_EDGE_NEVER_LIVE",
        "THEN_WITHOUT_RETRY",
        "UNREACHABLE_CASE",
    }
)
EITHER = frozenset({"EMPTY_BODY", "INVALID_PARAM", "LOOP_TOO_LONG"})


def pages() -> dict[Path, str]:
    """Every generated file with the text it must have."""
    lists = {DOCS / "decisions" / "README.md": decisions(), README: readme(README.read_text("utf-8"))}
    return {**node_pages(), **error_pages(), **lists, **client()}


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check tell which differ. Pages that nothing generates any more are named too."""
    wanted = pages()
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    made = [path for folder in ("nodes", "errors") for path in (DOCS / folder).glob("*.md")]
    made += [path for folder in ("models", "routes") for path in (CLIENT / folder).glob("*.py")]
    stale = [path for path in made if path not in wanted]
    check = "--check" in arguments
    for path in [*changed, *stale]:
        print(f"{'differs' if check else 'written' if path in wanted else 'removed'}: {path.relative_to(ROOT)}")
    if not check:
        for path in changed:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], "utf-8")
        for path in stale:
            path.unlink()
    return int(check and bool(changed or stale))


# ---- node types


def node_pages() -> dict[Path, str]:
    """One page a node type, and their list."""
    types = built_in_catalogue().types()
    folder = DOCS / "nodes"
    found = {folder / f"{item.type}.md": _node_page(item) for item in types}
    rows = [f"| [{item.type}]({item.type}.md) | {item.category} | {item.kind} | {_first(item)} |" for item in types]
    head = ["# Node types", "", _KINDS, "", "| type | category | kind | what it does |", "| --- | --- | --- | --- |"]
    found[folder / "README.md"] = MADE + "\n".join([*head, *rows, "", _COMMON])
    return found


def _node_page(node_type: NodeType) -> str:
    """What the type says of itself, how it fails, and the document that tests run."""
    parts = [node_type.documentation.rstrip(), "", *_errors(node_type)]
    path = EXAMPLES / f"{node_type.type}.yaml"
    if path.exists():  # an installed plugin brings none
        link = f"[examples/nodes/{path.name}](../../examples/nodes/{path.name})"
        document = path.read_text("utf-8").rstrip()
        parts += ["## A whole workflow", "", f"{link}, which the tests run:", "", "```yaml", document, "```", ""]
    return MADE + "\n".join(parts)


def _errors(node_type: NodeType) -> list[str]:
    if node_type.kind == "trigger":
        return []
    names = [f"[{code}](../errors/{code}.md)" for code in error_codes(node_type)]
    return ["## Errors", "", f"It may fail with {', '.join(names)}.", ""]


def error_codes(node_type: NodeType) -> list[str]:
    """Codes of which the type's module, its ports and the packages that it imports speak, and those of every node."""
    module = inspect.getmodule(node_type.executor or node_type.opener)
    assert module is not None
    text = inspect.getsource(module)
    ports = get_type_hints(Ports)
    for name in sorted(set(_PORT.findall(text))):
        text += "".join(inspect.getsource(kind) for kind in get_args(ports[name]) if kind is not type(None))
    for name in sorted(set(_IMPORT.findall(text))):
        place = ROOT / "engine" / "nodes" / name
        own = [] if name in _SHARED else [place.with_suffix(".py")]
        text += "".join(path.read_text("utf-8") for path in (sorted(place.glob("*.py")) if place.is_dir() else own))
    return sorted({*_OF_EVERY_NODE, *(code for code in _CODES if re.search(rf"\b{code}\b", text))})


_IMPORT = re.compile(r"^from engine\.nodes\.(\w+)", re.MULTILINE)
_PORT = re.compile(r"context\.ports\.(\w+)")
_SHARED = frozenset({"base", "context", "markers", "node_type", "param_issues", "ports", "registry"})
_OF_EVERY_NODE = (errors.EXPRESSION_ERROR, errors.INVALID_CONFIG, errors.TIMEOUT)
_CODES = [value for name, value in vars(errors).items() if name.isupper() and isinstance(value, str)]

_KINDS = """*Local* nodes run together inside one activity of the engine. *I/O* nodes are one Temporal activity each.
*Durable* nodes wait in Temporal. *Containers* run a nested graph. `structforge node show TYPE` prints these pages."""

_COMMON = """## Keys that every node has

| key | meaning |
| --- | --- |
| `id` | how edges and expressions name the node: a Python identifier, unique over the document |
| `type`, `name`, `params` | which node type, what people see, its parameters |
| `when` | an expression; false skips the node |
| `inputs` | a mapping evaluated first, visible to this node as `inputs.*` |
| `assign` | execution variables that are set after success |
| `timeout` | the longest one attempt may take |
| `retry` | `strategy`, `interval`, `backoff`, `max_interval`, `max_attempts` (counts the first try) |
| `on_error`, `then` | `fail`, `retry`, `continue` or `skip`; what follows the last attempt |
| `join` | `all` (default) or `any`: when a node with several incoming edges starts |
| `isolate` | run this node in an activity of its own |
| `credential` | name of the operator's credential that the node uses; the document never holds a secret |
| `cache` | `ttl`: for so long (1s to 30d) the same call takes the result that is there; failures are never kept |
"""


def _first(node_type: NodeType) -> str:
    return " ".join(node_type.description.split()).partition(". ")[0].rstrip(".").replace("|", "\\|")


# ---- codes


def codes() -> dict[str, dict[str, Any]]:
    """docs/codes.yaml: `issues` and `errors`, each code -> what its page says."""
    return yaml.safe_load((DOCS / "codes.yaml").read_text("utf-8"))


def error_pages() -> dict[Path, str]:
    """One page a code, and their list."""
    explained = codes()
    folder = DOCS / "errors"
    found = {folder / f"{code}.md": _issue_page(code, text) for code, text in explained["issues"].items()}
    found |= {folder / f"{code}.md": _error_page(code, text) for code, text in explained["errors"].items()}
    found[folder / "README.md"] = _index(explained)
    return found


def _issue_page(code: str, text: dict[str, Any]) -> str:
    parts = [f"# {code}", "", f"{CODES[code]} *({_severity(code)})*", "", f"**To mend it:** {text['mend'].strip()}", ""]
    if "example" in text:
        language = "json" if text["example"].lstrip().startswith("{") else "yaml"
        parts += ["This document has it:", "", f"```{language}", text["example"].rstrip(), "```", ""]
    if "input" in text:
        parts += [f"when it is given the input `{json.dumps(text['input'])}`.", ""]
    return MADE + "\n".join(parts)


def _severity(code: str) -> str:
    if code in EITHER:
        return "error, or a warning where the document can run all the same"
    return "warning: the document runs" if code in WARNINGS else "error: the document does not run"


def _error_page(code: str, text: dict[str, Any]) -> str:
    parts = [f"# {code}", "", text["meaning"], "", f"**When it happens:** {text['happens']}", ""]
    parts += [f"**To mend it:** {text['mend']}", "", f"**Worth another attempt:** {text['retryable']}.", ""]
    return MADE + "\n".join(parts)


def _index(explained: dict[str, dict[str, Any]]) -> str:
    lines = ["# Codes", "", "Every code is stable: programs may rely on it. Messages may change.", ""]
    lines += ["## Failures of nodes, of the API and of the command line", "", "| code | meaning |", "| --- | --- |"]
    lines += [f"| [{code}]({code}.md) | {text['meaning']} |" for code, text in explained["errors"].items()]
    lines += ["", "## Issues of documents and inputs", "", "| code | meaning |", "| --- | --- |"]
    lines += [f"| [{code}]({code}.md) | {CODES[code]} |" for code in explained["issues"]]
    return MADE + "\n".join([*lines, ""])


# ---- decisions


def decisions() -> str:
    """The list of decisions by their titles."""
    paths = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    titles = [(path.name, path.read_text("utf-8").partition("\n")[0].removeprefix("# ")) for path in paths]
    head = "Each says what the question was, what was decided, what follows, and which check holds it."
    return MADE + "\n".join(["# Decisions", "", head, "", *(f"- [{title}]({name})" for name, title in titles), ""])


# ---- the API


def openapi() -> dict[str, Any]:
    """The OpenAPI document that the API serves."""
    return create_app(Settings()).openapi()


def client() -> dict[Path, str]:
    """docs/openapi.json and what `structforge.client` is made of."""
    document = openapi()
    found = {CLIENT / name: text for name, text in client_files(document).items()}
    return {DOCS / "openapi.json": json.dumps(document, indent=1, ensure_ascii=False) + "\n", **found}


# ---- settings


def variables() -> dict[str, Any]:
    """Every variable with its default; None where there is none."""
    found: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        sections: Any = field.default
        if hasattr(type(sections), "model_fields"):
            for inner, part in type(sections).model_fields.items():
                found[f"STRUCTFORGE_{name}__{inner}".upper()] = part.default
        else:
            found[f"STRUCTFORGE_{name}".upper()] = sections
    return found


def meanings() -> dict[str, str]:
    """docs/settings.yaml: variable -> what it means."""
    return yaml.safe_load((DOCS / "settings.yaml").read_text("utf-8"))


def readme(text: str) -> str:
    """README.md with the table of settings as it must be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    explained = meanings()
    rows = [f"| `{name}` | {_default(value)} | {explained[name]} |" for name, value in variables().items()]
    table = "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _default(value: Any) -> str:
    return "" if value is None or value == "" else f"`{value if isinstance(value, Path | str) else json.dumps(value)}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
