#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "fakes.h"
#include "random.h"

using namespace voice;
using Json = nlohmann::json;

namespace {

constexpr uint32_t chunk_ms = 10 * mp3::frame_ms;  // of reply()

std::vector<mp3::Name> names(uint16_t turn, uint16_t count) {
  std::vector<mp3::Name> made;
  for (uint16_t i = 0; i < count; ++i) made.push_back({turn, i});
  return made;
}

Json control_of(const World& world, size_t index) { return Json::parse(world.control().at(index).text()); }

// The error tone sounds or has sounded, `count` times so far.
bool failed_audibly(World& world, uint32_t count = 1) {
  world.run(1500);
  return world.node.counters().tones == count && world.speaker.tone_samples > 0;
}

}  // namespace

TEST_CASE("node: says who it is, retained, at every connect") {
  World world;
  NodeOptions options = world.options();
  options.name = "Cocina \"grande\"";
  options.firmware = "1.2.3";
  options.board = "esp32-s3";
  options.language = "es";
  options.max_packet = 4096;
  REQUIRE(world.begin(options));
  CHECK(world.node.state() == State::Offline);
  CHECK(world.node.indication() == Indication::Offline);
  world.run(100);
  CHECK(world.link.published.empty());
  world.link_up();
  CHECK(world.node.state() == State::Idle);
  REQUIRE(world.link.published.size() == 2);
  CHECK(world.link.published[0].topic == "voice/a4cf128b3f9e/online");
  CHECK(world.link.published[0].text() == "online");
  CHECK(world.link.published[0].retained);
  CHECK(world.link.published[1].topic == "voice/a4cf128b3f9e/hello");
  CHECK(world.link.published[1].retained);
  CHECK(Json::parse(world.link.published[1].text()) == Json::parse(R"({
      "v": 1, "name": "Cocina \"grande\"", "firmware": "1.2.3", "board": "esp32-s3", "max_packet": 4096,
      "buffer_ms": 2000, "codecs": ["pcm", "adpcm"], "rate": 16000, "reply": {"rate": 24000, "bitrate_kbps": 32},
      "language": "es"})"));
  world.link_down();
  CHECK(world.node.state() == State::Offline);
  world.link_up();
  CHECK(world.link.published.size() == 4);
}

TEST_CASE("node: at every connect it says how strong the signal is then, if that is known") {
  World world;
  world.begin();
  const auto said_of = [&world](int8_t rssi) {
    world.link_up(rssi);
    const Json hello = Json::parse(world.published_on(world.node.topics().hello()).back().text());
    world.link_down();
    return hello;
  };
  const Json unknown = said_of(0);
  CHECK_FALSE(unknown.contains("rssi"));
  for (const int8_t rssi : {int8_t{-67}, int8_t{-128}, int8_t{-5}}) {
    Json expected = unknown;
    expected["rssi"] = rssi;
    CHECK(said_of(rssi) == expected);
  }
  CHECK(said_of(0) == unknown);
}

TEST_CASE("node: the strength of the signal is said however late the link takes it") {
  World world;
  world.begin();
  world.link.refuses = true;
  world.node.link_up(world.now, -67);
  world.run(50);
  world.link.refuses = false;
  world.run(50);
  REQUIRE(world.link.published.size() == 2);
  CHECK(Json::parse(world.link.published[1].text())["rssi"] == -67);
}

TEST_CASE("node: what it says at a connect is said again until the link takes it") {
  World world;
  world.begin();
  world.link.refuses = true;
  world.node.link_up(world.now, 0);
  world.run(50);
  CHECK(world.link.published.empty());
  world.link.refuses = false;
  world.run(50);
  CHECK(world.link.published.size() == 2);
}

TEST_CASE("node: options that cannot work are refused, and the node then does nothing") {
  const auto refused = [](const std::function<void(NodeOptions&)>& spoil) {
    World world;
    NodeOptions options = world.options();
    spoil(options);
    if (world.begin(options)) return false;
    world.link_up();
    world.press();
    world.run(500);
    world.release();
    return world.link.published.empty() && world.node.state() == State::Offline;
  };
  CHECK(refused([](NodeOptions& o) { o.device_id = ""; }));
  CHECK(refused([](NodeOptions& o) { o.device_id = "gateway"; }));
  CHECK(refused([](NodeOptions& o) { o.device_id = "a/b"; }));
  CHECK(refused([](NodeOptions& o) { o.root = "voice/#"; }));
  CHECK(refused([](NodeOptions& o) { o.codec = Codec::Opus; }));
  CHECK(refused([](NodeOptions& o) { o.first_turn = 0; }));
  CHECK(refused([](NodeOptions& o) { o.first_turn = 0x8000; }));
  CHECK(refused([](NodeOptions& o) { o.max_packet = 256; }));
}

TEST_CASE("node: asks while the button is held, waits, speaks the answer, and says what was heard") {
  World world;
  world.begin_linked();
  world.press();
  CHECK(world.node.indication() == Indication::Listening);
  world.run(1000);
  world.release();
  CHECK(world.node.indication() == Indication::Waiting);
  const std::vector<Published> sent = world.audio();
  REQUIRE(sent.size() == 8);  // 16,000 samples in frames of 2,048
  for (size_t i = 0; i < sent.size(); ++i) {
    const Frame frame = frame_of(sent[i].payload);
    CHECK(frame.turn == 1);
    CHECK(frame.seq == i);
    CHECK(frame.codec == Codec::Adpcm);
    CHECK(frame.flags == (i == 0 ? flag::start : i == 7 ? flag::end : 0));
  }
  CHECK_FALSE(world.microphone.on);

  world.run(300);
  world.send_paced(reply(1, 20), chunk_ms);
  CHECK(world.node.indication() == Indication::Speaking);
  REQUIRE(world.run_until(State::Idle, 10000));
  CHECK(world.speaker.heard == names(1, 200));
  CHECK(world.node.counters().underruns == 0);
  CHECK(world.node.counters().speaker_starved == 0);
  CHECK(world.node.counters().replies_heard == 1);

  const std::vector<Published> reports = world.control();
  REQUIRE(reports.size() >= 4);
  CHECK(reports.size() <= 6);
  int last = -1;
  for (size_t i = 0; i < reports.size(); ++i) {
    const Json report = control_of(world, i);
    CHECK(report["type"] == "played");
    CHECK(report["turn"] == 1);
    CHECK(report["seq"].get<int>() > last);
    last = report["seq"];
    CHECK(report.contains("end") == (i + 1 == reports.size()));
    if (i > 0 && i + 1 < reports.size()) CHECK(reports[i].at - reports[i - 1].at >= 1000);
  }
  CHECK(control_of(world, reports.size() - 1) == Json::parse(R"({"type":"played","turn":1,"seq":19,"end":true})"));

  CHECK(world.ask() == 2);
}

TEST_CASE("node: never says more than was heard") {
  World world;
  world.begin_linked();
  // Of a reply before it, which was interrupted, nothing counts.
  world.send(reply(world.ask(), 60, 1));
  world.run(500);
  const uint16_t turn = world.ask();
  const std::vector<Bytes> chunks = reply(turn, 30, 4);
  const size_t heard_before = world.speaker.heard.size();
  size_t seen = world.control().size();
  for (size_t i = 0; i < chunks.size() + 60; ++i) {
    if (i < chunks.size()) world.send(chunks[i]);
    for (int step = 0; step < 16; ++step) {
      world.run(5);
      for (; seen < world.control().size(); ++seen) {
        const size_t chunk = control_of(world, seen)["seq"].get<size_t>();
        REQUIRE((chunk + 1) * 4 <= world.speaker.heard.size() - heard_before);
      }
    }
  }
  CHECK(seen >= 3);
  CHECK(control_of(world, seen - 1)["end"] == true);
}

TEST_CASE("node: what was heard of a reply is told also when it is as much as of the one before") {
  World world;
  world.begin_linked();
  world.send(reply(world.ask(), 2));
  REQUIRE(world.run_until(State::Idle, 2000));
  const uint16_t turn = world.ask();
  const std::vector<Bytes> chunks = reply(turn, 3);
  world.send(chunks[0]);
  world.send(chunks[1]);
  world.run(2000);
  CHECK(Json::parse(world.control().back().text()) == Json({{"type", "played"}, {"turn", turn}, {"seq", 1}}));
}

TEST_CASE("node: the rest of the utterance leaves in the call that says the button was released") {
  World world;
  world.begin_linked();
  world.press();
  world.run(950);
  const size_t before = world.link.published.size();
  world.release();
  REQUIRE(world.link.published.size() > before);
  CHECK(frame_of(world.link.published.back().payload).has(flag::end));
}

