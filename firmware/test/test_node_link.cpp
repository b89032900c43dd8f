#include "node_helpers.h"

using namespace voice;

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
