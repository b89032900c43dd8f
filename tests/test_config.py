"""Where settings come from, which source wins, and what is said about a mistake."""

import json
from pathlib import Path

import pytest

from gateway.config import Settings, database_url, personality_of
from gateway.errors import ConfigurationError
from gateway.personality import UNSAID, Kept, Personality
from gateway.settings_reference import reference
from gateway.settings_sources import (
    Loaded,
    Source,
    find_config_file,
    hide_secrets,
    load_settings,
    option_name,
    shown,
    variable_name,
)
from gateway.values import parse_device_id

NAMES = list(Settings.model_fields)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `gateway.toml` of this checkout or this user is found."""
    monkeypatch.chdir(tmp_path)


def load(
    tmp_path: Path, *, toml: str = "", environ: dict[str, str] | None = None, cli: dict[str, object] | None = None
) -> Loaded:
    file = tmp_path / "given.toml"
    file.write_text(toml, encoding="utf-8")
    return load_settings(cli or {}, environ or {}, file)


def mistakes(tmp_path: Path, **sources: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, **sources)  # type: ignore[arg-type]
    return str(caught.value)


# Which source wins


def test_the_command_line_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    toml = 'stt_model = "file"\nllm_model = "file"\ntts_voice = "file"'
    environ = {"GATEWAY_LLM_MODEL": "environment", "GATEWAY_TTS_VOICE": "environment"}
    loaded = load(tmp_path, toml=toml, environ=environ, cli={"tts_voice": "option"})

    settings = loaded.settings
    assert (settings.language, settings.stt_model, settings.llm_model, settings.tts_voice) == (
        "es",
        "file",
        "environment",
        "option",
    )
    assert [str(loaded.origins[name]) for name in ("language", "stt_model", "llm_model", "tts_voice")] == [
        "default",
        f"stt_model in {tmp_path / 'given.toml'}",
        "GATEWAY_LLM_MODEL",
        "--tts-voice",
    ]


def test_settings_made_in_code_take_nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_LANGUAGE", "en")
    assert Settings().language == "es"


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_can_be_given_everywhere(name: str, tmp_path: Path) -> None:
    default = Settings.model_fields[name].default
    value = json.loads(Settings().model_dump_json())[name]
    if value is None:
        value = "somewhere"
    text = json.dumps(value) if isinstance(value, list) else str(value)

    from_environment = load(tmp_path, environ={variable_name(name): text})
    from_options = load(tmp_path, cli={name: value if isinstance(value, list) else text})
    from_file = load(tmp_path, toml=f"{name} = {json.dumps(value)}")

    for loaded in (from_environment, from_options, from_file):
        if default is not None:
            assert getattr(loaded.settings, name) == default
    assert from_environment.origins[name].source is (Source.ENVIRONMENT if text else Source.DEFAULT)
    assert from_options.origins[name].source is Source.COMMAND_LINE
    assert from_file.origins[name].source is Source.FILE


def test_an_empty_variable_is_as_good_as_none(tmp_path: Path) -> None:
    loaded = load(tmp_path, toml='stt = "openai"', environ={"GATEWAY_STT": "", "GATEWAY_STT_WORKERS": ""})
    assert (loaded.settings.stt, loaded.settings.stt_workers) == ("openai", 2)


def test_home_is_understood_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert load(tmp_path, toml='data_dir = "~/voice"').settings.data_dir == Path("/home/someone/voice")


# Which file is read


def test_the_file_is_looked_for_in_order(tmp_path: Path) -> None:
    home, named, given = tmp_path / "home", tmp_path / "named.toml", tmp_path / "given.toml"
    users = home / ".config" / "mqtt-voice-gateway" / "gateway.toml"
    environ = {"HOME": str(home)}
    assert find_config_file(environ) is None

    users.parent.mkdir(parents=True)
    users.touch()
    assert find_config_file(environ) == users
    (tmp_path / "gateway.toml").touch()
    assert find_config_file(environ) == Path("gateway.toml")
    named.touch()
    environ["GATEWAY_CONFIG"] = str(named)
    assert find_config_file(environ) == named
    given.touch()
    assert find_config_file(environ, given) == given


def test_the_configuration_folder_may_be_moved(tmp_path: Path) -> None:
    file = tmp_path / "xdg" / "mqtt-voice-gateway" / "gateway.toml"
    file.parent.mkdir(parents=True)
    file.touch()
    assert find_config_file({"HOME": "/nowhere", "XDG_CONFIG_HOME": str(tmp_path / "xdg")}) == file


@pytest.mark.parametrize("environ", [{}, {"GATEWAY_CONFIG": "absent.toml"}], ids=["option", "variable"])
def test_a_file_asked_for_must_be_there(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no configuration file absent\.toml"):
        load_settings({}, environ, None if environ else Path("absent.toml"))


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'given.toml'} is not valid TOML" in mistakes(tmp_path, toml="language: es")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_settings({}, {}, tmp_path / "binary.toml")


# What is said about a mistake


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({"toml": "llm_timout_s = 3"}, "unknown setting llm_timout_s in {file}: did you mean llm_timeout_s?"),
        ({"toml": 'STT = "openai"'}, "unknown setting STT in {file}: did you mean stt?"),
        (
            {"environ": {"GATEWAY_LOG_TXT": "1"}},
            "unknown setting GATEWAY_LOG_TXT in the environment: did you mean GATEWAY_LOG_TEXT?",
        ),
        (
            {"environ": {"gateway_stt": "openai"}},
            "unknown setting gateway_stt in the environment: did you mean GATEWAY_STT?",
        ),
        (
            {"environ": {"GATEWAY_XYZ": "1"}},
            "unknown setting GATEWAY_XYZ in the environment: `voice-gateway config` lists them all",
        ),
        ({"cli": {"mqt_url": "x"}}, "unknown setting --mqt-url on the command line: did you mean --mqtt-url?"),
    ],
)
def test_an_unknown_name_is_named_with_the_nearest_right_one(
    sources: dict[str, object], said: str, tmp_path: Path
) -> None:
    assert mistakes(tmp_path, **sources) == said.format(file=tmp_path / "given.toml")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("stt_workers", "0", "is '0': must be a whole number, 1 or more"),
        ("stt_workers", "two", "is 'two': must be a whole number, 1 or more"),
        ("idle_limit_s", "0", "is '0': must be a number above 0"),
        ("idle_limit_s", "inf", "is 'inf': must be a number above 0"),
        ("cache_ttl_s", "-1", "is '-1': must be a number, 0 or more"),
        ("llm_temperature", "3", "is '3': must be a number from 0 to 2"),
        ("reply_rate", "8000", "is '8000': must be one of 16000, 22050, 24000, 32000, 44100, 48000"),
        ("log_format", "xml", "is 'xml': must be one of human, json"),
        ("log_text", "perhaps", "is 'perhaps': must be true or false"),
        ("language", "EN", "is 'EN': must be text that matches ^([a-z]{2,3}|auto)$"),
        ("timezone", "Europe/Madird", "'Europe/Madird' is no IANA time zone; did you mean 'Europe/Madrid'?"),
        ("system_prompt", "You are {nme}.", "{nme} is not one of {device}, {name}, {language}, {date}, {time}"),
        ("system_prompt", "It is {date:%d}.", "{date} is not one of"),
        ("system_prompt", "{", "write a brace that is meant as such twice"),
        ("root_topic", "/voice", "has an empty level"),
        ("root_topic", "home//voice", "has an empty level"),
        (
            "root_topic",
            "voice/",
            "has an empty level (nothing before, between or after a /): write it like voice or home/voice",
        ),
        ("root_topic", "home/+", "must not hold +, # or a NUL"),
        ("root_topic", "voice/#", "must not hold +, # or a NUL"),
        ("root_topic", "vo\0ice", "must not hold +, # or a NUL"),
        ("root_topic", "$SYS/voice", "must not begin with $"),
        ("root_topic", "ñ" * 101, "is 202 bytes long, more than 200"),
        ("cache_skip", '["("]', "'(' is no regular expression: missing )"),
        ("cache_skip", "hora", "a list is written as JSON"),
        ("cache_skip", "5", "must be a list of texts"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, value: str, said: str, tmp_path: Path) -> None:
    told = mistakes(tmp_path, environ={variable_name(name): value})
    assert told.startswith(variable_name(name))
    assert said in told


PERSONALITIES = """
[personas.butler]
system_prompt = "You are the butler {name}."
[groups.upstairs]
persona = "butler"
quiet = "22:00-07:00"
[devices."A4:CF:12:8B:3F:9E"]
groups = ["upstairs"]
max_tokens = 40
"""


def test_who_answers_is_said_in_tables(tmp_path: Path) -> None:
    settings = load(tmp_path, toml=PERSONALITIES).settings
    found = personality_of(settings, parse_device_id("a4cf128b3f9e"))
    assert (found.system_prompt, found.max_tokens, found.quiet) == ("You are the butler {name}.", 40, "22:00-07:00")
    assert personality_of(settings, parse_device_id("hall")) == UNSAID


def test_tables_are_json_where_there_are_none(tmp_path: Path) -> None:
    environ = {"GATEWAY_GROUPS": '{"upstairs": {"voice": "nova"}}'}
    settings = load(tmp_path, environ=environ, cli={"devices": '{"hall": {"groups": ["upstairs"]}}'}).settings
    assert personality_of(settings, parse_device_id("hall")).voice == "nova"


def test_what_the_database_keeps_counts_before_the_configuration(tmp_path: Path) -> None:
    settings = load(tmp_path, toml=PERSONALITIES).settings
    kitchen = parse_device_id("a4cf128b3f9e")
    kept = Kept(Personality(max_tokens=50), {"upstairs": Personality(quiet="13:00-15:00")})
    found = personality_of(settings, kitchen, kept)
    assert (found.max_tokens, found.quiet, found.persona) == (50, "13:00-15:00", "butler")
    assert personality_of(settings, kitchen, Kept(Personality(groups=()))).quiet is None


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[devices.kitchen]\nnme = "Ana"', "devices.kitchen.nme is 'Ana': there is no such value; there are: name, "),
        ("[devices.kitchen]\nmax_tokens = 0", "devices.kitchen.max_tokens is 0: should be greater than or equal to 1"),
        ('[groups.a]\nquiet = "late"', "groups.a.quiet is 'late': 'late' are no hours of quiet; write them like 22:00"),
        ('[devices."a b"]\nname = "x"', "a b: a device id is 1 to 64 characters"),
        ('[devices.a4cf128b3f9e]\n[devices."a4:cf:12:8b:3f:9e"]', "both are the device a4cf128b3f9e"),
        ('[devices.kitchen]\npersona = "butler"', "kitchen: there is no persona 'butler'; none is set in personas"),
        ('[personas.ana]\n[groups.a]\npersona = "eva"', "a: there is no persona 'eva'; there are: ana"),
        ("[groups.all]", "'all' is no group"),
        ('[groups.a]\ngroups = ["b"]', "a: a group is not in groups itself"),
        ('[personas.ana]\npersona = "eva"', "ana: a persona has no persona and no groups itself"),
        ('personas = \'{"ana": {"persona": "eva"}}\'', "personas in {file}: ana: a persona has no persona"),
        ("devices = 5", "devices in {file} is '5': must be a table of tables"),
        ('devices = "kitchen"', "a table is written as JSON"),
    ],
)
def test_a_wrong_table_is_named_with_what_is_wrong_in_it(toml: str, said: str, tmp_path: Path) -> None:
    assert said.format(file=tmp_path / "given.toml") in mistakes(tmp_path, toml=toml)


@pytest.mark.parametrize("root", ["voice", "home/voice", "casa de mañana", "a" * 200, "v$"])
def test_a_root_topic_may_have_levels_and_any_letters(root: str, tmp_path: Path) -> None:
    assert load(tmp_path, environ={"GATEWAY_ROOT_TOPIC": root}).settings.root_topic == root


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    told = mistakes(tmp_path, toml="stt_workers = 0\nabc = 1", environ={"GATEWAY_LOG_FORMAT": "xml"}, cli={"x": "y"})
    assert len(told.splitlines()) == 4


@pytest.mark.parametrize(
    "toml",
    ['mqtt_url = ["mqtt://me:hunter2@host"]', 'mqtt_ulr = "mqtt://me:hunter2@host"', 'mqtt_url = "mqtt://me:hunter2@h'],
)
def test_a_password_is_never_repeated(toml: str, tmp_path: Path) -> None:
    assert "hunter2" not in mistakes(tmp_path, toml=toml)


@pytest.mark.parametrize("servers", ['["Files=env KEY=hunter2 x"]', "files=env KEY=hunter2 x", '["http://x/hunter2"]'])
def test_what_starts_an_mcp_server_is_never_repeated(servers: str, tmp_path: Path) -> None:
    """It may hold a key."""
    told = mistakes(tmp_path, environ={"GATEWAY_MCP_SERVERS": servers})
    assert "hunter2" not in told
    assert "GATEWAY_MCP_SERVERS" in told


@pytest.mark.parametrize(
    ("name", "wrong", "example"),
    [
        ("home_assistant_weather", "home", "such as weather.home"),
        ("home_assistant_discovery", "a/#", "write it like homeassistant"),
        ("root_topic", "a/#", "write it like voice"),
    ],
)
def test_what_is_right_is_told_by_an_example(name: str, wrong: str, example: str, tmp_path: Path) -> None:
    assert example in mistakes(tmp_path, cli={name: wrong})


@pytest.mark.parametrize(
    ("url", "as_shown"),
    [
        ("mqtt://me:hunter2@host:1883", "mqtt://me:***@host:1883"),
        ("mqtts://me:hun@ter/2@host", "mqtts://me:***@host"),
        ("mqtt:me:hunter2@host", "mqtt:me:***@host"),
        ("postgresql://me@host/db?password=hunter2&sslmode=require", "postgresql://me@host/db?password=***&sslmode=require"),
        ("mqtt://host:1883", "mqtt://host:1883"),
        ("embedded", "embedded"),
        ("sqlite:////srv/voice.db", "sqlite:////srv/voice.db"),
    ],
)  # fmt: skip
def test_what_is_shown_of_an_address(url: str, as_shown: str) -> None:
    assert hide_secrets(url) == as_shown
    assert shown("mqtt_url", url) == as_shown


def test_texts_are_shown_as_they_are() -> None:
    assert shown("system_prompt", "Rules: be brief: write to a@b") == "Rules: be brief: write to a@b"


# What follows from the settings


def test_the_database_is_a_file_in_the_data_folder_unless_set(tmp_path: Path) -> None:
    assert database_url(Settings(data_dir=Path("data"))) == "sqlite:///data/gateway.db"
    assert database_url(Settings(data_dir=Path("/srv"))) == "sqlite:////srv/gateway.db"
    assert database_url(Settings(database_url="postgresql://host/db")) == "postgresql://host/db"


def test_the_reference_page_is_up_to_date() -> None:
    page = Path(__file__).parents[1] / "docs" / "configuration.md"
    written = page.read_text(encoding="utf-8")
    assert written == reference(), "run: voice-gateway config --reference > docs/configuration.md"
    assert all(f"`{option_name(name)}` · `{variable_name(name)}`" in written for name in NAMES)
