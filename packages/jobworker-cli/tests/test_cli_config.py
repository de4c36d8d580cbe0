"""Which source counts, and what is said of values that can't be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobworker_cli import config
from jobworker_cli.errors import ConfigurationError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


def write(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "config" / "jobworker" / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_defaults(environ: dict[str, str]) -> None:
    found = config.resolve({}, environ)
    assert found.server.value == "localhost:50051"
    assert (found.ca.value, found.cert.value, found.key.value) == ("certs/ca.pem", "certs/full.pem", "certs/full.key")
    assert found.timeout_seconds == 10


def test_flags_beat_environment_beats_file(tmp_path: Path, environ: dict[str, str]) -> None:
    path = write(tmp_path, "serverAddress: file:1\nserverCA: f-ca.pem\nclientCertificate: f.pem\nclientKey: /k/f.key\n")
    by_file = config.resolve({}, environ)
    assert by_file.server == ("file:1", f"serverAddress in {path}")
    assert by_file.cert.value == str(path.parent / "f.pem")
    assert by_file.key.value == "/k/f.key"
    environ |= {"JOBWORKER_SERVER": "env:2", "JOBWORKER_CERT": "e.pem"}
    by_environment = config.resolve({}, environ)
    assert by_environment.server == ("env:2", "JOBWORKER_SERVER")
    assert (by_environment.cert.value, by_environment.ca.value) == ("e.pem", str(path.parent / "f-ca.pem"))
    by_flag = config.resolve({"server": "flag:3", "cert": None}, environ)
    assert by_flag.server == ("flag:3", "--server")
    assert by_flag.cert.value == "e.pem"


def test_a_directory_from_a_stronger_source_beats_files_from_a_weaker_one(environ: dict[str, str]) -> None:
    environ |= {"JOBWORKER_CA": "e-ca.pem", "JOBWORKER_CERT": "e.pem", "JOBWORKER_KEY": "e.key"}
    by_directory = config.resolve({"certs": "/d"}, environ)
    assert (by_directory.ca.value, by_directory.cert.value) == ("/d/ca.pem", "/d/full.pem")
    by_name = config.resolve({"name": "ann"}, environ)
    assert (by_name.ca.value, by_name.key.value) == ("e-ca.pem", "certs/ann.key")
    one_file = config.resolve({"certs": "/d", "key": "x.key"}, environ)
    assert (one_file.cert.value, one_file.key.value) == ("/d/full.pem", "x.key")


def test_a_token_file_is_only_had_where_it_is_named(tmp_path: Path, environ: dict[str, str]) -> None:
    assert config.resolve({}, environ).token_file is None
    path = write(tmp_path, "tokenFile: file.token")
    assert config.resolve({}, environ).token_file == (str(path.parent / "file.token"), f"tokenFile in {path}")
    environ |= {"JOBWORKER_TOKEN_FILE": "env.token"}
    assert config.resolve({}, environ).token_file == ("env.token", "JOBWORKER_TOKEN_FILE")
    assert config.resolve({"token_file": "a.token"}, environ).token_file == ("a.token", "--token-file")


def test_an_empty_variable_counts_as_none(environ: dict[str, str]) -> None:
    assert config.resolve({}, environ | {"JOBWORKER_SERVER": ""}).server.value == "localhost:50051"


CONTEXTS = """
serverCA: ca.pem
contexts:
  work: {serverAddress: 'work:1'}
  home: {serverAddress: 'home:2', serverCA: home-ca.pem}
