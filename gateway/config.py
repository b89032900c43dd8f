"""Every setting, declared once: its name, type, default and help.

The environment (`GATEWAY_<NAME>`), the TOML file (`<name> = …`) and the command line (`--<name>`) are all read
into this one class (settings_sources.py); help texts and the reference page derive from it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.personality import NOTHING_KEPT, UNSAID, Kept, Layer, Personality, Prompt, layers, taken_together
from gateway.settings_values import (
    check_devices,
    check_discovery_prefix,
    check_end_of_speech,
    check_entity_pattern,
    check_groups,
    check_mcp_server,
    check_pattern,
    check_personas,
    check_root_topic,
    check_timezone,
    check_weather_entity,
    check_web_address,
    decode_list,
    decode_table,
)
from gateway.values import DeviceId

DEFAULT_SYSTEM_PROMPT = (
    "You are the voice assistant of the device {name}. Answer in {language}, clearly and directly, in one to three"
    " short sentences that sound natural when spoken: no lists, no markup, no emoji. If you do not know, say so."
    " It is {date}, {time}."
)

DEFAULT_UNCACHED = (
    r"\b(hora|d[ií]a|fecha|hoy|ahora|mañana|ayer|tiempo|clima|temperatura|llueve|llover|sol)\b",
    r"\b(time|day|date|today|now|tomorrow|yesterday|weather|temperature|rain|raining)\b",
    r"\b(antes|anterior|última|último|dije|pregunté|pregunte|llamo|recuerdas|repite|otra vez|otro)\b",
    r"\b(before|previous|last|said|asked|ask|my name|remember|repeat|again|another)\b",
)

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
Pattern = Annotated[str, AfterValidator(check_pattern)]
DiscoveryPrefix = Annotated[str, AfterValidator(check_discovery_prefix)]
RootTopic = Annotated[str, AfterValidator(check_root_topic)]
TimeZone = Annotated[str, AfterValidator(check_timezone)]
EntityPattern = Annotated[str, AfterValidator(check_entity_pattern)]
WeatherEntity = Annotated[str, AfterValidator(check_weather_entity)]
McpServer = Annotated[str, AfterValidator(check_mcp_server)]
WebAddress = Annotated[str, AfterValidator(check_web_address)]
EndOfSpeech = Annotated[str, BeforeValidator(check_end_of_speech)]
Personalities = dict[str, Personality]


class Settings(BaseSettings):
    """The gateway's settings. Durations are in the unit that the name ends in."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what the constructor is given: `load_settings` reads the sources, because an error and
        `voice-gateway config` have to say which of them a value came from."""
        return (init_settings,)

    # The broker
    mqtt_url: str = Field("embedded", description="The broker: embedded, mqtt://user:pass@host:1883 or mqtts://…")
    mqtt_client_id: str = Field("", description="MQTT client id; made up at each start when empty")
    mqtt_keepalive_s: Count = Field(60, description="MQTT keep-alive, in seconds")
    mqtt_ca_file: UserPath | None = Field(None, description="CA certificate (PEM) that signs an mqtts:// broker")
    mqtt_qos_in: Literal[0, 1] = Field(
        0,
        description="QoS of the subscription to audio, hello and control; at 1, brokers lose more for a stalled reader",
    )
    mqtt_qos_out: Literal[0, 1] = Field(0, description="QoS at which replies are published")
    root_topic: RootTopic = Field("voice", description="First level(s) of every topic")
    broker_dir: UserPath = Field(
        Path("mosquitto"), description="Folder of the Mosquitto whose logins and certificates are made here"
    )
    broker_reload: str = Field(
        "", description="Command that makes it read them again; empty: a signal to the one that runs in broker_dir"
    )
    boards_mqtt_url: str = Field(
        "",
        description="The broker as boards reach it, mqtt[s]://host:port; empty: what broker_dir and this machine say",
    )

    # Where things are kept
    data_dir: UserPath = Field(Path("data"), description="Folder of the default database and of generated files")
    database_url: str = Field("", description="sqlite:///path or postgresql://…; empty: a SQLite file in data_dir")

    # Engines
    stt: str = Field("auto", description="Recognisers in order: faster-whisper, openai, pocketsphinx; or auto")
    llm: str = Field("auto", description="Chat engines in order: openai, home-assistant, offline; or auto")
    tts: str = Field("auto", description="Text-to-speech engines in order: gtts, openai, espeak; or auto")
    stt_model: str = Field("", description="Model name or folder for speech-to-text; empty: the engine's own choice")
    llm_model: str = Field("", description="Model name for the chat; empty: the engine's own choice")
    tts_model: str = Field("", description="Model name for text-to-speech; empty: the engine's own choice")
    tts_voice: str = Field("", description="Voice for text-to-speech; empty: the engine's voice for the language")
    stt_device: str = Field("cpu", description="Where faster-whisper computes: cpu, cuda or auto")
    stt_compute_type: str = Field("int8", description="Number format of faster-whisper: int8, float16, float32, …")
    stt_workers: Count = Field(
        2, description="Utterances recognised at the same time by faster-whisper or pocketsphinx"
    )
    stt_queue: Count = Field(32, description="Utterances that may wait for one of those before `busy` is answered")
    stt_window: Literal["full", "safe", "fast"] = Field(
        "safe",
        description="How much of its 30 s faster-whisper computes: full; safe: the speech and 2 s, at least 10 s; fast:"
        " the speech and 1.28 s",
    )
    stt_beam_size: Count = Field(1, description="Beam size of faster-whisper; 1 is greedy")
    stt_timeout_s: Positive = Field(15.0, description="Longest recognition of one utterance, in seconds")
    llm_first_token_s: Positive = Field(10.0, description="Longest wait for the first word of an answer, in seconds")
    llm_timeout_s: Positive = Field(30.0, description="Longest generation of a whole answer, in seconds")
    llm_max_tokens: Count = Field(100, description="Longest answer, in tokens")
    llm_temperature: float = Field(0.3, ge=0, le=2, description="Sampling temperature of the chat model")
    tts_timeout_s: Positive = Field(15.0, description="Longest synthesis of one piece of an answer, in seconds")
    engine_rest_s: Positive = Field(30.0, description="How long an engine that failed is passed over, in seconds")
    speech_cache_mb: int = Field(32, ge=0, description="Memory for synthesised sentences shared by all devices, in MiB")

    # Tools of the chat model
    tools: str = Field(
        "auto",
        description="What the chat model may do: clock, home-assistant, mcp; none; or auto: those for which"
        " home_assistant_url or mcp_servers is set, and then clock",
    )
    tool_timeout_s: Positive = Field(8.0, description="Longest time of one call of a tool, in seconds")
    home_assistant_url: str = Field(
        "",
        description="Home Assistant, such as http://homeassistant.local:8123; its token is read from"
        " home_assistant_token_file or HOME_ASSISTANT_TOKEN",
    )
    home_assistant_token_file: UserPath | None = Field(
        None, description="File with a long-lived access token of Home Assistant"
    )
    home_assistant_entities: Annotated[tuple[EntityPattern, ...], BeforeValidator(decode_list)] = Field(
        (),
        description="Entities that the chat model may read and switch, such as light.* or switch.fan; none: it asks"
        " Home Assistant's own agent, which knows what is exposed to Assist",
    )
    home_assistant_weather: WeatherEntity = Field(
        "", description="Weather entity for the forecast, such as weather.home"
    )
    home_assistant_agent: str = Field("", description="Conversation agent of Home Assistant; empty: its default one")
    mcp_servers: Annotated[tuple[McpServer, ...], BeforeValidator(decode_list)] = Field(
        (),
        description="MCP servers, each as name=URL or name=command: a URL's token is read from MCP_<NAME>_TOKEN",
    )

    # What is said
    language: str = Field("es", pattern=r"^([a-z]{2,3}|auto)$", description="Default language: es, en, …; auto detects")
    system_prompt: Prompt = Field(
        DEFAULT_SYSTEM_PROMPT, description="Template; may use {device} {name} {language} {date} {time}"
    )
    history_messages: Count = Field(20, description="Messages of the conversation sent with each question, it included")
    timezone: TimeZone = Field("", description="Time zone such as Europe/Madrid; empty: the machine's own")
    cache_ttl_s: float = Field(600.0, ge=0, description="How long a repeated question gets the same answer; 0: never")
    cache_session_entries: Count = Field(100, description="Cached answers kept for one session")
    cache_max_mb: Count = Field(256, description="Cached answers kept in all, in MiB")
    cache_skip: Annotated[tuple[Pattern, ...], BeforeValidator(decode_list)] = Field(
        DEFAULT_UNCACHED,
        description="Questions that match one of these patterns are never answered from the cache",
    )

    # Who answers, where it is not the same for every device (docs/personality.md)
    personas: Annotated[Personalities, BeforeValidator(decode_table), AfterValidator(check_personas)] = Field(
        {}, description="Tables of values that devices and groups have together, by a name: [personas.butler]"
    )
    groups: Annotated[Personalities, BeforeValidator(decode_table), AfterValidator(check_groups)] = Field(
        {}, description="Tables of values for the devices of a group, by its name: [groups.upstairs]"
    )
    devices: Annotated[Personalities, BeforeValidator(decode_table), AfterValidator(check_devices)] = Field(
        {},
        description="Tables of values for one device, by its id in any spelling: [devices.kitchen]; see"
        " docs/personality.md",
    )

    # Limits on what a device may send
    idle_limit_s: Positive = Field(1.0, description="Silence on the wire that ends an utterance, in seconds")
    utterance_max_s: Positive = Field(30.0, description="Longest utterance, in seconds")
    utterance_min_s: float = Field(0.1, ge=0, description="Shortest utterance that is recognised, in seconds")
    message_max_bytes: Count = Field(1_048_576, description="Largest message taken from a device, in bytes")
    end_of_speech: EndOfSpeech = Field(
        "normal",
        description="Silence that ends a raw utterance unless the device's hello says: relaxed (1250 ms), normal (700),"
        " eager (300), or milliseconds",
    )
    speculation: Literal["auto", "off", "recognise", "answer"] = Field(
        "auto",
        description="In a pause of 128 ms of a device that ends by silence: off does nothing, recognise recognises what"
        " it has said so far, answer also has the answer written, auto is recognise while the recogniser runs on this"
        " machine, and else off; at most 3 times an utterance, and what was in vain is dropped",
    )
    queue_messages: Count = Field(2048, description="Messages of one device that may wait to be handled")
    hello_max_bytes: Count = Field(4096, description="Largest hello or control message, in bytes")
    text_max_chars: Count = Field(1000, description="Longest text of ask and say, in characters")
    turns_per_minute: Count = Field(30, description="Turns that one device may begin in a minute")
    sessions_max: Count = Field(10_000, description="Conversations kept; a new device beyond them is told `busy`")

    # Announcements
    announcement_ttl_s: float = Field(
        300.0, ge=1, le=86_400, description="How long an announcement may wait to be begun that does not say so itself"
    )
    announcement_devices_max: Count = Field(
        100, description="Devices that one announcement may go to; those beyond are told to whoever asked"
    )

    # Replies
    reply_rate: Literal[16000, 22050, 24000, 32000, 44100, 48000] = Field(
        24000, description="Sample rate of replies in Hz, unless the device's hello asks for another"
    )
    reply_bitrate_kbps: Literal[16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128] = Field(
        48, description="Bit rate of replies, unless the device's hello asks for another"
    )
    reply_buffer_ms: Count = Field(3000, description="Audio sent ahead to a device that sent no hello, in ms")
    thinking_after_s: float = Field(
        0.0,
        ge=0,
        description="When an answer is later than this after its question, in seconds, a soft sound says that it is"
        " being made, and again every 4 s; not in a reply of one message; 0: never",
    )

    # The page, and HTTP
    web: WebAddress = Field(
        "auto",
        description="Where the page and the HTTP interface are served: host:port, or off; auto is 127.0.0.1:8080 where"
        " the extra web is installed and that port is free",
    )
    web_token: str = Field(
        "",
        description="What people log in with at the page, and programs over HTTP; empty: nothing on this machine alone,"
        " else a token that is made once and kept in data_dir",
    )
    web_tls_certificate: UserPath | None = Field(
        None, description="Certificate chain (PEM) for https; web_tls_key belongs to it"
    )
    web_tls_key: UserPath | None = Field(None, description="Private key (PEM) of web_tls_certificate")
    web_text: bool = Field(
        False, description="Show on the page what every device heard and said (private: off unless asked for)"
    )

    # Home Assistant's devices and entities
    home_assistant_discovery: DiscoveryPrefix = Field(
        "homeassistant",
        description="Where Home Assistant listens for MQTT discovery, its discovery prefix; empty: it is told nothing",
    )

    # Keeping house
    cleanup_days: Count = Field(30, le=365_000, description="Sessions idle for this many days are removed")
    cleanup_interval_h: float = Field(24.0, ge=0, description="Hours between automatic clean-ups; 0: never")
    stats_interval_s: Positive = Field(5.0, description="Shortest time between two publications of the statistics")
    log_format: Literal["human", "json"] = Field("human", description="Log lines for people or for machines")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe log line shown")
    log_text: bool = Field(False, description="Log what was heard and said (private: off unless asked for)")


def database_url(settings: Settings) -> str:
    """The database in effect: the one set, else a SQLite file in the data folder."""
    return settings.database_url or f"sqlite:///{settings.data_dir / 'gateway.db'}"


def personality_layers(
    settings: Settings, device: DeviceId, kept: Kept = NOTHING_KEPT, hello: Personality = UNSAID
) -> Iterator[Layer]:
    """What is said of a device: of it and of its groups what the database keeps counts before what is configured."""
    own = kept.device.over(settings.devices.get(device, UNSAID))
    groups = ((name, group_personality(settings, name, kept.groups.get(name, UNSAID))) for name in own.groups or ())
    return layers(own, hello, groups, settings.personas)


def personality_of(
    settings: Settings, device: DeviceId, kept: Kept = NOTHING_KEPT, hello: Personality = UNSAID
) -> Personality:
    """What holds for a device, all that is said of it taken together."""
    return taken_together(personality_layers(settings, device, kept, hello))


def group_personality(settings: Settings, group: str, kept: Personality) -> Personality:
    """What is said of a group: what the database keeps counts before what is configured."""
    return kept.over(settings.groups.get(group, UNSAID))
