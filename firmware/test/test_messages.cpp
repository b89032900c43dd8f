#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "random.h"
#include "voice_core/messages.h"

using namespace voice;
using nlohmann::json;

namespace {

bool read(const std::string& text, Event& event) {
  const std::vector<uint8_t> exact(text.begin(), text.end());
  return read_event(exact.data(), exact.size(), event);
}

Event event_of(const std::string& text) {
  Event event;
  REQUIRE_MESSAGE(read(text, event), text);
  return event;
}

Hello whole_hello() {
  Hello hello;
  hello.name = "Cocina";
  hello.firmware = "1.0.0";
  hello.board = "esp32-s3";
  hello.language = "es";
  hello.max_packet = 4096;
  hello.buffer_ms = 2000;
  hello.rate = 16000;
  hello.reply_rate = 24000;
  hello.reply_bitrate_kbps = 32;
  hello.end_of_speech_ms = 700;
  return hello;
}

}  // namespace

TEST_CASE("messages: hello says what docs/protocol.md says") {
  char text[hello_capacity];
  const size_t size = write_hello(whole_hello(), text, sizeof(text));
  CHECK(json::parse(std::string(text, size)) == json::parse(R"({"v":1,"name":"Cocina","firmware":"1.0.0",
      "board":"esp32-s3","max_packet":4096,"buffer_ms":2000,"codecs":["pcm","adpcm"],"rate":16000,
      "reply":{"rate":24000,"bitrate_kbps":32},"language":"es","end_of_speech":700})"));
}

TEST_CASE("messages: hello leaves out what is not known") {
  Hello hello = whole_hello();
  hello.name = "";
  hello.board = "";
  hello.firmware = "";
  hello.language = "";
  hello.end_of_speech_ms = 0;
  char text[hello_capacity];
  const json said = json::parse(std::string(text, write_hello(hello, text, sizeof(text))));
  for (const char* key : {"name", "board", "firmware", "language", "end_of_speech"}) CHECK_FALSE(said.contains(key));
  CHECK(said["max_packet"] == 4096);
}

TEST_CASE("messages: hello says the strength of the signal, in place of what it said before") {
  char text[hello_capacity];
  const size_t size = write_hello(whole_hello(), text, sizeof(text));
  const std::string without(text, size);
  const std::vector<int> rssis{-67, -128, 0, -5};
  for (const int rssi : rssis) {
    const size_t whole = write_hello_rssi(text, size, static_cast<int8_t>(rssi));
    CHECK(whole <= size + hello_rssi_size);
    CHECK(text[whole] == '\0');
    json expected = json::parse(without);
    if (rssi != 0) expected["rssi"] = rssi;
    CHECK(json::parse(std::string(text, whole)) == expected);
  }
}

TEST_CASE("messages: hello has room for the longest labels, escapes and all") {
  const std::string label(64, '"');
  Hello hello = whole_hello();
  hello.name = hello.firmware = hello.board = label.c_str();
  hello.max_packet = hello.buffer_ms = hello.rate = hello.reply_rate = hello.reply_bitrate_kbps = 0xFFFF;
  hello.end_of_speech_ms = 0xFFFF;
  char text[hello_capacity];
  const size_t size = write_hello(hello, text, sizeof(text));
  REQUIRE(size > 0);
  CHECK(json::parse(std::string(text, size))["board"] == label);
  CHECK(size + hello_rssi_size < hello_capacity);
  CHECK(write_hello(hello, text, size) == 0);
}

TEST_CASE("messages: controls") {
  char text[control_capacity];
  CHECK(std::string(text, write_abort(text, sizeof(text))) == R"({"type":"abort"})");
  CHECK(std::string(text, write_played(7, 41, false, text, sizeof(text))) == R"({"type":"played","turn":7,"seq":41})");
  CHECK(std::string(text, write_played(0xFFFF, 0xFFFF, true, text, sizeof(text))) ==
        R"({"type":"played","turn":65535,"seq":65535,"end":true})");
  CHECK(write_abort(text, 16) == 0);
}

