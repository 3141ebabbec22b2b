"""Node types for the numbers under barcodes."""

from __future__ import annotations

from pydantic import Field

from structforge.plugin import INVALID_CONFIG, NodeContext, NodeError, NodeParams, NodeResult, ResultModel, node

from .digits import LENGTHS, check_digit, digits_of, is_valid


class CheckParams(NodeParams):
    """Tell the good numbers of a list from the bad ones."""

    codes: list[str] = Field(description="Numbers as they stand under barcodes; spaces and hyphens do not count")


class CheckResult(ResultModel):
    valid: list[str] = Field(description="The good numbers, digits alone, in their order")
    invalid: list[str] = Field(description="The others, as they were given")


@node(
    "barcode.check",
    category="data",
    kind="local",
    result=CheckResult,
    examples=[{"title": "One good, one mistyped", "params": {"codes": ["4006381333931", "4006381333932"]}}],
)
async def check(params: CheckParams, context: NodeContext) -> NodeResult:
    good = [digits_of(code) for code in params.codes if is_valid(digits_of(code))]
    bad = [code for code in params.codes if not is_valid(digits_of(code))]
    context.log("info", "checked", good=len(good), bad=len(bad))
    return NodeResult({"valid": good, "invalid": bad})


class CompleteParams(NodeParams):
    """Add the check digit to a number that lacks it."""

    digits: str = Field(min_length=1, max_length=40, description="The number without its last digit")


class CompleteResult(ResultModel):
    code: str = Field(description="The whole number")


@node(
    "barcode.complete",
    category="data",
    kind="local",
    result=CompleteResult,
    examples=[{"title": "A GTIN-13", "params": {"digits": "400638133393"}}],
)
async def complete(params: CompleteParams, context: NodeContext) -> NodeResult:
    digits = digits_of(params.digits)
    if not (digits.isascii() and digits.isdigit()) or len(digits) + 1 not in LENGTHS:
        wanted = ", ".join(str(length - 1) for length in LENGTHS)
        raise NodeError(f"a number without its check digit has {wanted} digits", code=INVALID_CONFIG)
    return NodeResult({"code": f"{digits}{check_digit(digits)}"})