"""


def test_contexts(tmp_path: Path, environ: dict[str, str]) -> None:
    path = write(tmp_path, CONTEXTS)
    work = config.resolve({"context": "work"}, environ)
    assert (work.server.value, work.ca.value) == ("work:1", str(path.parent / "ca.pem"))
    home = config.resolve({}, environ | {"JOBWORKER_CONTEXT": "home"})
    assert home.server == ("home:2", f"contexts.home.serverAddress in {path}")
    assert home.ca.value == str(path.parent / "home-ca.pem")
    assert config.resolve({}, environ).server.value == "localhost:50051"


def test_an_only_context_needs_no_choice(tmp_path: Path, environ: dict[str, str]) -> None:
    write(tmp_path, "contexts: {work: {serverAddress: 'work:1'}}")
    assert config.resolve({}, environ).server.value == "work:1"


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("serverAdress: a:1", "unknown key 'serverAdress'", "did you mean serverAddress?"),
        ("serverca: a", "unknown key 'serverca'", "did you mean serverCA?"),
        (
            "zebra: a",
            "unknown key 'zebra'",
            "known keys: serverAddress, serverCA, clientCertificate, clientKey, tokenFile, currentContext, contexts",
        ),
        ("contexts: {a: {clientCert: x}}", "unknown key 'clientCert' in contexts.a", "did you mean clientCertificate?"),
        ("serverAddress: 5", "serverAddress must be a text", ""),
        ("- a", "the file must be a mapping", ""),
        ("a: [", "line 1: this is not YAML", ""),
        ("[" * 5000, "it is nested too deep", ""),
        (
            "serverAddress: a:1\n# other\nserverAddress: b:2",
            "lines 1 and 3: the key 'serverAddress' is there twice",
            "",
        ),
        ("contexts: {a: {}, b: {}, a: {}}", "line 1: the key 'a' is there twice", ""),
        ("contexts:\n  a:\n    serverCA: x\n    serverCA: x", "lines 3 and 4: the key 'serverCA' is there twice", ""),
        ("a: 'b\x00'", "this is not YAML: at byte 5: special characters are not allowed", ""),
        (
            "contexts: {a: {}, b: {}}",
            "has several contexts",
            "choose with --context, or with `jobworker-cli config use`: a, b",
        ),
        ("serverAddress: nonsense", "'nonsense' is not HOST:PORT, such as localhost:50051", ""),
    ],
)
def test_a_bad_file(tmp_path: Path, environ: dict[str, str], content: str, message: str, hint: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ConfigurationError) as caught:
        config.resolve({}, environ)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.hint == hint


def test_a_context_that_is_not_there(tmp_path: Path, environ: dict[str, str]) -> None:
    write(tmp_path, CONTEXTS)
    with pytest.raises(ConfigurationError, match=r"no context 'wrok' \(from --context\)") as caught:
        config.resolve({"context": "wrok"}, environ)
    assert caught.value.hint == "it has: home, work"


def test_a_context_without_a_file(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="no configuration file for JOBWORKER_CONTEXT"):
        config.resolve({}, environ | {"JOBWORKER_CONTEXT": "work"})


def test_a_file_that_is_not_there(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.yaml does not exist \(from JOBWORKER_CONFIG\)"):
        config.resolve({}, environ | {"JOBWORKER_CONFIG": str(tmp_path / "gone.yaml")})


@pytest.mark.parametrize("value", ["host", "host:", ":1", "host:0", "host:65536", "host:x", "::1:5", "http://h:1"])
def test_a_bad_address(environ: dict[str, str], value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\(from --server\)"):
        config.resolve({"server": value}, environ)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_a_bad_timeout(environ: dict[str, str], value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"not a number of seconds above 0 \(from JOBWORKER_TIMEOUT\)"):
        config.resolve({}, environ | {"JOBWORKER_TIMEOUT": value})


def test_the_current_context_counts_where_none_is_chosen(tmp_path: Path, environ: dict[str, str]) -> None:
    path = write(tmp_path, "currentContext: b\ncontexts:\n  a: {serverAddress: 'a:1'}\n  b: {serverAddress: 'b:1'}\n")
    assert config.resolve({}, environ).server == ("b:1", f"contexts.b.serverAddress in {path}")
    assert config.resolve({"context": "a"}, environ).server.value == "a:1"
    write(tmp_path, "currentContext: c\n")
    with pytest.raises(ConfigurationError, match=r"has no context 'c' \(from currentContext in "):
        config.resolve({}, environ)


def test_a_misspelt_variable_is_told_with_the_right_one() -> None:
    environ = {"JOBWORKER_SERVR": "a:1", "JOBWORKER_TOKENFILE": "t", "JOBWORKER_TIMOUT": "", "JOBWORKER_NAME": "ann"}
    assert list(config.misspelt(environ)) == [
        ("JOBWORKER_SERVR", "JOBWORKER_SERVER"),
        ("JOBWORKER_TOKENFILE", "JOBWORKER_TOKEN_FILE"),
    ]


def test_variables_of_other_programs_are_not_taken_for_misspelt() -> None:
    others = "LISTEN STATE_DIR CRL POLICY MAX_RUNNING WHEN_FULL RETENTION_JOBS CGROUP JOB_ID FUZZ OPEN_FILES"
    assert list(config.misspelt({f"JOBWORKER_{name}": "x" for name in others.split()})) == []
