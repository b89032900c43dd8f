#include "node_helpers.h"

using namespace voice;

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
