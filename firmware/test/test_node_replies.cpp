#include "node_helpers.h"

using namespace voice;

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
