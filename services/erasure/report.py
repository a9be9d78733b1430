"""What was done, collection by collection, in words that mean what they say. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any


def outcomes(
    plan: Mapping[str, Any], erased: Mapping[str, Mapping[str, Any]], verified: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """One outcome per collection of the plan, and one per collection in which something unexpected is left."""
    found = []
    planned = set()
    for collection in plan["collections"]:
        source, name = collection["source"], collection["collection"]
        planned.add((source, name))
        did = erased.get(source, {}).get("collections", {}).get(name, {})
        left = verified.get(source, {}).get("remnants", {}).get(name, {})
        found.append(_outcome(collection, did, left, bool(erased.get(source, {}).get("replayed"))))
    for source, result in sorted(verified.items()):
        for name, left in sorted(result.get("remnants", {}).items()):
            if (source, name) not in planned and left["unexplained"]:
                unplanned = {"source": source, "collection": name, "records": 0, "action": "", **_NO_REASON}
                found.append(_outcome(unplanned, {}, left, False))
    return found


_NO_REASON = {"reason": "", "legal_reference": ""}


def _outcome(
    planned: Mapping[str, Any], did: Mapping[str, int], left: Mapping[str, Any], replayed: bool
) -> dict[str, Any]:
    remaining = int(left.get("unexplained", 0))
    retained = did.get("retained", 0)
    if planned["action"] == "RETAIN":
        retained = max(retained, planned["records"])
    return {
        "source": planned["source"],
        "collection": planned["collection"],
        "result": _result(planned, did, remaining, retained),
        "erased": did.get("deleted", 0),
        "anonymised": did.get("anonymised", 0),
        "retained": retained,
        "remaining": remaining,
        "reason": planned["reason"],
        "legal_reference": planned["legal_reference"],
        "replayed": replayed,
    }


def _result(planned: Mapping[str, Any], did: Mapping[str, int], remaining: int, retained: int) -> str:
    if remaining:
        return "REMAINS"
    if did.get("pseudonymised"):
        return "PSEUDONYMISED"
    if did.get("deleted"):
        return "ERASED"
    if did.get("anonymised"):
        return "ANONYMISED"
    return "RETAINED" if retained else "NOT_FOUND"


def remains(found: Sequence[Mapping[str, Any]]) -> bool:
    """Whether anything is left that should not be, or is only masked."""
    return any(outcome["result"] in ("REMAINS", "PSEUDONYMISED") for outcome in found)
