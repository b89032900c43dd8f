#include "node_helpers.h"

using namespace voice;

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