TEST_CASE("messages: events of every kind") {
  CHECK(event_of(R"({"event":"listening","turn":7,"session_id":"x","ts":"2026-01-01T00:00:00Z"})").kind ==
        EventKind::Listening);
  CHECK(event_of(R"({"event":"transcript","turn":7,"text":"\"event\":\"done\"","language":"es"})").kind ==
        EventKind::Transcript);
  CHECK(event_of(R"({"event":"sentence","turn":7,"index":0,"text":"Son las tres."})").kind == EventKind::Sentence);
  CHECK(event_of(R"({"event":"speaking","turn":32768})").turn == 0x8000);
  const Event done = event_of(R"({"event":"done","turn":7,"outcome":"interrupted","timings_ms":{"turn":9,"total":4}})");
  CHECK(done.kind == EventKind::Done);
  CHECK(done.turn == 7);
  CHECK(done.outcome == Outcome::Interrupted);
  const Event error = event_of(R"({"event":"error","turn":9,"code":"stt_failed","stage":"stt","retryable":true})");
  CHECK(error.kind == EventKind::Error);
  CHECK(error.turn == 9);
  CHECK(std::string(error.code) == "stt_failed");
}

TEST_CASE("messages: that an announcement starts, and how loud it is to be") {
  const auto announced = [](const std::string& rest) {
    return event_of(R"({"event":"announcement","turn":32769,"id":"volume","kind":"say",)" + rest + "}");
  };
  const Event started = announced(R"("status":"started","priority":"high","volume":35)");
  CHECK(started.kind == EventKind::Announcement);
  CHECK(started.turn == 0x8001);
  CHECK(started.started);
  CHECK(started.volume == 35);
  CHECK(announced(R"("status":"started")").volume == full_volume);
  CHECK(announced(R"("status":"started","volume":0)").volume == 0);
  CHECK_FALSE(announced(R"("status":"done","volume":35)").started);
  CHECK_FALSE(announced(R"("volume":35)").started);
  for (const char* unusable : {"101", "-1", "1e9", "null", "\"5\"", "0.5"}) {
    CHECK(announced(std::string(R"("status":"started","volume":)") + unusable).volume == full_volume);
  }
}

TEST_CASE("messages: outcomes, and those to come") {
  const auto outcome = [](const char* name) {
    return event_of(std::string(R"({"event":"done","turn":1,"outcome":")") + name + "\"}").outcome;
  };
  CHECK(outcome("completed") == Outcome::Completed);
  CHECK(outcome("interrupted") == Outcome::Interrupted);
  CHECK(outcome("silent") == Outcome::Silent);
  CHECK(outcome("failed") == Outcome::Failed);
  CHECK(outcome("postponed") == Outcome::None);
  CHECK(event_of(R"({"event":"done","turn":1})").outcome == Outcome::None);
}

TEST_CASE("messages: how much `done` says was sent, where it does") {
  const auto chunks = [](const char* value) {
    return event_of(std::string(R"({"event":"done","turn":1,"chunks":)") + value + "}").chunks;
  };
  CHECK(chunks("5") == 5);
  CHECK(chunks("65535") == 65535);
  for (const char* unusable : {"0", "-1", "65536", "1.5", "null", "\"5\""}) CHECK(chunks(unusable) == 0);
  CHECK(event_of(R"({"event":"done","turn":1})").chunks == 0);
  CHECK(event_of(R"({"event":"speaking","turn":1,"chunks":5})").chunks == 0);
}

TEST_CASE("messages: every error code of the contract is read whole") {
  for (const char* code :
       {"bad_topic", "bad_json", "bad_frame", "audio_undecodable", "audio_too_short", "audio_too_long", "no_speech",
        "rate_limited", "busy", "stt_failed", "llm_failed", "tts_failed", "store_failed", "timeout", "internal"}) {
    CHECK(std::string(event_of(std::string(R"({"event":"error","turn":1,"code":")") + code + "\"}").code) == code);
  }
}

