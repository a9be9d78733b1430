"""What a sandbox needs to be told: nothing."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """No options: a sandbox that could be pointed at something would be none."""

    model_config = ConfigDict(extra="forbid", frozen=True)
