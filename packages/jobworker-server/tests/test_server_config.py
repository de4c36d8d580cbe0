"""Where settings come from, which source wins, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobworker_lib import Bounds, Limits, Retention
from jobworker_server.audit import AuditSettings
from jobworker_server.config import Settings, resolve
from jobworker_server.credentials import CredentialFiles
from jobworker_server.errors import ConfigError
from jobworker_server.limit_policy import LimitPolicy
from jobworker_server.listening import Address
from jobworker_server.proxy_socket import ProxySocket

BOUNDS = ("max_running", "max_running_per_owner", "when_full", "max_queued")
RETENTION = ("retention_age", "retention_jobs", "retention_bytes")
FLAGS = ("listen", "certs", "ca", "cert", "key", "crl", "state_dir", "cgroup", *BOUNDS, *RETENTION)


def settings(
    flags: dict[str, str] | None = None, environ: dict[str, str] | None = None, config: Path | None = None
) -> Settings:
    return resolve(dict.fromkeys(FLAGS) | (flags or {}), environ or {}, config)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "server.yaml"


def problem_of(config: Path, text: str) -> str:
    config.write_text(text)
    with pytest.raises(ConfigError) as caught:
        settings(config=config)
    return str(caught.value)


def test_defaults() -> None:
    found = settings()
    assert found.listen == Address("localhost", 50051)
    assert (found.files.ca, found.files.cert, found.files.key) == (
        Path("certs/ca.pem"),
        Path("certs/server.pem"),
        Path("certs/server.key"),
    )
    assert found.state_dir is None


def test_isolated_jobs_find_what_holds_keys_empty() -> None:
    assert settings().hidden_paths == (Path("certs"),)
    assert settings({"certs": "/here", "key": "/there/key"}).hidden_paths == (Path("/here"), Path("/there/key"))


def test_flags_beat_the_environment_which_beats_the_file(config: Path) -> None:
    config.write_text("listen: file:3\nstateDir: /file\ncerts: /file")
    environ = {"JOBWORKER_LISTEN": "environment:2", "JOBWORKER_STATE_DIR": "/environment"}
    found = settings({"listen": "flag:1"}, environ, config)
    assert found.listen == Address("flag", 1)
    assert found.state_dir == Path("/environment")
    assert found.files.ca == Path("/file/ca.pem")


def test_a_directory_of_certificates_beats_single_files_of_lesser_sources() -> None:
    found = settings({"certs": "/flag"}, {"JOBWORKER_KEY": "/environment/key"})
    assert found.files.key == Path("/flag/server.key")


def test_a_single_file_beats_the_directory_of_the_same_source() -> None:
    found = settings({"certs": "/flag", "key": "/other/key"})
    assert (found.files.key, found.files.cert) == (Path("/other/key"), Path("/flag/server.pem"))


def test_an_empty_variable_is_not_set() -> None:
    assert settings(environ={"JOBWORKER_LISTEN": ""}).listen.port == 50051


def test_paths_in_the_file_are_relative_to_it(config: Path) -> None:
    config.write_text("certs: here\nkey: ../key\nstateDir: state")
    found = settings(config=config)
    assert found.files.ca == config.parent / "here/ca.pem"
    assert found.files.key == config.parent / "../key"
    assert found.state_dir == config.parent / "state"


def test_an_empty_file_says_nothing(config: Path) -> None:
    config.write_text("# nothing yet\n")
    assert settings(config=config) == settings()


@pytest.mark.parametrize(("key", "nearest"), [("lisen", "listen"), ("state_dir", "stateDir"), ("CA", "ca")])
def test_an_unknown_key_is_refused_with_the_nearest_right_one(config: Path, key: str, nearest: str) -> None:
    problem = problem_of(config, f"{key}: value")
    assert repr(key) in problem
    assert f"did you mean {nearest!r}?" in problem


def test_an_unknown_key_like_none_is_answered_with_all(config: Path) -> None:
    assert "there are listen, certs, ca, cert, key, crl, stateDir" in problem_of(config, "zzzzzz: value")


def test_there_are_no_bounds_unless_they_are_set() -> None:
    assert settings().bounds == Bounds()


def test_bounds_from_all_sources(config: Path) -> None:
    config.write_text("maxRunning: 4\nmaxRunningPerOwner: '2'\nwhenFull: queue\nmaxQueued: 0")
    found = settings({"when_full": "refuse"}, {"JOBWORKER_MAX_RUNNING": "8"}, config)
    assert found.bounds == Bounds(running=8, running_per_owner=2, when_full="refuse", queued=0)


@pytest.mark.parametrize(
    ("flag", "text", "problem"),
    [
        ("max_running", "0", "--max-running: expected a number of jobs, 1 or more, not '0'"),
        ("max_running_per_owner", "two", "--max-running-per-owner: expected a number of jobs, 1 or more, not 'two'"),
        ("max_queued", "-1", "--max-queued: expected a number of jobs, 0 or more, not '-1'"),
        ("when_full", "panic", "--when-full: expected queue or refuse"),
    ],
)
def test_bounds_that_can_not_be_used(flag: str, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings({flag: text})
    assert str(caught.value) == problem


def test_by_default_what_is_kept_is_the_default_of_the_library() -> None:
    assert settings().retention == Retention()


def test_retention_from_all_sources(config: Path) -> None:
    config.write_text("retention: {age: 7d, jobs: 100, bytes: 10GiB}")
    assert settings(config=config).retention == Retention(age=7 * 86400, jobs=100, bytes=10 << 30, share=None)
    found = settings({"retention_age": "none"}, {"JOBWORKER_RETENTION_JOBS": "5"}, config)
    assert found.retention == Retention(age=None, jobs=5, bytes=10 << 30, share=None)
    config.write_text("retention: {age: 90}")
    assert settings(config=config).retention == Retention(age=90)


@pytest.mark.parametrize(
    ("flag", "text", "problem"),
    [
        ("retention_age", "soon", "--retention-age: expected a time such as 30d, 12h or 90m, or none, not 'soon'"),
        ("retention_age", "-1d", "--retention-age: expected a time such as 30d, 12h or 90m, or none, not '-1d'"),
        ("retention_jobs", "1.5", "--retention-jobs: expected a number of jobs, or none, not '1.5'"),
        ("retention_bytes", "10X", "--retention-bytes: expected a size such as 10G or 500M, or none, not '10x'"),
    ],
)
def test_retention_that_can_not_be_used(flag: str, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings({flag: text})
    assert str(caught.value) == problem


@pytest.mark.parametrize("text", ["retention: 30d", "retention: {days: 30}", "retention:", "retention: [age]"])
def test_retention_of_another_form_is_refused(config: Path, text: str) -> None:
    assert "retention must hold age, jobs, bytes" in problem_of(config, text)


def test_limits_are_of_the_file(config: Path) -> None:
    config.write_text("limits: {default: {memory: 64M}, max: {memory: 1G}}")
    found = settings(config=config).limits
    assert (found.default, found.maximum) == (Limits(memory_bytes=64 << 20), Limits(memory_bytes=1 << 30))
    assert settings().limits == LimitPolicy()


def test_limits_that_can_not_be_used_are_told_with_the_file(config: Path) -> None:
    problem = problem_of(config, "limits: {max: {memory: much}}")
    assert problem.startswith(f"{config}: limits.max.memory: expected a size")


def test_the_cgroup_comes_from_all_sources(config: Path) -> None:
    config.write_text("cgroup: /file")
    assert settings().cgroup is None
    assert settings(config=config).cgroup == "/file"
    assert settings({"cgroup": "/flag"}, {"JOBWORKER_CGROUP": "/environment"}, config).cgroup == "/flag"
    assert problem_of(config, "cgroup: here") == f"{config}: cgroup: expected an absolute path, not 'here'"


@pytest.mark.parametrize(
    "text",
    [
        "maxRunning: true",
        "maxRunning: 1.5",
        "maxQueued:",
        "whenFull: 3",
        "listen: 50051",
        "listen: [a, b]",
        "certs:",
        "key: ''",
        "7: x",
        "listen: true",
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(config: Path, text: str) -> None:
    assert str(config) in problem_of(config, text)


@pytest.mark.parametrize("text", ["- listen", "listen", "{", "a: b: c", "\x00", "!!python/object:os.system {}"])
def test_what_is_no_mapping_is_refused(config: Path, text: str) -> None:
    assert str(config) in problem_of(config, text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("listen: localhost:1\ndebug: true\nlisten: localhost:2", "line 3: the key 'listen' is there twice"),
        ("retention: {age: 30d, age: 1d}", "line 1: the key 'age' is there twice"),
    ],
)
def test_a_key_twice_is_refused(config: Path, text: str, problem: str) -> None:
    assert problem_of(config, text) == f"the configuration file {config}, {problem}"


def test_a_key_that_is_merged_is_not_there_twice(config: Path) -> None:
    problem = problem_of(config, "quotas: {calls: &few {<<: {burst: 1}, burst: 2}}\nretention: {<<: *few}")
    assert "twice" not in problem


@pytest.mark.parametrize("text", ["stateDir: 2026-99-99", "listen: " + "[" * 5000], ids=["no date", "too deep"])
def test_what_yaml_can_not_make_a_value_of_is_refused(config: Path, text: str) -> None:
    assert str(config) in problem_of(config, text)


def test_bytes_that_are_no_text_are_refused(config: Path) -> None:
    config.write_bytes(b"listen: \xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not YAML"):
        settings(config=config)


def test_a_missing_file_is_refused(config: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        settings(config=config)


@pytest.mark.parametrize(
    ("flags", "environ", "origin"),
    [({"listen": "here"}, {}, "--listen: "), ({}, {"JOBWORKER_LISTEN": "here"}, "JOBWORKER_LISTEN: ")],
)
def test_a_bad_address_is_refused_with_its_source(flags: dict[str, str], environ: dict[str, str], origin: str) -> None:
    with pytest.raises(ConfigError, match=f"^{origin}'here' is not an address"):
        settings(flags, environ)


def test_a_bad_address_of_the_file_is_refused_with_its_place(config: Path) -> None:
    assert problem_of(config, "listen: here").startswith(f"{config}: listen: 'here' is not an address")


def test_an_audit_is_of_a_file_beside_the_configuration_or_of_the_system_log(config: Path) -> None:
    config.write_text("audit: {file: logs/audit.log, maxBytes: 1M, keep: 3, argv: true}")
    settings = resolve({}, {}, config)
    assert settings.audit == AuditSettings(file=config.parent / "logs/audit.log", max_bytes=1 << 20, keep=3, argv=True)
    assert config.parent / "logs/audit.log" in settings.hidden_paths
    config.write_text("audit: {syslog: true}")
    assert resolve({}, {}, config).audit == AuditSettings(syslog=Path("/dev/log"))
    config.write_text("audit: {syslog: /run/log}")
    assert resolve({}, {}, config).audit == AuditSettings(syslog=Path("/run/log"))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("true", "audit must hold file or syslog"),
        ("{}", "audit must hold either file or syslog"),
        ("{syslog: false}", "audit must hold either file or syslog"),
        ("{file: a, syslog: true}", "audit must hold either file or syslog"),
        ("{fiel: a}", "did you mean 'file'?"),
        ("{file: 3}", "audit.file: expected a path"),
        ("{file: a, maxBytes: 1K}", "audit.maxBytes: expected 64K or more"),
        ("{file: a, maxBytes: much}", "audit.maxBytes: expected a size"),
        ("{file: a, keep: 0}", "audit.keep: expected a number of files"),
        ("{file: a, argv: yes please}", "audit.argv: expected true or false"),
        ("{syslog: log}", "audit.syslog: expected true, or the absolute path"),
        ("{syslog: true, keep: 3}", "are of a file"),
    ],
)
def test_an_audit_that_can_not_be_is_refused(config: Path, value: str, problem: str) -> None:
    assert problem in problem_of(config, f"audit: {value}")


def test_a_revocation_list_is_beside_the_ca_or_where_it_is_said(tmp_path: Path) -> None:
    def files(**flags: str) -> CredentialFiles:
        return resolve(dict(flags), {}, None).files

    assert (files().crl, files().crl_is_optional) == (Path("certs/crl.pem"), True)
    assert files(certs="here").crl == Path("here/crl.pem")
    assert files(ca="ca.pem").crl is None
    named = files(certs="here", crl="there.pem")
    assert (named.crl, named.crl_is_optional) == (Path("there.pem"), False)


def test_a_proxy_is_given_by_its_socket(config: Path) -> None:
    config.write_text("proxy: {socket: run/proxy.sock, group: www-data}")
    found = resolve({}, {}, config)
    assert found.proxy == ProxySocket(config.parent / "run/proxy.sock", "www-data")
    assert config.parent / "run" in found.hidden_paths


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{}", "proxy must hold a socket"),
        ("/run/proxy.sock", "proxy must hold a socket"),
        ("{socket: 3}", "proxy.socket: expected a path, not 3"),
        ("{socket: a, group: 3}", "proxy.group: expected a name, not 3"),
        ("{socket: a, grup: b}", "did you mean 'group'?"),
    ],
)
def test_a_proxy_that_can_not_be_is_refused(config: Path, value: str, problem: str) -> None:
    assert problem in problem_of(config, f"proxy: {value}")
