"""Settings: where a value comes from, what is refused and how it is said, what is never shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.config import REDACTED, Origin, Settings, unknown_variables, variable
from app.errors import ConfigError

pytestmark = pytest.mark.usefixtures("no_settings_around")


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "settings.toml"
        file.write_text(text)
        return file

    return write


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(
    monkeypatch: pytest.MonkeyPatch, toml: Callable[[str], Path]
) -> None:
    file = toml("partitions = 2\nslot = 2\nhttp_port = 2\n")
    monkeypatch.setenv("WARDSTOCK_SLOT", "3")
    monkeypatch.setenv("WARDSTOCK_HTTP_PORT", "3")

    settings = Settings.load(file, http_port=4, http_host=None)

    assert (settings.partitions, settings.slot, settings.http_port, settings.http_host) == (2, 3, 4, "127.0.0.1")
    origins = settings.origins()
    assert origins["partitions"] is Origin.FILE
    assert origins["slot"] is Origin.ENVIRONMENT
    assert origins["http_port"] is Origin.FLAG
    assert origins["http_host"] is Origin.DEFAULT


def test_the_file_is_taken_from_the_working_directory_or_from_a_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "wardstock.toml").write_text("slot = 1\n")
    assert Settings.load().slot == 1
    (tmp_path / "other.toml").write_text("slot = 2\n")
    monkeypatch.setenv("WARDSTOCK_CONFIG", "other.toml")
    assert Settings.load().slot == 2


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTOCK_SLOT", "")
    assert Settings.load().origins()["slot"] is Origin.DEFAULT


def test_the_constructor_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTOCK_SLOT", "7")
    assert Settings().slot == 0


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(Settings(), "slot", 1)  # noqa: B010 the type checker refuses the plain assignment, too


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("partitions", "many", "integer"),
        ("partitions", "0", "greater than or equal to 1"),
        ("session_timeout_ms", "100", "6000"),
        ("group_protocol", "streams", "'classic' or 'consumer'"),
        ("bootstrap_servers", "localhost", "host:port"),
        ("registry_url", "localhost:8081", "http://"),
        ("app_id", "ward stock", "pattern"),
        ("log_format", "xml", "'json' or 'console'"),
    ],
)
def test_an_unusable_variable_is_named_with_its_value_and_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable(name), value)
    with pytest.raises(ConfigError) as refused:
        Settings.load()
    (problem,) = refused.value.problems
    assert problem.setting == variable(name)
    assert value in problem.value
    assert expected in problem.expected


def test_every_problem_is_told_at_once_each_by_its_own_source(
    monkeypatch: pytest.MonkeyPatch, toml: Callable[[str], Path]
) -> None:
    file = toml('slot = -1\npartitons = 4\n[kafka]\n"group.id" = "mine"\n')
    monkeypatch.setenv("WARDSTOCK_HTTP_PORT", "99999")
    with pytest.raises(ConfigError) as refused:
        Settings.load(file, batch_wait_ms=-5)
    told = {problem.setting for problem in refused.value.problems}
    assert told == {
        f"slot in {file}",
        f"partitons in {file}",
        f"kafka in {file}",
        "WARDSTOCK_HTTP_PORT",
        "--batch-wait-ms",
    }


def test_an_agent_may_not_take_as_long_as_its_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTOCK_AGENT_DEADLINE_MS", "10000")
    with pytest.raises(ConfigError, match=r"agent_deadline_ms .10000. below transaction_timeout_ms"):
        Settings.load()


@pytest.mark.parametrize("text", ["{", "[1]", '"x"'])
def test_kafka_properties_in_the_environment_are_a_json_object(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WARDSTOCK_KAFKA", text)
    with pytest.raises(ConfigError, match=r"WARDSTOCK_KAFKA.*JSON object"):
        Settings.load()


def test_kafka_properties_pass_through_from_nested_tables_and_json(
    monkeypatch: pytest.MonkeyPatch, toml: Callable[[str], Path]
) -> None:
    file = toml('bootstrap_servers = "b:9093"\n[kafka]\nsecurity.protocol = "SSL"\nssl.endpoint.check = true\n')
    assert Settings.load(file).client_config() == {
        "bootstrap.servers": "b:9093",
        "client.id": "wardstock",
        "security.protocol": "SSL",
        "ssl.endpoint.check": "true",
    }
    monkeypatch.setenv("WARDSTOCK_KAFKA", '{"socket.timeout.ms": 100}')
    assert Settings.load(file).client_config()["socket.timeout.ms"] == "100"


def test_a_missing_or_broken_file_is_named(tmp_path: Path, toml: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=r"--config is .*absent.toml; expected a file that exists"):
        Settings.load(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match=r"settings.toml is not readable"):
        Settings.load(toml("slot = = 1"))


def test_no_secret_is_shown_neither_among_the_settings_nor_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hunter2"
    properties = {
        "sasl.password": secret,
        "ssl.key.password": secret,
        "ssl.key.pem": secret,
        "ssl.keystore.password": secret,
        "sasl.oauthbearer.client.secret": secret,
        "sasl.oauthbearer.config": secret,
    }
    settings = Settings(
        kafka={**properties, "sasl.username": "ward"},
        registry_auth=SecretStr(f"svc:{secret}"),
        registry_key_password=SecretStr(secret),
        registry_url=f"https://svc:{secret}@registry:8443",
    )
    assert secret not in str(settings.redacted())
    assert secret not in repr(settings.registry_auth)
    assert settings.redacted()["kafka"]["sasl.username"] == "ward"
    assert settings.redacted()["registry_url"] == f"https://{REDACTED}@registry:8443"

    for name, value in (("REGISTRY_AUTH", secret), ("KAFKA", f'{{"sasl.password": "{secret}", "group.id": "x"}}')):
        monkeypatch.setenv(f"WARDSTOCK_{name}", value)
        with pytest.raises(ConfigError) as refused:
            Settings.load()
        assert secret not in str(refused.value)
        assert f"WARDSTOCK_{name}" in str(refused.value)
        monkeypatch.delenv(f"WARDSTOCK_{name}")


def test_without_a_broker_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    settings = Settings(stack_dir=tmp_path)
    with pytest.raises(ConfigError, match="set WARDSTOCK_BOOTSTRAP_SERVERS, or start one with `wardstock up`"):
        settings.client_config()
    with pytest.raises(ConfigError, match="set WARDSTOCK_REGISTRY_URL, or start one with `wardstock up`"):
        settings.registry()


def test_a_misspelled_variable_is_found_and_those_of_kubernetes_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTOCK_BOOTSTRAP_SERVER", "x:1")
    monkeypatch.setenv("WARDSTOCK_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("WARDSTOCK_PORT_80_TCP", "tcp://10.0.0.1:80")
    monkeypatch.setenv("WARDSTOCK_SLOT", "1")
    assert unknown_variables() == ["WARDSTOCK_BOOTSTRAP_SERVER"]
