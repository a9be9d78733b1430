"""The dated facts of records.yaml."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

DATA: Mapping[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("records.yaml").read_text())