TEST_CASE("node: what the microphone gave up to the release is sent, also what no tick has read") {
  World world;
  NodeOptions options = world.options();
  options.codec = Codec::Pcm;
  world.begin(options);
  world.link_up();
  world.microphone.sound = [](uint64_t position) { return static_cast<int16_t>(position); };
  world.press();
  const uint64_t first = world.microphone.position();
  world.run(600);
  world.microphone.advance(100);  // the loop is elsewhere
  world.release();
  std::vector<int16_t> sent;
  for (const Published& each : world.audio()) {
    const Frame frame = frame_of(each.payload);
    CHECK(frame.codec == Codec::Pcm);
    for (size_t i = 0; i + 1 < frame.audio_size; i += 2) {
      sent.push_back(static_cast<int16_t>(frame.audio[i] | frame.audio[i + 1] << 8));
    }
  }
  REQUIRE(sent.size() == 700 * 16);
  for (size_t i = 0; i < sent.size(); ++i) REQUIRE(sent[i] == static_cast<int16_t>(first + i));
}

TEST_CASE("node: a press released at once says nothing") {
  World world;
  world.begin_linked();
  for (int i = 0; i < 5; ++i) {
    world.press();
    world.run(config::shortest_press_ms - 20);
    world.release();
    CHECK(world.node.state() == State::Idle);
  }
  CHECK(world.audio().empty());
  CHECK(world.control().empty());
  CHECK(world.node.counters().short_presses == 5);
  CHECK(world.node.counters().tones == 0);
}

TEST_CASE("node: a second press without a release is none") {
  World world;
  world.begin_linked();
  world.press();
  world.run(600);
  world.press();
  CHECK(world.node.state() == State::Listening);
  world.send(reply(world.last_turn(), 4));
  world.run(100);
  world.press();
  CHECK(world.node.state() == State::Speaking);
  CHECK(world.node.counters().utterances == 1);
}

TEST_CASE("node: a tone that still sounds is not recorded") {
  World world;
  world.begin_linked();
  world.done(world.ask(), "failed");
  REQUIRE(world.run_until(State::Idle, 1000));
  world.run(20);
  REQUIRE(world.speaker.queued() > 0);
  world.press();
  CHECK(world.speaker.queued() == 0);
}

TEST_CASE("node: a button without a link is answered by the error tone, and the move is refused by name") {
  World world;
  world.begin();
  world.press();
  CHECK(world.node.indication() == Indication::Failed);
  CHECK(world.node.counters().refused(State::Offline, Move::Listen) == 1);
  CHECK(failed_audibly(world));
  world.release();
  world.run(config::failed_ms);
  CHECK(world.node.indication() == Indication::Offline);
}

TEST_CASE("node: a microphone that refuses is answered by the error tone") {
  World world;
  world.begin_linked();
  world.microphone.broken = true;
  world.press();
  CHECK(world.node.state() == State::Idle);
  CHECK(world.node.counters().microphone_failed == 1);
  CHECK(failed_audibly(world));
  world.release();
  world.microphone.broken = false;
  CHECK(world.ask() != 0);
}

TEST_CASE("node: the longest utterance ends by itself") {
  World world;
  world.begin_linked();
  world.press();
  world.run(config::longest_utterance_ms - 10);
  CHECK(world.node.state() == State::Listening);
  world.run(20);
  CHECK(world.node.state() == State::Waiting);
  CHECK(frame_of(world.audio().back().payload).has(flag::end));
  world.release();
  CHECK(world.node.state() == State::Waiting);
}

// --- Interrupting

TEST_CASE("node: a short press stops a reply, tells how far it was heard, and asks nothing") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.send(reply(turn, 8));
  world.run(800);
  const size_t heard = world.speaker.heard.size();
  REQUIRE(heard > 20);
  world.press();
  CHECK(world.speaker.queued() == 0);
  CHECK(world.cancelled(turn));
  const Json report = control_of(world, 0);
  CHECK(report["seq"].get<size_t>() == heard / 10 - 1);
  CHECK_FALSE(report.contains("end"));
  world.run(50);
  world.release();
  CHECK(world.node.state() == State::Idle);
  world.send(reply_frame(turn, 8, 0, mp3::frames(turn, 80, 20)));
  world.run(2000);
  CHECK(world.speaker.heard.size() == heard);
  CHECK(world.node.counters().frames_stale == 1);
  CHECK(world.node.counters().replies_aborted == 1);
}

TEST_CASE("node: a held press interrupts a reply with the next question") {
  World world;
  world.begin_linked();
  const uint16_t first = world.ask();
  world.send(reply(first, 8));
  world.run(500);
  const uint16_t second = world.ask();
  CHECK(second == first + 1);
  CHECK(world.cancelled(first));
  CHECK_FALSE(world.cancelled(second));
  const size_t before = world.speaker.heard.size();
  world.send(reply_frame(first, 8, 0, mp3::frames(first, 80, 20)));  // still under way
  world.send(reply(second, 2));
  REQUIRE(world.run_until(State::Idle, 3000));
  REQUIRE(world.speaker.heard.size() == before + 20);
  CHECK(world.speaker.heard[before] == mp3::Name{second, 0});
}

TEST_CASE("node: a press while waiting takes the question back") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.press();
  world.run(20);
  world.release();
  CHECK(world.node.state() == State::Idle);
  CHECK(world.cancelled(turn));
  world.send(reply(turn, 2));
  world.run(1000);
  CHECK(world.speaker.heard.empty());
}

TEST_CASE("node: a press stops an announcement by `abort`, since its number is not the device's") {
  World world;
  world.begin_linked();
  world.send(reply(0x8005, 8));
  world.run(500);
  CHECK(world.node.state() == State::Speaking);
  world.press();
  world.run(20);
  world.release();
  CHECK(world.control().back().text() == R"({"type":"abort"})");
  CHECK(world.audio().empty());
}

TEST_CASE("node: the gateway's CANCEL is silence at once, whenever it comes") {
  SUBCASE("while waiting") {
    World world;
    world.begin_linked();
    const uint16_t turn = world.ask();
    world.send(reply_frame(turn, 0, flag::cancel, {}));
    CHECK(world.node.state() == State::Idle);
  }
  SUBCASE("while recording") {
    World world;
    world.begin_linked();
    world.press();
    world.run(600);
    world.send(reply_frame(world.last_turn(), 0, flag::cancel, {}));
    CHECK(world.node.state() == State::Idle);
    CHECK_FALSE(world.microphone.on);
    world.release();
    CHECK(world.node.state() == State::Idle);
  }
  SUBCASE("while the reply comes") {
    World world;
    world.begin_linked();
    const uint16_t turn = world.ask();
    world.send(reply_frame(turn, 0, flag::start, mp3::frames(turn, 0, 40)));
    world.run(300);
    world.send(reply_frame(turn, 1, flag::cancel, {}));
    CHECK(world.node.state() == State::Idle);
    CHECK(world.speaker.queued() == 0);
  }
  SUBCASE("after END, while what is held still plays") {
    World world;
    world.begin_linked();
    const uint16_t turn = world.ask();
    world.send(reply(turn, 6));
    world.run(400);
    world.send(reply_frame(turn, 6, flag::cancel, {}));
    CHECK(world.node.state() == State::Idle);
    const size_t heard = world.speaker.heard.size();
    world.run(2000);
    CHECK(world.speaker.heard.size() == heard);
    CHECK(world.node.counters().replies_cancelled == 1);
    CHECK(world.node.counters().tones == 0);
  }
  SUBCASE("of another turn: nothing") {
    World world;
    world.begin_linked();
    const uint16_t turn = world.ask();
    world.send(reply(turn, 2));
    world.send(reply_frame(static_cast<uint16_t>(turn - 1 + 0x7FFF), 0, flag::cancel, {}));
    world.send(reply_frame(0x8000, 0, flag::cancel, {}));
    REQUIRE(world.run_until(State::Idle, 3000));
    CHECK(world.speaker.heard == names(turn, 20));
  }
}

// --- Announcements

TEST_CASE("node: an announcement is played when idle, and takes the place of what plays") {
  World world;
  world.begin_linked();
  world.send(reply(0xFFFF, 8));
  world.run(400);
  CHECK(world.node.state() == State::Speaking);
  world.send(reply(0x8000, 2));
  REQUIRE(world.run_until(State::Idle, 3000));
  CHECK(world.speaker.heard.back() == mp3::Name{0x8000, 19});
  CHECK(world.node.counters().announcements == 2);
  // Of the one that was replaced nothing comes back.
  world.send(reply_frame(0xFFFF, 8, 0, mp3::frames(0xFFFF, 80, 20)));
  world.send(reply(0xFFFF, 2));
  world.run(1000);
  CHECK(world.node.state() == State::Idle);
  CHECK(world.speaker.heard.back() == mp3::Name{0x8000, 19});
}

