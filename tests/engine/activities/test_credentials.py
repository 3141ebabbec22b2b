import json
from pathlib import Path

import pytest

from engine.activities.clients.credentials import CredentialFile, read_credentials
from engine.errors import ACCESS_DENIED, ConfigurationError, NodeError

SHOP = "shop: {type: bearer, token: canary-4711, allowed_hosts: [shop.example]}\n"


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "credentials.yaml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_credential_is_found_by_name_with_its_fields(tmp_path: Path) -> None:
    credential = CredentialFile(written(tmp_path, SHOP)).get("shop")
    assert credential == {
        "name": "shop", "type": "bearer", "token": "canary-4711", "allowed_hosts": ["shop.example"], "trusted": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "hmac", "secret": "whsec_c2VjcmV0"},
        {"type": "connection", "url": "postgresql://reader:pw@db.example/books"},
        {"type": "smtp", "host": "mail.example", "port": 587, "username": "u", "password": "p", "security": "tls"},
        {"type": "smtp", "host": "mail.example"},
        {
            "type": "oauth2_client_credentials",
            "token_url": "https://id.example/token",
            "client_id": "us",
            "client_secret": "s3cret",
            "scopes": ["read"],
        },
    ],
)
def test_every_type_is_read_and_trusted(entry: dict[str, object]) -> None:
    found = read_credentials(json.dumps({"it": entry}), "credentials.yaml")
    assert found == {"it": {"name": "it", "trusted": True, **entry}}


@pytest.mark.parametrize("text", [SHOP, ""])
def test_unknown_name_is_denied_and_says_where_to_add_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(NodeError) as caught:
        CredentialFile(written(tmp_path, text)).get("ledger")
    assert caught.value.code == ACCESS_DENIED
    assert "ledger" in caught.value.message
    assert "canary" not in str(caught.value.as_dict())


def test_file_that_is_not_there_holds_no_credential(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="no credential"):
        CredentialFile(tmp_path / "none.yaml").get("shop")


def test_file_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="chmod 600") as caught:
        CredentialFile(written(tmp_path, SHOP, 0o644)).get("shop")
    assert "canary" not in str(caught.value.as_dict())


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    credentials = CredentialFile(written(tmp_path, SHOP))
    assert credentials.get("shop").get("token") == "canary-4711"
    written(tmp_path, SHOP.replace("canary-4711", "changed-token"))
    assert credentials.get("shop").get("token") == "changed-token"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a list", "mapping of names"),
        ("{unclosed", "mapping of names"),
        ("shop: text", "shop must be a mapping"),
        ("shop: {type: magic, token: canary}", "type of shop"),
        ("shop: {type: bearer, tokn: canary}", "unknown fields: tokn"),
        ("shop: {type: bearer, token: 4711}", "must be text"),
        ("shop: {type: bearer, username: canary}", "unknown fields: username; known: token"),
        ("shop: {type: basic, username: books}", "needs password"),
        ("shop: {type: hmac}", "needs secret"),
        ("db: {type: connection, url: ''}", "needs url"),
        ("post: {type: smtp, username: canary}", "needs host"),
        ("post: {type: smtp, host: mail.example, port: '25'}", "port of post must be a port number"),
        ("post: {type: smtp, host: mail.example, port: true}", "port of post must be a port number"),
        ("post: {type: smtp, host: mail.example, security: ssl}", "security of post must be starttls, tls or none"),
        ("shop: {type: bearer, token: canary, trusted: true}", "unknown fields: trusted"),
        ("shop: {type: bearer, token: canary, allowed_hosts: shop.example}", "allowed_hosts of shop"),
    ],
)
def test_mistakes_are_named_without_their_values(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_credentials(text, "credentials.yaml")
    assert "canary" not in caught.value.message
