"""Opening and sealing the payloads of the caller's own tenant."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from temporalio.api.common.v1 import Payload

from api.auth import Identity
from api.codec_server.schemas import PayloadForm, PayloadReply, PayloadsReply
from api.resources import Resources
from engine.activities.clients.codec import ENCODING, TENANT, PayloadCipher, PayloadUnreadable
from engine.activities.clients.temporal import NEVER_SEALED
from engine.errors import AccessDenied, Issue, NodeError, ValidationFailed


def decode(resources: Resources, caller: Identity, forms: Sequence[PayloadForm]) -> PayloadsReply:
    """What is sealed is opened, the rest comes back as it is.

    Raises: AccessDenied if one belongs to another tenant; NodeError PAYLOAD_UNREADABLE; ValidationFailed.
    """
    cipher, tenant = PayloadCipher(resources.keys.ring, seals=False), str(caller.tenant)
    payloads = [_read(form, place) for place, form in enumerate(forms)]
    for payload in payloads:
        if payload.metadata.get("encoding") == ENCODING and payload.metadata.get(TENANT) != tenant.encode():
            raise AccessDenied("one of the payloads does not belong to your tenant")
    try:
        return PayloadsReply(payloads=[_shown(cipher.open(payload, tenant)) for payload in payloads])
    except PayloadUnreadable as error:
        raise NodeError(error.message, code=error.code, details=error.details) from None


def encode(resources: Resources, caller: Identity, forms: Sequence[PayloadForm]) -> PayloadsReply:
    """The payloads sealed for the caller's tenant; what is sealed already, or is nothing, comes back as it is.

    Raises: ValidationFailed; ConfigurationError if there are no keys.
    """
    cipher, tenant = PayloadCipher(resources.keys.ring), str(caller.tenant)
    sealed: list[PayloadReply] = []
    for place, form in enumerate(forms):
        payload = _read(form, place)
        encoding = payload.metadata.get("encoding")
        stays = encoding == ENCODING or encoding in NEVER_SEALED
        sealed.append(_shown(payload if stays else cipher.seal(payload, tenant)))
    return PayloadsReply(payloads=sealed)


def _read(form: PayloadForm, place: int) -> Payload:
    try:
        return Payload(
            metadata={name: base64.b64decode(value, validate=True) for name, value in form.metadata.items()},
            data=base64.b64decode(form.data or "", validate=True),
        )
    except (binascii.Error, ValueError):
        raise ValidationFailed([Issue("INVALID_VALUE", f"body.payloads[{place}]", "is not base64")]) from None


def _shown(payload: Payload) -> PayloadReply:
    return PayloadReply(
        metadata={name: base64.b64encode(value).decode() for name, value in payload.metadata.items()},
        data=base64.b64encode(payload.data).decode(),
    )