TEST_CASE("node: an announcement neither disturbs a question nor is taken for its answer") {
  World world;
  world.begin_linked();
  world.press();
  world.run(600);
  world.send(reply(0x8001, 2));
  CHECK(world.node.state() == State::Listening);
  world.release();
  world.send(reply(0x8002, 2));
  CHECK(world.node.state() == State::Waiting);
  world.send(reply(world.last_turn(), 2));
  REQUIRE(world.run_until(State::Idle, 3000));
  CHECK(world.speaker.heard == names(world.last_turn(), 20));
}

TEST_CASE("node: an announcement is as loud as the gateway says that it starts, and nothing else is") {
  World world;
  world.begin_linked();
  const auto loudest_of = [&world](uint16_t turn) {
    world.speaker.loudest = 0;
    world.send(reply(turn, 2));
    REQUIRE(world.run_until(State::Idle, 3000));
    return world.speaker.loudest;
  };
  world.announced(0x8001, R"("status":"queued","volume":10)");
  world.announced(0x8001, R"("status":"started","volume":50)");
  CHECK(loudest_of(0x8001) == mp3::marker / 2);
  CHECK(loudest_of(0x8002) == mp3::marker);
  CHECK(loudest_of(world.ask()) == mp3::marker);
  // One that was announced and never came.
  world.announced(0x8003, R"("status":"started","volume":10)");
  world.announced(0x8004, R"("status":"started")");
  CHECK(loudest_of(0x8004) == mp3::marker);
  CHECK(loudest_of(0x8005) == mp3::marker);
  CHECK(world.node.counters().events_bad == 0);
}

TEST_CASE("node: what is urgent is heard when the gateway has cut off what was being asked") {
  for (const bool still_held : {true, false}) {
    World world;
    world.begin_linked();
    world.press();
    world.run(600);
    if (!still_held) world.release();
    const uint16_t turn = world.last_turn();
    world.send(reply_frame(turn, 0, flag::cancel, {}));
    CHECK(world.node.state() == State::Idle);
    CHECK_FALSE(world.microphone.on);
    world.announced(0x8001, R"("status":"started","priority":"urgent","volume":100)");
    world.send(reply(0x8001, 2));
    CHECK(world.node.state() == State::Speaking);
    world.done(turn, "interrupted");
    REQUIRE(world.run_until(State::Idle, 3000));
    CHECK(world.speaker.heard == names(0x8001, 20));
    CHECK(world.node.counters().tones == 0);
    if (still_held) world.release();
    CHECK(world.ask() == turn + 1);
  }
}

// --- Replies that go wrong

TEST_CASE("node: no reply at all ends with the error tone, and the late one is not played") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.run(config::reply_timeout_ms - 10);
  CHECK(world.node.state() == State::Waiting);
  world.run(20);
  CHECK(world.node.state() == State::Idle);
  CHECK(world.node.indication() == Indication::Failed);
  CHECK(world.cancelled(turn));
  CHECK(failed_audibly(world));
  world.send(reply(turn, 2));
  world.run(1000);
  CHECK(world.speaker.heard.empty());
  CHECK(world.node.counters().replies_missing == 1);
}

TEST_CASE("node: a reply that stops coming is played as far as it came, and ends with the error tone") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  const std::vector<Bytes> chunks = reply(turn, 6);
  for (size_t i = 0; i < 3; ++i) world.send(chunks[i]);
  REQUIRE(world.run_until(State::Idle, 3 * chunk_ms + config::reply_gap_timeout_ms + 500));
  CHECK(world.speaker.heard == names(turn, 30));
  CHECK(world.node.counters().replies_stalled == 1);
  CHECK(world.cancelled(turn));
  CHECK(failed_audibly(world));
  CHECK(world.ask() == turn + 1);
}

TEST_CASE("node: a reply that pauses for less than the limit goes on") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  const std::vector<Bytes> chunks = reply(turn, 6);
  for (size_t i = 0; i < 3; ++i) world.send(chunks[i]);
  world.run(3 * chunk_ms + config::reply_gap_timeout_ms - 500);
  for (size_t i = 3; i < 6; ++i) world.send(chunks[i]);
  REQUIRE(world.run_until(State::Idle, 3000));
  CHECK(world.speaker.heard == names(turn, 60));
  CHECK(world.node.counters().underruns == 1);
  CHECK(world.node.counters().tones == 0);
}

TEST_CASE("node: a speaker that stops taking anything does not keep the device speaking") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.send(reply(turn, 6));
  world.run(300);
  world.speaker.stuck = true;
  CHECK(world.run_until(State::Idle, config::reply_gap_timeout_ms + 100));
}

TEST_CASE("node: a reply longer than RAM is played whole when it is paced") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  // 96 s: 384 kB of a buffer of 16 kB.
  world.send_paced(reply(turn, 400), chunk_ms);
  REQUIRE(world.run_until(State::Idle, 5000));
  CHECK(world.speaker.heard == names(turn, 4000));
  CHECK(world.node.counters().frames_overflowed == 0);
  CHECK(world.node.counters().underruns == 0);
}

TEST_CASE("node: a gateway that does not pace is survived: the beginning is heard, then the error tone") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.send(reply(turn, 400));
  REQUIRE(world.run_until(State::Idle, 10000));
  CHECK(world.node.counters().frames_overflowed > 300);
  REQUIRE(world.speaker.heard.size() >= config::playback_bytes / 960 * 10);
  CHECK(world.speaker.heard[100] == mp3::Name{turn, 100});
  CHECK(world.node.counters().replies_stalled == 1);
  CHECK(failed_audibly(world));
  CHECK(world.ask() == turn + 1);
}

TEST_CASE("node: a reply that comes all at once is heard whole when no more is received than there is room for") {
  World world;
  world.begin_linked();
  CHECK(world.node.has_room());
  const uint16_t turn = world.ask();
  unsigned waits = 0;
  for (const Bytes& chunk : reply(turn, 100)) {
    for (; !world.node.has_room(); ++waits) world.run(World::step_ms);
    world.send(chunk);
  }
  CHECK(waits > 0);
  REQUIRE(world.run_until(State::Idle, 100 * chunk_ms));
  CHECK(world.speaker.heard == names(turn, 1000));
  CHECK(world.node.counters().frames_overflowed == 0);
  CHECK(world.node.counters().underruns == 0);
  CHECK(world.node.has_room());
}

TEST_CASE("node: who stops a reply that came all at once has room again, and so has one whose speaker is stuck") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.send(reply(turn, 40));
  CHECK_FALSE(world.node.has_room());
  world.press();
  CHECK(world.node.has_room());
  world.release();

  world.speaker.stuck = true;
  world.send(reply(world.ask(), 40));
  CHECK_FALSE(world.node.has_room());
  world.run(config::reply_gap_timeout_ms + 100);
  CHECK(world.node.has_room());
}

TEST_CASE("node: a reply of which nothing can be decoded is answered by the error tone") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.send(reply_frame(turn, 0, flag::start | flag::end, Bytes(3000, 0x22)));
  REQUIRE(world.run_until(State::Idle, 1000));
  CHECK(world.node.counters().undecodable_bytes == 3000);
  CHECK(failed_audibly(world));
}

TEST_CASE("node: a reply of which only the end came is no silence: it is answered by the error tone") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.link_down();
  world.run(200);
  world.link_up();
  world.send(reply_frame(turn, 2, flag::end, {}));
  world.done(turn, "completed", 2);
  REQUIRE(world.run_until(State::Idle, 1000));
  CHECK(world.node.counters().replies_heard == 0);
  CHECK(world.node.counters().replies_stalled == 1);
  CHECK(world.control().empty());
  CHECK(failed_audibly(world));
}

