"""The files for operators that the pages show are ones that a worker takes."""

from __future__ import annotations

from engine.activities.clients.command_specs import read_commands
from engine.activities.generation.catalogue import read_models
from tests.docs.pages import DOCS, blocks


def test_the_commands_of_the_page_can_be_read_and_mean_what_it_says() -> None:
    (text,) = blocks(DOCS / "scripts.md", "yml")
    commands = read_commands(text, "scripts.md")
    given = {"source": "logos/a.png", "width": "640", "height": "480"}
    assert commands["resize"].argv_of("resize", given) == [
        "/usr/bin/convert", "logos/a.png", "-resize", "640x480", "png:-",
    ]  # fmt: skip
    assert commands["report"].argv_of("report", {"kind": "daily"}) == ["/usr/bin/make-report", "--kind=daily"]


def test_the_models_of_the_page_can_be_read_and_fall_back_on_one_another() -> None:
    (text,) = blocks(DOCS / "ai.md", "yml")
    models = read_models(text, "ai.md")
    assert {name for model in models.values() for name in model.fallback} <= models.keys()
