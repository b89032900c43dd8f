#include "node_helpers.h"

using namespace voice;

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
