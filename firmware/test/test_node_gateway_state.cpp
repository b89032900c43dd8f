#include "node_helpers.h"

using namespace voice;

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
