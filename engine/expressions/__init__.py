"""Expressions: templates, references and the sandboxed evaluator."""

from engine.expressions.evaluator import Evaluator, Request
from engine.expressions.parse import Expression
from engine.expressions.references import AstReferenceParser
from engine.expressions.render import Scope, render, render_many, render_plain
from engine.expressions.templates import Template, compile_expression, compile_template

__all__ = [
    "AstReferenceParser",
    "Evaluator",
    "Expression",
    "Request",
    "Scope",
    "Template",
    "compile_expression",
    "compile_template",
    "render",
    "render_many",
    "render_plain",
]