TEST_CASE("node: a reply whose last audio was lost breaks off with the error tone, whether END or `done` tells of it") {
  enum class Told { ByEnd, ByDone };
  for (const Told told : {Told::ByEnd, Told::ByDone}) {
    CAPTURE(static_cast<int>(told));
    World world;
    world.begin_linked();
    const uint16_t turn = world.ask();
    const std::vector<Bytes> chunks = reply(turn, 4);
    for (size_t i = 0; i < 3; ++i) world.send(chunks[i]);
    if (told == Told::ByEnd) world.send(reply_frame(turn, 4, flag::end, {}));
    world.done(turn, "completed", 4);
    REQUIRE(world.run_until(State::Idle, 3 * chunk_ms + 500));
    CHECK(world.speaker.heard == names(turn, 30));
    CHECK(world.node.counters().frames_lost == 1);
    CHECK(world.node.counters().replies_heard == 0);
    CHECK(world.node.counters().replies_stalled == 1);
    CHECK_FALSE(control_of(world, world.control().size() - 1).contains("end"));
    CHECK(failed_audibly(world));
  }
}

TEST_CASE("node: a reply with a hole is heard to its end, without a tone") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  const std::vector<Bytes> chunks = reply(turn, 6);
  for (const size_t i : {0, 1, 3, 4, 5}) world.send(chunks[i]);
  world.done(turn, "completed", 6);
  REQUIRE(world.run_until(State::Idle, 5 * chunk_ms + 800));
  CHECK(world.speaker.heard.size() == 50);
  CHECK(world.node.counters().replies_heard == 1);
  CHECK(world.node.counters().tones == 0);
}

TEST_CASE("node: a reply that was stopped on purpose, its end lost, ends without a tone") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.send(reply_frame(turn, 0, flag::start, mp3::frames(turn, 0, 10)));
  world.done(turn, "interrupted", 3);
  REQUIRE(world.run_until(State::Idle, chunk_ms + 500));
  CHECK(world.node.counters().tones == 0);
}

TEST_CASE("node: an utterance in which nobody spoke ends without a sound") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.send(reply_frame(turn, 0, flag::start | flag::end, {}));
  world.done(turn, "silent");
  world.run(1000);
  CHECK(world.node.state() == State::Idle);
  CHECK(world.node.counters().tones == 0);
  CHECK(world.control().empty());
}

TEST_CASE("node: a lost END is made up for by `done`") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  std::vector<Bytes> chunks = reply(turn, 4);
  chunks.pop_back();
  world.send(chunks);
  world.done(turn, "completed", 3);
  REQUIRE(world.run_until(State::Idle, 3 * chunk_ms + 500));
  CHECK(world.speaker.heard == names(turn, 30));
  CHECK(world.node.counters().tones == 0);
  CHECK(control_of(world, world.control().size() - 1)["end"] == true);
}

TEST_CASE("node: a lost START does not lose the reply") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  const std::vector<Bytes> chunks = reply(turn, 4);
  for (size_t i = 1; i < 4; ++i) world.send(chunks[i]);
  REQUIRE(world.run_until(State::Idle, 3000));
  CHECK(world.speaker.heard.size() == 30);
  CHECK(world.node.counters().frames_lost == 1);
}

TEST_CASE("node: `done` without a reply ends the waiting") {
  struct Case {
    const char* outcome;
    bool audible;
  };
  for (const Case& each :
       {Case{"interrupted", false}, Case{"silent", false}, Case{"failed", true}, Case{"completed", true}}) {
    CAPTURE(each.outcome);
    World world;
    world.begin_linked();
    const uint16_t turn = world.ask();
    world.done(static_cast<uint16_t>(turn + 1), each.outcome);
    world.run(1000);
    CHECK(world.node.state() == State::Waiting);
    world.done(turn, each.outcome);
    world.run(300);
    CHECK(world.node.state() == State::Idle);
    world.run(1000);
    CHECK((world.node.counters().tones == 1) == each.audible);
  }
}

TEST_CASE("node: an utterance that the gateway has ended is recorded no further, and its answer is heard") {
  World world;
  world.begin_linked();
  world.press();
  world.run(800);
  const uint16_t turn = world.last_turn();
  world.send(reply(turn, 2));
  CHECK(world.node.state() == State::Speaking);
  CHECK_FALSE(world.microphone.on);
  const size_t sent = world.audio().size();
  REQUIRE(world.run_until(State::Idle, 3000));
  world.release();
  CHECK(world.audio().size() == sent);
  CHECK(world.speaker.heard == names(turn, 20));
  CHECK(world.node.state() == State::Idle);
}

TEST_CASE("node: an answer from before a restart is not taken for the answer to a question that nobody has heard yet") {
  World world;
  world.begin_linked();
  world.press();
  world.run(50);
  world.send(reply(1, 4));
  CHECK(world.node.state() == State::Listening);
  world.link.refuses = true;
  world.run(500);
  world.send(reply(1, 4));
  CHECK(world.node.state() == State::Listening);
  world.link.refuses = false;
  world.run(50);
  world.release();
  CHECK(world.node.state() == State::Waiting);
  CHECK(world.speaker.heard.empty());
}

// --- The link

TEST_CASE("node: a short loss of the link within an utterance costs nothing") {
  World world;
  NodeOptions options = world.options();
  options.codec = Codec::Adpcm;
  world.begin(options);
  world.link_up();
  world.press();
  world.run(600);
  world.link_down();
  CHECK(world.node.state() == State::Listening);
  world.run(700);
  world.link_up();
  world.run(400);
  world.release();
  uint16_t seq = 0;
  for (const Published& each : world.audio()) CHECK(frame_of(each.payload).seq == seq++);
  CHECK(seq == (600 + 700 + 400) / 128 + 1);
  CHECK(world.node.state() == State::Waiting);
  CHECK(world.node.counters().frames_dropped == 0);
}

TEST_CASE("node: an utterance whose link does not come back is given up audibly, taken back later, and not answered") {
  World world;
  world.begin_linked();
  world.press();
  world.run(600);
  const uint16_t turn = world.last_turn();
  const size_t sent = world.audio().size();
  world.link_down();
  world.run(config::link_grace_ms + 50);
  CHECK(world.node.state() == State::Offline);
  CHECK(world.node.counters().utterances_lost == 1);
  CHECK(failed_audibly(world));
  world.release();
  world.link_up();
  REQUIRE(world.audio().size() == sent + 1);
  CHECK(world.cancelled(turn));
  // Who is there is said before what is taken back.
  CHECK(world.link.published.back().topic == world.node.topics().in());
  world.send(reply(turn, 3));
  world.run(1000);
  CHECK(world.speaker.heard.empty());
  CHECK(world.node.state() == State::Idle);
  CHECK(world.ask() == turn + 1);
}

TEST_CASE("node: what the gateway has never heard of is not taken back") {
  World world;
  world.begin_linked();
  world.send(reply(world.ask(), 1));
  REQUIRE(world.run_until(State::Idle, 2000));
  const size_t sent = world.audio().size();
  world.press();
  world.link_down();
  world.run(config::link_grace_ms + 100);
  CHECK(world.node.state() == State::Offline);
  world.release();
  world.link_up();
  world.run(100);
  CHECK(world.audio().size() == sent);
}

TEST_CASE("node: a question of which nothing could be sent is not taken back, neither given up nor pressed away") {
  for (const bool pressed : {false, true}) {
    CAPTURE(pressed);
    World world;
    world.begin_linked();
    world.link.refuses = true;
    world.press();
    world.run(600);
    world.release();
    REQUIRE(world.node.state() == State::Waiting);
    if (pressed) {
      world.press();
      world.run(100);
      world.release();
    } else {
      world.run(config::link_grace_ms);
    }
    REQUIRE(world.node.state() == State::Idle);
    world.link.refuses = false;
    world.run(100);
    CHECK(world.audio().empty());
  }
}

TEST_CASE("node: a link lost just before the release still gets the end, or the turn is given up") {
  for (const bool comes_back : {true, false}) {
    World world;
    world.begin_linked();
    world.press();
    world.run(600);
    world.link_down();
    world.run(100);
    world.release();
    CHECK(world.node.state() == State::Waiting);
    world.run(400);
    if (comes_back) world.link_up();
    world.run(1000);
    if (comes_back) {
      CHECK(world.node.state() == State::Waiting);
      CHECK(frame_of(world.audio().back().payload).has(flag::end));
    } else {
      CHECK(world.node.state() == State::Offline);
      CHECK(world.node.counters().tones == 1);
    }
  }
}

TEST_CASE("node: a link that says it is up and takes nothing gives the utterance up as well") {
  World world;
  world.begin_linked();
  world.press();
  world.run(600);
  world.link.refuses = true;
  world.run(config::link_grace_ms + 100);
  CHECK(world.node.state() == State::Idle);
  CHECK(world.node.counters().utterances_lost == 1);
  world.link.refuses = false;
  world.run(50);
  CHECK(world.cancelled(world.last_turn()));
}

