"""Whatever stands for one env (a spec, a mapping, a JSON file) -> a checked `ToolEnvSpec`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from astra_gym.errors import CertificateError, SpecError
from astra_gym.types import ToolEnvSpec


def load_spec(source: ToolEnvSpec | Mapping[str, Any] | str | Path, *, require_certificate: bool = True) -> ToolEnvSpec:
    """The spec that `source` is, holds or names (a file with one spec as JSON).

    Raises: SpecError when it cannot be read or contradicts itself; CertificateError when a certificate is required and
    missing, or when one is there that was given to other content.
    """
    match source:
        case ToolEnvSpec():
            spec, where = source, source.id
        case Mapping():
            where = f"spec {source.get('id')!r}"
            spec = _validated(dict(source), where)
        case str() | Path():
            where = str(source)
            spec = _validated(_json_file(Path(source)), where)
        case _:
            raise SpecError(
                f"expected a ToolEnvSpec, a mapping or a path to a JSON file, found {type(source).__name__}"
            )
    _check_certificate(spec, where, required=require_certificate)
    return spec


def _json_file(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror or error}; expected a JSON file with one environment spec") from None
    except orjson.JSONDecodeError as error:
        raise SpecError(f"{path}: not JSON: {error}; a suite is opened by `open_suite`") from None


def _validated(content: Any, where: str) -> ToolEnvSpec:
    try:
        return ToolEnvSpec.model_validate(content)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'spec'}: {e['msg']}" for e in error.errors(include_url=False)]
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise SpecError(f"{where}: not an environment spec: {'; '.join(problems[:3])}{more}") from None


def _check_certificate(spec: ToolEnvSpec, where: str, *, required: bool) -> None:
    """An author works without one (`require_certificate=False`); one that does not fit is refused all the same."""
    if spec.certificate is None:
        if required:
            raise CertificateError(
                f"{where}: no certificate; `certify` gives one, require_certificate=False does without"
            )
    elif spec.certificate.content_hash != spec.content_hash():
        raise CertificateError(
            f"{where}: the certificate was given to other content ({spec.certificate.content_hash}, "
            f"found {spec.content_hash()}); certify it again"
        )
