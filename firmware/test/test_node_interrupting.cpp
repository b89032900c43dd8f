#include "node_helpers.h"

using namespace voice;

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