TEST_CASE("node: a link lost within a reply: what is there is played, what comes afterwards goes on") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  const std::vector<Bytes> chunks = reply(turn, 10);
  for (size_t i = 0; i < 4; ++i) world.send(chunks[i]);
  world.run(200);
  world.link_down();
  world.run(4 * chunk_ms + 1000);
  CHECK(world.speaker.heard.size() == 40);
  CHECK(world.node.state() == State::Speaking);
  CHECK(world.node.quiet());
  world.link_up();
  for (size_t i = 7; i < 10; ++i) world.send(chunks[i]);
  REQUIRE(world.run_until(State::Idle, 3000));
  CHECK(world.speaker.heard.size() == 70);
  CHECK(world.node.counters().frames_lost == 3);
  CHECK(world.node.counters().tones == 0);
}

TEST_CASE("node: a link lost within a reply for too long ends it audibly") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.send(reply_frame(turn, 0, flag::start, mp3::frames(turn, 0, 40)));
  world.run(200);
  world.link_down();
  REQUIRE(world.run_until(State::Offline, 40 * mp3::frame_ms + config::link_away_timeout_ms + 500));
  CHECK(world.speaker.heard.size() == 40);
  CHECK(failed_audibly(world));
  world.link_up();
  CHECK(world.cancelled(turn));
  world.send(reply_frame(turn, 1, 0, mp3::frames(turn, 40, 40)));
  world.run(2000);
  CHECK(world.speaker.heard.size() == 40);
}

TEST_CASE("node: a whole reply plays to its end without a link, and the device is offline then") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.send(reply(turn, 6));
  world.run(200);
  world.link_down();
  REQUIRE(world.run_until(State::Offline, 3000));
  CHECK(world.speaker.heard == names(turn, 60));
  CHECK(world.node.counters().tones == 0);
}

TEST_CASE("node: a link lost while waiting: the reply that comes after a short loss is heard; a long one is told") {
  for (const bool comes_back : {true, false}) {
    World world;
    world.begin_linked();
    const uint16_t turn = world.ask();
    world.link_down();
    world.run(2000);
    CHECK(world.node.state() == State::Waiting);
    if (comes_back) {
      world.link_up();
      world.send(reply(turn, 2));
      REQUIRE(world.run_until(State::Idle, 3000));
      CHECK(world.speaker.heard == names(turn, 20));
    } else {
      // That it is still away changes nothing.
      for (int i = 0; i < 4; ++i) {
        world.node.link_down(world.now);
        world.run(config::link_away_timeout_ms / 5);
      }
      CHECK(world.node.state() == State::Offline);
      CHECK(failed_audibly(world));
      world.link_up();
      CHECK(world.cancelled(turn));
    }
  }
}

TEST_CASE("node: a link lost when a reply has long been dry still gets its time to come back") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  const std::vector<Bytes> chunks = reply(turn, 6);
  for (size_t i = 0; i < 3; ++i) world.send(chunks[i]);
  world.run(3 * chunk_ms + config::reply_gap_timeout_ms - config::link_away_timeout_ms - 500);
  world.link_down();
  world.run(config::link_away_timeout_ms - 500);
  REQUIRE(world.node.state() == State::Speaking);
  world.link_up();
  for (size_t i = 3; i < 6; ++i) world.send(chunks[i]);
  REQUIRE(world.run_until(State::Idle, 3000));
  CHECK(world.speaker.heard == names(turn, 60));
}

// --- What the gateway's state tells

TEST_CASE("node: a reply that was sent whole while the link was away is not waited for") {
  for (const std::string outcome : {"completed", "failed", "silent", "interrupted"}) {
    CAPTURE(outcome);
    World world;
    world.begin_linked();
    const uint16_t turn = world.ask();
    world.link_down();
    world.run(3000);
    world.link_up();
    world.state("idle", turn, outcome);
    REQUIRE(world.run_until(State::Idle, config::turn_over_ms + 300));
    const bool told = outcome == "completed" || outcome == "failed";
    CHECK(world.node.counters().replies_missing == (told ? 1 : 0));
    world.run(1500);
    CHECK(world.node.counters().tones == (told ? 1 : 0));
    CHECK((world.speaker.tone_samples > 0) == told);
    // It is over at the gateway as well.
    CHECK_FALSE(world.cancelled(turn));
    const uint16_t next = world.ask();
    world.send(reply(next, 2));
    REQUIRE(world.run_until(State::Idle, 3000));
    CHECK(world.speaker.heard == names(next, 20));
  }
}

TEST_CASE("node: a reply whose rest was sent while the link was away ends with what is there, and the error tone") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  const std::vector<Bytes> chunks = reply(turn, 10);
  for (size_t i = 0; i < 6; ++i) world.send(chunks[i]);
  world.run(300);
  world.link_down();
  world.run(200);
  world.link_up();
  world.state("idle", turn);
  REQUIRE(world.run_until(State::Idle, 6 * chunk_ms + 500));
  CHECK(world.speaker.heard == names(turn, 60));
  CHECK(world.node.counters().replies_heard == 0);
  CHECK(world.node.counters().replies_stalled == 1);
  CHECK_FALSE(world.cancelled(turn));
  const auto played = control_of(world, world.control().size() - 1);
  CHECK(played["type"] == "played");
  CHECK_FALSE(played.contains("end"));
  CHECK(failed_audibly(world));
}

TEST_CASE("node: a reply that was interrupted while the link was away ends with what is there") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.send(reply_frame(turn, 0, flag::start, mp3::frames(turn, 0, 40)));
  world.run(300);
  world.link_down();
  world.link_up();
  world.state("idle", turn, "interrupted");
  REQUIRE(world.run_until(State::Idle, 2000));
  CHECK(world.node.counters().replies_heard == 1);
  CHECK(world.node.counters().tones == 0);
}

TEST_CASE("node: a state that says idle before the last of the reply has come takes nothing away from it") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.state("idle", turn);
  world.run(config::turn_over_ms - 100);
  const std::vector<Bytes> chunks = reply(turn, 6);
  for (size_t i = 0; i < 3; ++i) world.send(chunks[i]);
  world.state("idle", turn);
  world.run(config::turn_over_ms - 100);
  world.send(chunks[3]);
  world.run(config::turn_over_ms + 500);
  for (size_t i = 4; i < 6; ++i) world.send(chunks[i]);
  REQUIRE(world.run_until(State::Idle, 3000));
  CHECK(world.speaker.heard == names(turn, 60));
  CHECK(world.node.counters().tones == 0);
}

TEST_CASE("node: what the state says before or beside the question tells nothing of it") {
  World world;
  world.begin_linked();
  const uint16_t first = world.ask();
  world.send(reply(first, 8));
  world.run(300);
  // Interrupted: the gateway says so while the next is being said.
  world.press();
  world.run(300);
  world.state("idle", first, "interrupted");
  world.run(config::turn_unknown_ms + 500);
  CHECK(world.node.state() == State::Listening);
  world.release();
  const uint16_t turn = world.last_turn();
  REQUIRE(turn == first + 1);
  world.run(config::turn_unknown_ms + 500);
  CHECK(world.node.state() == State::Waiting);
  // Also when it takes its time to say so.
  world.state("idle", first, "interrupted");
  world.run(config::turn_unknown_ms - 100);
  SUBCASE("another state") { world.state("listening", first, "interrupted"); }
  SUBCASE("an event of the turn") { world.event("{\"event\":\"listening\",\"turn\":" + std::to_string(turn) + "}"); }
  SUBCASE("its removal") { world.state(""); }
  SUBCASE("a loss of the link") {
    world.link_down();
    world.link_up();
  }
  world.run(config::turn_unknown_ms + 500);
  CHECK(world.node.state() == State::Waiting);
  world.send(reply(turn, 2));
  REQUIRE(world.run_until(State::Idle, 3000));
  CHECK(world.speaker.heard.back() == mp3::Name{turn, 19});
  CHECK(world.node.counters().tones == 0);
}

TEST_CASE("node: an event of another turn does not keep it waiting") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.state("idle", turn);
  world.run(500);
  world.event("{\"event\":\"error\",\"turn\":null,\"code\":\"bad_json\"}");
  world.event("{\"event\":\"listening\",\"turn\":32769}");
  CHECK(world.run_until(State::Idle, config::turn_over_ms - 500 + 300));
}

TEST_CASE("node: a gateway that restarts while it is awaited, and does not know of the question, is told apart soon") {
  for (const uint16_t last : std::initializer_list<uint16_t>{0, 77, 0x8001}) {
    CAPTURE(last);
    World world;
    world.begin_linked();
    const uint16_t turn = world.ask();
    world.state("thinking", last);
    world.run(2000);
    world.state("idle", last);
    world.run(config::turn_unknown_ms - 100);
    CHECK(world.node.state() == State::Waiting);
    REQUIRE(world.run_until(State::Idle, 500));
    CHECK(world.node.counters().replies_missing == 1);
    CHECK(world.cancelled(turn));
    CHECK(failed_audibly(world));
  }
}