TEST_CASE("messages: an event outside a turn has turn 0; one of a kind to come is Other") {
  CHECK(event_of(R"({"event":"error","turn":null,"code":"bad_json"})").turn == 0);
  CHECK(event_of(R"({"event":"error","code":"bad_json"})").turn == 0);
  CHECK(event_of(R"({"event":"engine_passed_over","turn":3})").kind == EventKind::Other);
}

TEST_CASE("messages: what is no event is refused and changes nothing") {
  for (const char* text :
       {"", "garbage", "{}", "[]", R"({"turn":7})", R"({"event":7,"turn":7})", R"({"event":null,"turn":7})",
        R"({"event":"done","turn":-1})", R"({"event":"done","turn":65536})", R"({"event":"done","turn":7)",
        R"({"event":"a name that is longer than any in the contract"})"}) {
    CAPTURE(text);
    Event event;
    event.turn = 42;
    CHECK_FALSE(read(text, event));
    CHECK(event.turn == 42);
  }
}

namespace {

bool read(const std::string& text, Report& report) {
  const std::vector<uint8_t> exact(text.begin(), text.end());
  return read_report(exact.data(), exact.size(), report);
}

Report report_of(const std::string& text) {
  Report report;
  REQUIRE_MESSAGE(read(text, report), text);
  return report;
}

}  // namespace

TEST_CASE("messages: state says whether a turn runs, and which was the last and how it ended") {
  const std::string rest = R"(,"session_id":"a4cf128b3f9e","ts":"2026-01-01T00:00:00Z","last":{"turn":7,)"
                           R"("outcome":"silent","heard":"\"turn\":9","said":"{\"turn\":9}","total_ms":12}})";
  const Report idle = report_of(R"({"state":"idle")" + rest);
  CHECK(idle.idle);
  CHECK(idle.last_turn == 7);
  CHECK(idle.last_outcome == Outcome::Silent);
  for (const char* at_work : {"listening", "thinking", "speaking", "dreaming"}) {
    CHECK_FALSE(report_of(R"({"state":")" + std::string(at_work) + '"' + rest).idle);
  }
  CHECK(report_of(R"({"last":{"outcome":"failed","turn":32769},"state":"idle"})").last_turn == 0x8001);
}

TEST_CASE("messages: a state before the first turn has ended; of two of a key the last counts") {
  for (const char* text : {R"({"state":"idle","last":null})", R"({"state":"idle"})", R"({"state":"idle","last":[7]})",
                           R"({"state":"idle","last":{}})", R"({"state":"idle","turn":7,"outcome":"failed"})",
                           R"({"state":"idle","last":{"turn":7},"last":{"turn":null}})"}) {
    CAPTURE(text);
    CHECK(report_of(text).last_turn == 0);
    CHECK(report_of(text).last_outcome == Outcome::None);
  }
}

TEST_CASE("messages: what is no state is refused and changes nothing") {
  for (const char* text :
       {"", "idle", "{}", R"({"state":null})", R"({"last":{"state":"idle","turn":7}})", R"({"state":{"idle":1}})",
        R"({"state":"idle","last":{"turn":65536}})", R"({"state":"idle","last":{"turn":-1}})",
        R"({"state":"idle","last":{"turn":7})", R"({"state":"idle","last":{"turn":7,}})"}) {
    CAPTURE(text);
    Report report;
    report.last_turn = 42;
    CHECK_FALSE(read(text, report));
    CHECK(report.last_turn == 42);
  }
}

TEST_CASE("messages: random bytes are never an event") {
  Random random(1);
  for (int i = 0; i < 5000; i++) {
    const std::vector<uint8_t> bytes = random.bytes(random.below(200));
    Event event;
    CHECK_FALSE(read_event(bytes.data(), bytes.size(), event));
  }
}
