"""How the configuration file says how callers are identified, and which policy holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobworker_server.config import Settings, resolve
from jobworker_server.errors import ConfigError
from jobworker_server.identity import IdentitySettings, TokenSettings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "server.yaml"


def settings(config: Path, text: str) -> Settings:
    config.write_text(text)
    return resolve({"policy": None}, {}, config)


def test_without_a_word_it_is_the_certificate(config: Path) -> None:
    assert settings(config, "").identity == IdentitySettings(("extension",), "name", None)
    assert settings(config, "identity: {}").identity == IdentitySettings()


def test_all_of_it_is_read_and_paths_are_relative_to_the_file(config: Path, tmp_path: Path) -> None:
    found = settings(
        config,
        "policy: who/policy.yaml\n"
        "identity: {roleSources: [token, organization], owner: publicKey, tokens: {key: token.pub, audience: here}}",
    )
    assert found.policy == tmp_path / "who/policy.yaml"
    tokens = TokenSettings(tmp_path / "token.pub", "here")
    assert found.identity == IdentitySettings(("token", "organization"), "publicKey", tokens)


def test_a_policy_may_be_named_by_a_flag_and_by_the_environment(config: Path) -> None:
    config.write_text("policy: file.yaml")
    assert resolve({"policy": "flag.yaml"}, {"JOBWORKER_POLICY": "x"}, config).policy == Path("flag.yaml")
    assert resolve({"policy": None}, {"JOBWORKER_POLICY": "x.yaml"}, config).policy == Path("x.yaml")
    assert resolve({"policy": None}, {}, None).policy is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("identity: []", "identity must hold some of roleSources, owner, tokens"),
        ("identity: {rolesources: []}", "identity: there is no setting 'rolesources'; did you mean 'roleSources'?"),
        (
            "identity: {roleSources: []}",
            "identity.roleSources must be a list of some of extension, organization, token",
        ),
        ("identity: {roleSources: token}", "identity.roleSources must be a list of some of"),
        ("identity: {roleSources: [tokens]}", "identity.roleSources: there is no 'tokens'; did you mean 'token'?"),
        ("identity: {roleSources: [extension, extension]}", "identity.roleSources must name each source once"),
        ("identity: {roleSources: [token]}", "identity: token in roleSources and tokens belong together"),
        ("identity: {tokens: {key: a}}", "identity: token in roleSources and tokens belong together"),
        ("identity: {owner: key}", "identity.owner: there is no 'key'"),
        ("identity: {roleSources: [token], tokens: {}}", "identity.tokens must tell the key"),
        ("identity: {roleSources: [token], tokens: {key: 1}}", "identity.tokens.key must be text; put it in quotes"),
        ("identity: {roleSources: [token], tokens: {ky: 1}}", "identity.tokens: there is no setting 'ky'"),
        ("policy: 1", "policy must be text; put it in quotes"),
    ],
)
def test_a_mistake_is_told_with_file_and_key(config: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(config, text)
    assert str(caught.value).startswith(f"{config}: {problem}")