TEST_CASE("node: a question that was lost with the link is told apart by the state at the reconnect") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.link_down();
  world.run(1000);
  world.link_up();
  world.state("idle", static_cast<uint16_t>(turn - 1));
  REQUIRE(world.run_until(State::Idle, config::turn_unknown_ms + 500));
  CHECK(failed_audibly(world));
}

TEST_CASE("node: a gateway that restarts within a reply: what came is heard, then the error tone, and no long wait") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.send(reply_frame(turn, 0, flag::start, mp3::frames(turn, 0, 40)));
  // Of this, less than what playing begins with.
  world.send(reply_frame(turn, 1, 0, mp3::frames(turn, 40, 5)));
  world.state("idle", 0);
  REQUIRE(world.run_until(State::Idle, config::turn_unknown_ms + 1000));
  CHECK(world.speaker.heard == names(turn, 45));
  CHECK(world.node.counters().replies_stalled == 1);
  CHECK(world.node.counters().replies_heard == 0);
  CHECK(world.cancelled(turn));
  CHECK(failed_audibly(world));
}

TEST_CASE("node: a reply that came whole is heard to its end, whatever the state says of others") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  std::vector<Bytes> chunks = reply(turn, 40);
  world.send(chunks[0]);
  chunks.erase(chunks.begin());
  world.state("idle", 0x8001);
  world.send_paced(chunks, chunk_ms);
  world.state("idle", 0x8001);
  REQUIRE(world.run_until(State::Idle, 12000));
  CHECK(world.speaker.heard == names(turn, 400));
  CHECK(world.node.counters().tones == 0);
}

TEST_CASE("node: what the state tells of a turn ends with it") {
  for (const bool known : {true, false}) {
    World world;
    world.begin_linked();
    const uint16_t first = world.ask();
    world.send(reply(first, 8));
    world.run(300);
    world.state("idle", known ? first : 0);
    world.run(300);
    const uint16_t next = world.ask(config::turn_unknown_ms + 500);
    CHECK(next == first + 1);
    CHECK(world.node.state() == State::Waiting);
    world.run(config::turn_unknown_ms + 500);
    CHECK(world.node.state() == State::Waiting);
    CHECK(world.node.counters().tones == 0);
  }
}

TEST_CASE("node: a reply that is cut off before a speaker that takes nothing ends all the same") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.send(reply_frame(turn, 0, flag::start, mp3::frames(turn, 0, 40)));
  world.run(300);
  world.speaker.stuck = true;
  world.state("idle", 0);
  CHECK(world.run_until(State::Idle, config::reply_gap_timeout_ms + 100));
}

TEST_CASE("node: an announcement's end is told by the state as well") {
  World world;
  world.begin_linked();
  world.state("speaking", 7);
  world.send(reply_frame(0x8001, 0, flag::start, mp3::frames(0x8001, 0, 20)));
  world.state("idle", 0x8001);
  REQUIRE(world.run_until(State::Idle, 2000));
  CHECK(world.speaker.heard == names(0x8001, 20));
  CHECK(failed_audibly(world));
}

TEST_CASE("node: an announcement that was sent before the last one ended is not taken for it") {
  World world;
  world.begin_linked();
  world.send(reply_frame(0x8001, 0, flag::start, mp3::frames(0x8001, 0, 20)));
  world.run(100);
  world.state("idle", 0x8001);
  world.run(900);
  world.send(reply_frame(0x8002, 0, flag::start, mp3::frames(0x8002, 0, 20)));
  world.run(config::turn_unknown_ms + 500);
  CHECK(world.node.state() == State::Speaking);
  world.send(reply_frame(0x8002, 1, flag::end, mp3::frames(0x8002, 20, 20)));
  REQUIRE(world.run_until(State::Idle, 2000));
  CHECK(world.speaker.heard.back() == mp3::Name{0x8002, 39});
}

TEST_CASE("node: a state that cannot be read is counted, and one that comes at rest changes nothing") {
  World world;
  world.begin_linked();
  world.state("idle");
  world.state("{\"state\":7}");
  CHECK(world.node.counters().events_bad == 2);
  world.state("");
  world.state("idle", 1);
  world.state("speaking", 1);
  world.run(config::turn_unknown_ms + 500);
  CHECK(world.node.counters().events_bad == 2);
  CHECK(world.node.state() == State::Idle);
  CHECK(world.node.counters().tones == 0);
}

TEST_CASE("node: an announcement that is stopped without a link stops nothing later") {
  World world;
  world.begin_linked();
  world.send(reply(0x8001, 8));
  world.run(300);
  world.link_down();
  world.press();
  CHECK(world.node.state() == State::Offline);
  CHECK(failed_audibly(world));
  world.release();
  world.link_up();
  world.run(100);
  CHECK(world.control().empty());
}

TEST_CASE("node: a stop that the link did not take is said again while the link lasts, and not after it") {
  for (const bool lasts : {true, false}) {
    World world;
    world.begin_linked();
    world.send(reply(0x8001, 8));
    world.run(300);
    world.link.refuses = true;
    world.press();
    world.run(20);
    world.release();
    CHECK(world.control().empty());
    if (!lasts) world.link_down();
    world.link_up();
    world.run(100);
    CHECK(world.control().size() == (lasts ? 1 : 0));
  }
}

TEST_CASE("node: a stop leaves before the next question, which it would stop") {
  World world;
  world.begin_linked();
  world.send(reply(0x8001, 8));
  world.run(300);
  world.link.refuses = true;
  world.press();
  world.run(400);
  world.link.refuses = false;
  world.release();
  REQUIRE(world.control().size() == 1);
  const size_t count = world.link.published.size();
  REQUIRE(world.audio().size() == 4);
  CHECK(world.link.published[count - 5].topic == world.node.topics().control());
}

TEST_CASE("node: a broker that restarts again and again leaves a device that works") {
  World world;
  world.begin_linked();
  for (int round = 0; round < 30; ++round) {
    const uint16_t turn = world.ask(400);
    REQUIRE(turn != 0);
    if (round % 3 == 0) world.link_down();
    world.run(50);
    world.link_down();
    world.link_down();
    world.run(100);
    world.link_up();
    world.link_up();
    world.send(reply(turn, 2));
    REQUIRE(world.run_until(State::Idle, 3000));
    CHECK(world.speaker.heard.back() == mp3::Name{turn, 19});
  }
  CHECK(world.node.counters().tones == 0);
}

TEST_CASE("node: a gateway that restarts within a reply: its end is missed audibly, the next turn is answered") {
  World world;
  world.begin_linked();
  const uint16_t turn = world.ask();
  world.send(reply_frame(turn, 0, flag::start, mp3::frames(turn, 0, 40)));
  REQUIRE(world.run_until(State::Idle, 40 * mp3::frame_ms + config::reply_gap_timeout_ms + 500));
  CHECK(failed_audibly(world));
  world.send(reply(0x8123, 2));  // its own numbers have gone on
  REQUIRE(world.run_until(State::Speaking, 100));
  REQUIRE(world.run_until(State::Idle, 3000));
  const uint16_t next = world.ask();
  world.send(reply(next, 2));
  REQUIRE(world.run_until(State::Idle, 3000));
  CHECK(world.speaker.heard.back() == mp3::Name{next, 19});
}

// --- Old sound

TEST_CASE("node: what the microphone heard before the press is not in the utterance") {
  World world;
  NodeOptions options = world.options();
  options.codec = Codec::Pcm;
  options.hands_free = true;  // so that the microphone is on
  world.begin(options);
  world.microphone.sound = hush;
  world.link_up();
  world.run(500);
  REQUIRE(world.microphone.on);
  world.microphone.sound = [](uint64_t) { return int16_t{111}; };
  world.microphone.advance(150);  // the loop connects
  world.microphone.sound = [](uint64_t) { return int16_t{222}; };
  world.press();
  world.run(600);
  world.release();
  REQUIRE_FALSE(world.audio().empty());
  for (const Published& each : world.audio()) {
    const Frame frame = frame_of(each.payload);
    for (size_t i = 0; i + 1 < frame.audio_size; i += 2) {
      REQUIRE((frame.audio[i] | frame.audio[i + 1] << 8) == 222);
    }
  }
}

