"""AI: pictures for a prompt."""

from __future__ import annotations

from pydantic import Field

from engine.nodes.base import NodeContext, NodeResult, ResultModel, node
from engine.nodes.generation.asking import Attempt
from engine.nodes.generation.params import ModelParams, ModelResult, usage_output
from engine.nodes.generation.pictures import as_output
from engine.nodes.generation.port import ImageRequest


class ImageGenerationParams(ModelParams):
    """Have an AI model make pictures for a prompt.

    Each picture is `{base64, content_type}`, as file_operation writes it, chat reads it and http sends it.
    """

    prompt: str = Field(min_length=1, description="What the pictures show")
    size: str | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Such as 1024x1024 or 16:9; what the model can do differs",
    )
    quality: str | None = Field(
        default=None, min_length=1, max_length=20, description="The provider's word for it, such as high, or 2K"
    )
    count: int = Field(default=1, ge=1, le=10, description="How many")


class GeneratedImage(ResultModel):
    base64: str = Field(description="Its bytes")
    content_type: str = Field(description="Such as image/png")


class ImageGenerationResult(ModelResult):
    images: list[GeneratedImage] = Field(description="The pictures, in order")


@node(
    "image_generation",
    category="ai",
    kind="io",
    icon="image",
    default_timeout_s=180.0,
    result=ImageGenerationResult,
    examples=[
        {
            "title": "Draw a picture",
            "params": {"model": "painter", "prompt": "A map of {{ input.city }}, watercolour", "size": "1024x1024"},
        },
        {
            "title": "Choose among four",
            "params": {"model": "painter", "prompt": "A logo of a bicycle shop", "count": 4},
        },
    ],
)
async def image_generation(params: ImageGenerationParams, context: NodeContext) -> NodeResult:
    attempt = Attempt(context, params)
    request = ImageRequest(
        prompt=params.prompt,
        size=params.size,
        quality=params.quality,
        count=params.count,
        timeout_s=attempt.left_s(),
        idempotency_key=attempt.key(),
    )
    images = await attempt.models.images(attempt.call(), request)
    return NodeResult(
        {
            "images": [as_output(picture) for picture in images.pictures],
            "usage": usage_output(images.usage),
            "model": images.model,
            "provider": images.provider,
        }
    )
