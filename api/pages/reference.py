"""The API reference, rendered from the OpenAPI document, and who may do what: both work with no internet."""

import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api.dependencies import Core
from api.pages.render import language_of
from api.policies import PUBLIC, May, Open, each_route, policy_of
from campaigns.identity import KEY_ROLES, MEANING, MEMBER_ROLES, RIGHTS, Right, rights_of_key

router = APIRouter(include_in_schema=False, dependencies=[PUBLIC])
_METHODS = ("get", "post", "put", "patch", "delete")


@router.get("/docs", response_class=HTMLResponse)
def reference(request: Request, core: Core) -> HTMLResponse:
    """Every path of the API with its fields."""
    document = request.app.openapi()
    language = language_of(request.query_params.get("lang"), request.headers.get("accept-language", ""))
    page = core.renderer.page(
        "docs.html",
        language,
        title=document["info"]["title"],
        version=document["info"]["version"],
        groups=groups_of(document),
        other_lang_url="",
    )
    return HTMLResponse(page)


@router.get("/docs/rights", response_class=HTMLResponse)
def rights(request: Request, core: Core) -> HTMLResponse:
    """Who may do what: the table of roles and rights, and every route with its policy."""
    language = language_of(request.query_params.get("lang"), request.headers.get("accept-language", ""))
    page = core.renderer.page(
        "rights.html",
        language,
        member_roles=MEMBER_ROLES,
        key_roles=KEY_ROLES,
        rows=[_right(one) for one in Right],
        routes=[
            {"method": method, "path": route.path, **_whom(policy_of(route))}
            for route in each_route(request.app.routes)
            for method in sorted(route.methods or ())
        ],
        other_lang_url="",
    )
    return HTMLResponse(page)


def _right(right: Right) -> dict[str, Any]:
    return {
        "name": right.value,
        "meaning": MEANING[right],
        "of_members": [right in RIGHTS[role] for role in MEMBER_ROLES],
        "of_keys": [right in rights_of_key(role, None) for role in KEY_ROLES],
    }


def _whom(policy: Open | May) -> dict[str, Any]:
    placed = policy.placed if isinstance(policy, May) else False
    return {"whom": policy.whom, "is_right": isinstance(policy, May), "placed": placed}


def groups_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The operations of an OpenAPI 3.1 document by tag, in the document's order."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in _METHODS:
                tag = operation.get("tags", ["other"])[0]
                groups.setdefault(tag, []).append(_operation(document, method, path, operation))
    return [{"name": name, "operations": operations} for name, operations in groups.items()]


def _operation(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema")
    summary, _, description = operation.get("description", operation.get("summary", "")).partition("\n\n")
    return {
        "method": method.upper(),
        "path": path,
        "summary": summary,
        "description": description,
        "parameters": [_parameter(document, one) for one in operation.get("parameters", [])],
        "body": json.dumps(_example(document, schema), indent=2, ensure_ascii=False) if schema else "",
        "responses": [
            {"status": status, "description": answer.get("description", "")}
            for status, answer in operation.get("responses", {}).items()
        ],
    }


def _parameter(document: dict[str, Any], parameter: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": parameter["name"],
        "where": parameter["in"],
        "required": parameter.get("required", False),
        "type": _type(document, parameter.get("schema", {})),
        "description": parameter.get("description", ""),
    }


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]  # type: ignore[no-any-return]  # JSON
    return schema


def _type(document: dict[str, Any], schema: dict[str, Any]) -> str:
    schema = _resolved(document, schema)
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type(document, one) for one in schema["anyOf"] if one.get("type") != "null")
    return str(schema.get("type", "any"))


def _example(document: dict[str, Any], schema: dict[str, Any], depth: int = 0) -> Any:
    schema = _resolved(document, schema)
    if depth > 6:
        return "..."
    if "anyOf" in schema:
        return _example(document, schema["anyOf"][0], depth + 1)
    if schema.get("type") == "array":
        return [_example(document, schema.get("items", {}), depth + 1)]
    if "properties" in schema:
        return {name: _example(document, one, depth + 1) for name, one in schema["properties"].items()}
    return _type(document, schema)