TEST_CASE("node: hands-free, a loop that was away too long forgets what the microphone holds") {
  World world;
  NodeOptions options = world.options();
  options.hands_free = true;
  world.begin(options);
  world.link_up();
  world.run(100);
  const unsigned starts = world.microphone.starts;
  world.now += 1000;
  world.run(10);
  CHECK(world.microphone.starts == starts + 1);
  world.run(1000);
  CHECK(world.microphone.starts == starts + 1);
}

// --- Hands-free

namespace {

struct HandsFree : World {
  HandsFree() {
    NodeOptions made = options();
    made.codec = Codec::Pcm;
    made.hands_free = true;
    begin(made);
    microphone.sound = hush;
    link_up();
    run(2000);
  }
};

}  // namespace

TEST_CASE("node: hands-free, hello says with how much silence the board ends what is said") {
  HandsFree world;
  CHECK(Json::parse(world.link.published[1].text())["end_of_speech"] == config::endpoint_silence_ms);
}

TEST_CASE("node: hands-free, speech begins an utterance, with what came just before it, and silence ends it") {
  HandsFree world;
  CHECK(world.node.state() == State::Idle);
  CHECK(world.audio().empty());
  const uint64_t begun = world.microphone.position();
  world.microphone.sound = loud;
  REQUIRE(world.run_until(State::Listening, 500));
  world.run(1000);
  world.microphone.sound = hush;
  const uint64_t ended = world.microphone.position();
  REQUIRE(world.run_until(State::Waiting, config::endpoint_silence_ms + 500));
  const std::vector<Published> sent = world.audio();
  CHECK(frame_of(sent.front().payload).has(flag::start));
  CHECK(frame_of(sent.back().payload).has(flag::end));
  size_t quiet = 0;
  size_t spoken = 0;
  for (const Published& each : sent) {
    const Frame frame = frame_of(each.payload);
    for (size_t i = 0; i + 1 < frame.audio_size; i += 2) {
      const int16_t sample = static_cast<int16_t>(frame.audio[i] | frame.audio[i + 1] << 8);
      if (sample == 20 || sample == -20) {
        if (spoken == 0) ++quiet;
      } else {
        ++spoken;
      }
    }
  }
  // Nothing of what was said is missing, and a little of the silence before it is there.
  CHECK(spoken == ended - begun);
  CHECK(quiet > 0);
  CHECK(quiet <= config::pre_roll_samples + config::pcm_chunk_samples);
  CHECK_FALSE(world.microphone.on);
}

TEST_CASE("node: hands-free, it does not listen to itself: not while it speaks, nor while the tone sounds") {
  HandsFree world;
  world.microphone.sound = loud;
  REQUIRE(world.run_until(State::Listening, 500));
  world.run(500);
  world.microphone.sound = hush;
  REQUIRE(world.run_until(State::Waiting, 2000));
  const uint16_t turn = world.last_turn();
  world.microphone.sound = loud;  // its own voice
  world.send(reply(turn, 4));
  while (world.node.state() == State::Speaking) {
    CHECK_FALSE(world.microphone.on);
    world.run(5);
  }
  world.microphone.sound = hush;
  world.run(500);
  CHECK(world.microphone.on);
  CHECK(world.node.state() == State::Idle);
  const uint16_t next = world.ask();
  world.done(next, "failed");
  REQUIRE(world.run_until(State::Idle, 1000));
  REQUIRE(world.node.counters().tones == 1);
  const uint64_t before = world.speaker.tone_samples;
  for (int i = 0; i < 20; ++i) {
    world.run(5);
    CHECK_FALSE(world.microphone.on);
  }
  CHECK(world.speaker.tone_samples > before);
  world.run(2000);
  CHECK(world.microphone.on);
}

TEST_CASE("node: hands-free, the button still works, and holds an utterance open over a pause") {
  HandsFree world;
  world.press();
  world.microphone.sound = loud;
  world.run(600);
  world.microphone.sound = hush;
  world.run(config::endpoint_silence_ms + 1000);
  CHECK(world.node.state() == State::Listening);
  world.node.set_hands_free(false, world.now);
  CHECK(world.node.state() == State::Listening);
  world.release();
  CHECK(world.node.state() == State::Waiting);
}

TEST_CASE("node: hands-free, who goes on speaking after the gateway has stopped the turn is heard anew") {
  HandsFree world;
  world.microphone.sound = loud;
  REQUIRE(world.run_until(State::Listening, 500));
  world.run(500);
  const uint16_t turn = world.last_turn();
  world.send(reply_frame(turn, 0, flag::cancel, {}));
  CHECK(world.node.state() == State::Idle);
  REQUIRE(world.run_until(State::Listening, 1000));
  world.run(500);
  CHECK(world.last_turn() == turn + 1);
}

TEST_CASE("node: hands-free can be switched while it runs") {
  HandsFree world;
  world.node.set_hands_free(false, world.now);
  world.run(20);
  CHECK_FALSE(world.microphone.on);
  world.microphone.sound = loud;
  world.run(1000);
  CHECK(world.node.state() == State::Idle);
  world.node.set_hands_free(true, world.now);
  world.microphone.sound = hush;
  world.run(2000);
  world.microphone.sound = loud;
  REQUIRE(world.run_until(State::Listening, 500));
  world.run(300);
  world.node.set_hands_free(false, world.now);
  CHECK(world.node.state() == State::Waiting);
}

TEST_CASE("node: hands-free without a link the microphone is off, and a broken one is not tried in a circle") {
  HandsFree world;
  world.link_down();
  world.run(20);
  CHECK_FALSE(world.microphone.on);
  world.microphone.broken = true;
  world.link_up();
  world.run(10000);
  CHECK(world.node.counters().microphone_failed <= 10000 / config::failed_ms + 1);
  world.microphone.broken = false;
  world.run(config::failed_ms + 100);
  CHECK(world.microphone.on);
}

// --- Garbage and chance

TEST_CASE("node: garbage on its topics changes nothing but counters") {
  Random random(31);
  World world;
  world.begin_linked();
  const std::string whole =
      R"({"event":"done","turn":1,"session_id":"x","outcome":"completed","timings_ms":{"total":3}})";
  for (size_t cut = 0; cut < whole.size(); ++cut) world.event(whole.substr(0, cut));
  CHECK(world.node.counters().events_bad == whole.size());
  for (const char* text : {"", "null", "[]", "{}", "{\"event\":7}", "{\"event\":\"done\",\"turn\":\"one\"}",
                           "{\"event\":\"done\",\"turn\":-1}", "{\"event\":\"error\",\"turn\":99999999999}"}) {
    world.event(text);
  }
  const Bytes huge(200000, 0x7B);
  world.node.receive(world.node.topics().event(), huge.data(), huge.size(), world.now);
  world.node.receive(world.node.topics().out(), huge.data(), huge.size(), world.now);
  world.node.receive("voice/another/out", huge.data(), 10, world.now);
  world.node.receive("", nullptr, 0, world.now);
  world.node.receive(world.node.topics().out(), nullptr, 0, world.now);
  world.node.receive(world.node.topics().event(), nullptr, 0, world.now);
  for (int i = 0; i < 20000; ++i) {
    const Bytes made = random.bytes(random.below(60));
    const Topics& topics = world.node.topics();
    const char* const choice[] = {topics.out(), topics.event(), topics.state()};
    const char* topic = choice[random.below(3)];
    world.node.receive(topic, made.data(), made.size(), world.now);
  }
  world.run(1000);
  CHECK(world.node.state() == State::Idle);
  CHECK(world.speaker.heard_samples == 0);
  CHECK(world.node.counters().messages_misplaced == 2);
  const uint16_t turn = world.ask();
  world.send(Bytes{0xFF, 0xFB, 0x92, 0x00});  // bare MP3
  world.send(reply(turn, 2));
  world.event("}");
  REQUIRE(world.run_until(State::Idle, 3000));
  CHECK(world.speaker.heard == names(turn, 20));
}

namespace {

// Everything that can happen, in an order that depends on nothing but `seed`.
struct Story {
  explicit Story(uint32_t seed, uint32_t start) : random(seed), world(start) {
    NodeOptions options = world.options();
    options.hands_free = random.below(3) == 0;
    options.codec = random.below(2) == 0 ? Codec::Pcm : Codec::Adpcm;
    world.begin(options);
    world.microphone.sound = hush;
    world.speaker.on_begun = [this](const mp3::Name& heard) { listen(heard); };
  }

