#include <map>

#include "node_helpers.h"
#include "random.h"

using namespace voice;

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
