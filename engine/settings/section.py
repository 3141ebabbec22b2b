"""What every group of settings has in common."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, field_validator


class SectionRules(BaseModel):
    """How a group of settings is read; an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    empty_means_absent: ClassVar[bool] = True

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_absent(cls, value: object) -> object:
        # `STRUCTFORGE_REDIS__URL=` in a compose file means "not set", never "the empty address".
        return None if value == "" and cls.empty_means_absent else value