  // What is over is judged from outside only: by what the device has sent, and by its state.
  void listen(const mp3::Name& heard) {
    log.push_back("heard " + std::to_string(heard.turn) + "/" + std::to_string(heard.number));
    if (sounding != heard.turn) note_over(sounding);
    sounding = heard.turn;
    const bool stale = is_gateway_turn(heard.turn) ? over.count(heard.turn) != 0 && world.now - over[heard.turn] < 30000
                                                   : heard.turn != world.last_turn() || heard.turn <= own_over;
    if (stale) stale_sounds.push_back(heard);
  }
  void note_over(uint16_t turn) {
    if (is_gateway_turn(turn)) over[turn] = world.now;
  }
  void note() {
    const State state = world.node.state();
    const uint16_t turn = world.last_turn();
    if (state == State::Idle || state == State::Offline) own_over = turn;
    if (state == State::Listening && last_state != State::Listening) own_over = last_turn;
    if (state != State::Speaking) {
      note_over(sounding);
      sounding = 0;
    }
    if (state != last_state) log.push_back(name(state));
    last_state = state;
    last_turn = turn;
  }
  void run(uint32_t ms) {
    for (uint32_t passed = 0; passed < ms; passed += World::step_ms) {
      world.run(World::step_ms);
      note();
    }
  }

  void step() {
    switch (random.below(17)) {
      case 0:
        world.press();
        break;
      case 1:
        world.release();
        break;
      case 2:
        if (random.below(3) == 0) world.link_down();
        break;
      case 3:
      case 4:
        world.link_up();
        break;
      case 5:
        world.microphone.sound = random.below(2) == 0 ? loud : hush;
        break;
      case 6:
        world.link.refuses = random.below(4) == 0;
        break;
      case 7:
      case 8:
        answer(world.last_turn());
        break;
      case 9:
        answer(static_cast<uint16_t>(0x8000 + announcement++ % 7));
        break;
      case 10:
        answer(static_cast<uint16_t>(1 + random.below(20)));
        break;
      case 11:
        world.done(world.last_turn(), random.below(2) == 0 ? "completed" : "interrupted");
        break;
      case 12: {
        const Bytes made = random.bytes(random.below(50));
        world.send(made);
        world.event(std::string(made.begin(), made.end()));
        world.state(std::string(made.begin(), made.end()));
        break;
      }
      case 15: {
        const uint16_t last = random.below(2) == 0 ? world.last_turn() : static_cast<uint16_t>(random.below(20));
        world.state(random.below(3) == 0 ? "speaking" : "idle", last, random.below(2) == 0 ? "completed" : "silent");
        break;
      }
      case 13:
        world.now += random.below(2000);  // the loop is elsewhere
        break;
      case 14:
        if (random.below(20) == 0) world.node.set_hands_free(random.below(2) == 0, world.now);
        break;
      default:
        run(random.below(3000));
        break;
    }
    note();
    run(5 * random.below(60));
  }

  // Some frames of a reply, as a link that loses, repeats and reorders brings them.
  void answer(uint16_t turn) {
    if (turn == 0) return;
    const uint16_t first = static_cast<uint16_t>(random.below(3) == 0 ? random.below(12) : 0);
    std::vector<Bytes> frames;
    const uint16_t count = static_cast<uint16_t>(1 + random.below(6));
    for (uint16_t i = 0; i < count; ++i) {
      const uint16_t seq = static_cast<uint16_t>(first + i);
      uint8_t flags = seq == 0 ? flag::start : uint8_t{0};
      if (random.below(8) == 0) flags = static_cast<uint8_t>(flags | flag::end);
      if (random.below(30) == 0) flags = flag::cancel;
      const Bytes audio = random.below(10) == 0 ? random.bytes(100) : mp3::frames(turn, seq, 10);
      const uint32_t copies = random.below(10) == 0 ? 0 : random.below(10) == 0 ? 2 : 1;
      for (uint32_t copy = 0; copy < copies; ++copy) frames.push_back(reply_frame(turn, seq, flags, audio));
    }
    if (frames.size() > 1 && random.below(4) == 0) std::swap(frames[0], frames[1]);
    for (const Bytes& frame : frames) {
      const size_t published = world.link.published.size();
      world.send(frame);
      if (world.link.published.size() != published) published_on_receipt = true;
      note();
    }
  }

  Random random;
  World world;
  uint16_t announcement = 0;
  bool published_on_receipt = false;
  uint16_t sounding = 0;              // the turn heard last
  uint16_t own_over = 0;              // own turns up to this one are over
  std::map<uint16_t, uint32_t> over;  // turns of the gateway's, and since when
  State last_state = State::Offline;
  uint16_t last_turn = 0;
  std::vector<std::string> log;
  std::vector<mp3::Name> stale_sounds;
};

}  // namespace

TEST_CASE("node: whatever happens, no turn that is over is heard, and silence leads back to rest") {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    CAPTURE(seed);
    Story story(seed, 1000 + seed);
    for (int i = 0; i < 250; ++i) story.step();
    REQUIRE(story.stale_sounds.empty());
    // Nothing happens any more. Every wait there is has a limit; the longest is that for a reply.
    World& world = story.world;
    world.microphone.sound = hush;
    world.release();
    world.run(config::longest_utterance_ms + config::reply_timeout_ms + config::reply_gap_timeout_ms + 2000);
    REQUIRE((world.node.state() == State::Idle || world.node.state() == State::Offline));
    REQUIRE(world.speaker.queued() == 0);
    // And it works.
    world.link_down();
    world.link_up();
    world.speaker.on_begun = nullptr;
    const uint16_t turn = world.ask();
    REQUIRE(turn != 0);
    world.send(reply(turn, 2));
    REQUIRE(world.run_until(State::Idle, 3000));
    CHECK(world.speaker.heard.back() == mp3::Name{turn, 19});
    for (unsigned state = 0; state < state_count; ++state) {
      for (unsigned move = 0; move < move_count; ++move) {
        // The one refusal that a person can cause is the button without a link.
        const bool expected = static_cast<State>(state) == State::Offline && static_cast<Move>(move) == Move::Listen;
        if (!expected) CHECK(world.node.counters().refused_moves[state][move] == 0);
      }
    }
  }
}

TEST_CASE("node: the overflow of millis() changes nothing") {
  for (uint32_t seed = 100; seed < 110; ++seed) {
    CAPTURE(seed);
    Story ordinary(seed, 1000);
    Story overflowing(seed, 0xFFFFFFFFU - 5000);
    for (int i = 0; i < 150; ++i) {
      ordinary.step();
      overflowing.step();
    }
    REQUIRE(overflowing.world.now < 0x80000000U);
    REQUIRE(ordinary.log == overflowing.log);
    REQUIRE(ordinary.world.link.published.size() == overflowing.world.link.published.size());
  }
}

TEST_CASE("node: every time limit holds when millis() overflows within it") {
  // From the beginning to the end of what follows, in steps shorter than any limit.
  for (uint32_t before = 0; before < 74000; before += 450) {
    CAPTURE(before);
    World world(0U - before);
    world.begin_linked();
    const uint16_t turn = world.ask(500);
    const std::vector<Bytes> chunks = reply(turn, 10);
    for (size_t i = 0; i < 8; ++i) world.send(chunks[i]);
    world.run(8 * chunk_ms + config::reply_gap_timeout_ms - 200);
    REQUIRE(world.node.state() == State::Speaking);
    REQUIRE(world.control().size() == 2);
    world.run(600);
    REQUIRE(world.node.state() == State::Idle);
    REQUIRE(world.node.indication() == Indication::Failed);
    world.run(config::failed_ms);
    REQUIRE(world.node.indication() == Indication::Idle);
    REQUIRE_FALSE(world.speaker.queued() > 0);
    world.ask(500);
    world.run(config::reply_timeout_ms - 50);
    REQUIRE(world.node.state() == State::Waiting);
    world.run(100);
    REQUIRE(world.node.state() == State::Idle);
    world.press();
    world.run(500);
    world.link_down();
    world.run(config::link_grace_ms - 150);
    REQUIRE(world.node.state() == State::Listening);
    world.run(200);
    REQUIRE(world.node.state() == State::Offline);
    world.release();
    REQUIRE(world.node.counters().tones == 3);
  }
}

TEST_CASE(
    "node: a message never makes it publish: the client's buffer, where the message lies, is the one it would use") {
  for (uint32_t seed = 200; seed < 205; ++seed) {
    Story story(seed, 1000);
    for (int i = 0; i < 200; ++i) story.step();
    CHECK_FALSE(story.published_on_receipt);
  }
}

TEST_CASE("node: the whole device fits into its RAM budget, with room to spare") { CHECK(sizeof(Node) <= 56 * 1024); }
