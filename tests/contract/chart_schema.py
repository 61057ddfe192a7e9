"""What settings.py dictates of the chart's values.schema.json.

`python -m tests.contract.chart_schema` renews it.
"""

import json
from pathlib import Path
from typing import Any

from ansible_api.settings import Settings, _secret_fields

CHART = Path(__file__).parents[2] / "charts" / "ansible-api"
SCHEMA = CHART / "values.schema.json"
# What the chart itself says: directories by its volumes, the rest by its pools.
OF_THE_CHART = {"state_dir", "objects_dir", "shutdown_grace", "worker_port", "worker_address"}
KEPT = ("type", "enum", "minimum", "exclusiveMinimum", "maximum", "description")


def config_properties() -> dict[str, Any]:
    """Each setting that `config` may hold, as JSON Schema."""
    schema = Settings.model_json_schema()
    left_out = OF_THE_CHART | set(_secret_fields())
    return {
        name: _plain(field, schema["$defs"]) for name, field in schema["properties"].items() if name not in left_out
    }


def _plain(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    for choice in [field, *field.get("anyOf", ())]:
        if "$ref" in choice:
            field = definitions[choice["$ref"].rsplit("/", 1)[1]] | {"description": field.get("description", "")}
        elif choice.get("type") not in (None, "null"):
            field = field | choice
    return {key: field[key] for key in KEPT if key in field}


if __name__ == "__main__":
    document = json.loads(SCHEMA.read_text())
    document["definitions"]["config"]["properties"] = config_properties()
    SCHEMA.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
