"""What belongs to an object beside its content, told to PutObject so that the new object is like the old one."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

REWRITES = "dsr-rewrites"
"""Metadata of a version that an erasure wrote: the id of the version whose place it takes."""

_HEADERS = (
    "ContentType",
    "ContentEncoding",
    "ContentLanguage",
    "ContentDisposition",
    "CacheControl",
    "Expires",
    "WebsiteRedirectLocation",
    "StorageClass",
    "ServerSideEncryption",
    "SSEKMSKeyId",
    "BucketKeyEnabled",
)
_GRANTS = {
    "FULL_CONTROL": "GrantFullControl",
    "READ": "GrantRead",
    "READ_ACP": "GrantReadACP",
    "WRITE_ACP": "GrantWriteACP",
}


def settings(head: Mapping[str, Any], tags: Mapping[str, str], acl: Mapping[str, Any]) -> dict[str, Any]:
    """From the answers of HeadObject, GetObjectTagging and GetObjectAcl."""
    kept: dict[str, Any] = {name: head[name] for name in _HEADERS if head.get(name) not in (None, "")}
    kept["Metadata"] = {name: value for name, value in head.get("Metadata", {}).items() if name.lower() != REWRITES}
    if tags:
        # Not `+` for a space: services that read the header as a URL would keep the plus.
        kept["Tagging"] = urlencode(dict(tags), quote_via=quote, safe="")
    return kept | _grants(acl)


def _grants(acl: Mapping[str, Any]) -> dict[str, str]:
    """Who else may read it. None if it is the owner's alone, which is what a new object is without saying."""
    owner = acl.get("Owner", {}).get("ID", "")
    grants = [(grant["Grantee"], grant["Permission"]) for grant in acl.get("Grants", ())]
    if all(grantee.get("ID") == owner for grantee, _ in grants):
        return {}
    told: dict[str, list[str]] = {}
    for grantee, permission in grants:
        if permission in _GRANTS:
            told.setdefault(_GRANTS[permission], []).append(_grantee(grantee))
    return {name: ", ".join(grantees) for name, grantees in told.items()}


def _grantee(grantee: Mapping[str, Any]) -> str:
    return f'id="{grantee["ID"]}"' if grantee.get("ID") else f'uri="{grantee.get("URI", "")}"'
