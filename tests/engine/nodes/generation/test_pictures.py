from __future__ import annotations

import pytest

from engine.nodes.generation.pictures import as_data_url, as_output, picture_of


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"\x89PNG\r\n\x1a\n..", "image/png"),
        (b"\xff\xd8\xff\xe0..", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"GIF89a..", "image/gif"),
    ],
)
def test_the_first_bytes_say_what_a_picture_is(data: bytes, content_type: str) -> None:
    picture = picture_of(data)
    assert (picture.data, picture.content_type) == (data, content_type)
    assert as_output(picture)["content_type"] == content_type
    assert as_data_url(picture).startswith(f"data:{content_type};base64,")


@pytest.mark.parametrize("data", [b"", b"<svg></svg>", b"%PDF-1.7", b"RIFF\x00\x00\x00\x00WAVE"])
def test_bytes_of_no_picture_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no PNG"):
        picture_of(data)
