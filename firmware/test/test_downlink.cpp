#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "fakes.h"
#include "random.h"
#include "voice_core/downlink.h"

using namespace voice;

namespace {

struct Bench {
  Counters counters;
  ReplyBuffer buffer;
  Downlink downlink{buffer, counters};
  uint32_t now = 0;

  Received receive(const Bytes& payload, bool may_open = true) {
    return downlink.receive(payload.data(), payload.size(), may_open, now);
  }
  void pass(uint32_t ms) {
    for (uint32_t i = 0; i < ms; i += 10) {
      now += 10;
      downlink.tick(now);
    }
  }
  Bytes read() {
    Bytes made(buffer.size());
    buffer.read(made.data(), made.size());
    return made;
  }
};

Bytes joined(const std::vector<Bytes>& parts) {
  Bytes made;
  for (const Bytes& part : parts) made.insert(made.end(), part.begin(), part.end());
  return made;
}

}  // namespace

TEST_CASE("downlink: only the turn that is expected is taken") {
  Bench bench;
  CHECK(bench.receive(reply_frame(5, 0, flag::start, {1, 2})) == Received::Nothing);
  bench.downlink.expect(6);
  CHECK(bench.receive(reply_frame(5, 1, 0, {3})) == Received::Nothing);
  CHECK(bench.receive(reply_frame(7, 0, flag::start, {3})) == Received::Nothing);
  CHECK(bench.counters.frames_stale == 3);
  CHECK(bench.receive(reply_frame(6, 0, flag::start, {4, 5})) == Received::Audio);
  CHECK(bench.receive(reply_frame(6, 1, flag::end, {6})) == Received::Audio);
  CHECK(bench.downlink.ended());
  bench.receive(reply_frame(6, 2, 0, {7}));  // after its end
  CHECK(bench.read() == Bytes{4, 5, 6});
  bench.downlink.close(bench.now);
  CHECK(bench.receive(reply_frame(6, 2, 0, {7})) == Received::Nothing);
  CHECK(bench.read().empty());
}

TEST_CASE("downlink: an announcement opens when it may, takes the place of what is open, and is not opened again") {
  Bench bench;
  CHECK(bench.receive(reply_frame(0x9000, 0, flag::start, {1}), false) == Received::Nothing);
  CHECK(bench.receive(reply_frame(0x9000, 0, flag::start, {1})) == Received::Opened);
  CHECK(bench.receive(reply_frame(0x9000, 1, 0, {2})) == Received::Audio);
  // Any other number of the gateway's will do: after a restart it goes on, and with a new database it begins anew.
  CHECK(bench.receive(reply_frame(0x8000, 0, flag::start, {3})) == Received::Opened);
  CHECK(bench.downlink.turn() == 0x8000);
  CHECK(bench.read() == Bytes{3});
  CHECK(bench.receive(reply_frame(0x9000, 2, 0, {9})) == Received::Nothing);
  CHECK(bench.receive(reply_frame(0x9000, 0, flag::start, {9})) == Received::Nothing);
  bench.downlink.close(bench.now);
  CHECK(bench.receive(reply_frame(0x8000, 0, flag::start, {9})) == Received::Nothing);
  // A minute later the number may come again, from a gateway that began anew.
  bench.pass(70000);
  CHECK(bench.receive(reply_frame(0x8000, 0, flag::start, {4})) == Received::Opened);
}

TEST_CASE("downlink: an announcement whose START is overtaken or lost opens all the same; its middle does not") {
  Bench bench;
  CHECK(bench.receive(reply_frame(0x8100, 40, 0, {1})) == Received::Nothing);
  CHECK(bench.receive(reply_frame(0x8100, 1, 0, {2})) == Received::Opened);
  CHECK(bench.receive(reply_frame(0x8100, 0, flag::start, {1})) == Received::Audio);
  CHECK(bench.read() == Bytes{1, 2});
}

TEST_CASE("downlink: CANCEL of the open turn, and of no other, is told") {
  Bench bench;
  bench.downlink.expect(6);
  CHECK(bench.receive(reply_frame(5, 3, flag::cancel, {})) == Received::Nothing);
  CHECK(bench.receive(reply_frame(0x8001, 3, flag::cancel, {})) == Received::Nothing);
  CHECK(bench.receive(reply_frame(6, 3, flag::cancel, {})) == Received::Cancelled);
}

TEST_CASE("downlink: in any order within the window, repeated and with losses, the bytes are those in order") {
  Random random(11);
  for (int round = 0; round < 3000; ++round) {
    Bench bench;
    const bool own = random.below(2) == 0;
    const uint16_t turn = own ? uint16_t{77} : uint16_t{0x8077};
    if (own) bench.downlink.expect(turn);
    const size_t count = 2 + random.below(30);
    std::vector<Bytes> audio;
    std::vector<bool> lost(count, false);
    for (size_t i = 0; i < count; ++i) {
      audio.push_back(random.bytes(1 + random.below(400)));
      // The first of an announcement opens it.
      lost[i] = (own || i > 0) && random.below(8) == 0;
    }
    // Frame i may come after up to four later ones, and again among them.
    std::vector<std::pair<uint32_t, size_t>> arrivals;
    uint32_t duplicates = 0;
    for (size_t i = 0; i < count; ++i) {
      if (lost[i]) continue;
      const uint32_t at = static_cast<uint32_t>(i) * 100;
      arrivals.emplace_back(at + random.below(400), i);
      while (random.below(6) == 0) {
        arrivals.emplace_back(at + random.below(400), i);
        ++duplicates;
      }
    }
    std::sort(arrivals.begin(), arrivals.end());
    Bytes got;
    for (const auto& arrival : arrivals) {
      const size_t i = arrival.second;
      const unsigned flags = (i == 0 ? flag::start : 0U) | (i + 1 == count ? flag::end : 0U);
      bench.receive(reply_frame(turn, static_cast<uint16_t>(i), static_cast<uint8_t>(flags), audio[i]));
      if (random.below(3) == 0) {
        const Bytes some = bench.read();
        got.insert(got.end(), some.begin(), some.end());
      }
    }
    bench.downlink.done(0, bench.now);
    bench.pass(20 * config::reorder_wait_ms);
    const Bytes rest = bench.read();
    got.insert(got.end(), rest.begin(), rest.end());

    std::vector<Bytes> expected;
    uint32_t missing = 0;
    size_t last = 0;
    for (size_t i = 0; i < count; ++i) {
      if (!lost[i]) last = i;
    }
    for (size_t i = 0; i < count; ++i) {
      if (!lost[i]) expected.push_back(audio[i]);
      if (lost[i] && i < last) ++missing;  // of what comes after the last that arrived nobody knows
    }
    REQUIRE(got == joined(expected));
    REQUIRE((bench.downlink.ended() || arrivals.empty()));
    CHECK(bench.counters.frames_lost == missing);
    CHECK(bench.counters.frames_duplicate == duplicates);
    CHECK(bench.counters.frames_late == 0);
    CHECK(bench.counters.frames_overflowed == 0);
  }
}

TEST_CASE("downlink: whatever comes, the numbers that are taken only rise") {
  Random random(12);
  for (int round = 0; round < 300; ++round) {
    Bench bench;
    bench.downlink.expect(1);
    uint8_t last = 0;
    bool any = false;
    for (int i = 0; i < 200; ++i) {
      const uint8_t seq = static_cast<uint8_t>(random.below(120));
      bench.receive(reply_frame(1, seq, 0, Bytes(1, seq)));
      if (random.below(4) == 0) bench.pass(100);
      for (const uint8_t taken : bench.read()) {
        REQUIRE((!any || taken > last));
        last = taken;
        any = true;
      }
    }
  }
}

TEST_CASE("downlink: a missing frame is waited for a moment only, and is late after that") {
  Bench bench;
  SUBCASE("at any time") { bench.now = 1000; }
  SUBCASE("as the clock overflows") { bench.now = 0U - 100; }
  SUBCASE("just before the clock overflows") { bench.now = 0U - config::reorder_wait_ms; }
  bench.downlink.expect(1);
  bench.receive(reply_frame(1, 0, flag::start, {0}));
  bench.receive(reply_frame(1, 2, 0, {2}));
  bench.pass(config::reorder_wait_ms - 10);
  CHECK(bench.read() == Bytes{0});
  bench.pass(10);
  CHECK(bench.read() == Bytes{2});
  CHECK(bench.counters.frames_lost == 1);
  bench.receive(reply_frame(1, 1, 0, {1}));
  CHECK(bench.counters.frames_late == 1);
  CHECK(bench.counters.frames_duplicate == 0);
  bench.receive(reply_frame(1, 0, 0, {1}));
  CHECK(bench.counters.frames_late == 1);
  CHECK(bench.counters.frames_duplicate == 1);
  CHECK(bench.read().empty());
}

TEST_CASE("downlink: each missing frame is waited for from the moment at which it is missed") {
  Bench bench;
  bench.downlink.expect(1);
  bench.receive(reply_frame(1, 0, flag::start, {0}));
  bench.receive(reply_frame(1, 2, 0, {2}));
  bench.receive(reply_frame(1, 4, 0, {4}));
  bench.pass(config::reorder_wait_ms - 20);
  bench.receive(reply_frame(1, 1, 0, {1}));
  bench.pass(config::reorder_wait_ms - 20);
  bench.receive(reply_frame(1, 3, 0, {3}));
  CHECK(bench.read() == Bytes{0, 1, 2, 3, 4});
  CHECK(bench.counters.frames_lost == 0);
}

TEST_CASE("downlink: frames too large to wait are taken at once") {
  Bench bench;
  bench.downlink.expect(1);
  const Bytes large(3000, 1);
  bench.receive(reply_frame(1, 1, 0, large));
  CHECK(bench.buffer.size() == 0);
  bench.receive(reply_frame(1, 3, 0, large));
  CHECK(bench.buffer.size() == large.size());
  bench.receive(reply_frame(1, 0, flag::start, large));
  CHECK(bench.buffer.size() == large.size());
  CHECK(bench.counters.frames_late == 1);
  bench.pass(config::reorder_wait_ms);
  CHECK(bench.buffer.size() == 2 * large.size());
  bench.receive(reply_frame(1, 5, flag::end, Bytes(5000, 1)));
  CHECK(bench.buffer.size() == 2 * large.size() + 5000);
  CHECK(bench.downlink.ended());
}

TEST_CASE("downlink: the numbers of frames go on after 65535") {
  Bench bench;
  bench.downlink.expect(1);
  for (uint32_t i = 0; i < 66000; ++i) {
    bench.receive(reply_frame(1, static_cast<uint16_t>(i), i == 0 ? flag::start : uint8_t{0}, {uint8_t(i)}));
    REQUIRE(bench.read() == Bytes{uint8_t(i)});
  }
  CHECK(bench.counters.frames_lost == 0);
}

TEST_CASE("downlink: `done` ends a reply whose END was lost, after a moment for what may still come") {
  Bench bench;
  bench.downlink.expect(1);
  bench.receive(reply_frame(1, 0, flag::start, {0}));
  bench.downlink.done(0, bench.now);
  bench.pass(config::reorder_wait_ms - 50);
  CHECK_FALSE(bench.downlink.ended());
  bench.receive(reply_frame(1, 1, 0, {1}));
  bench.pass(config::reorder_wait_ms - 50);
  CHECK_FALSE(bench.downlink.ended());
  bench.pass(100);
  CHECK(bench.downlink.ended());
  CHECK(bench.read() == Bytes{0, 1});
}

TEST_CASE("downlink: what finds no room is counted, and the end is still seen") {
  Bench bench;
  bench.downlink.expect(1);
  const Bytes large(4000, 1);
  for (uint16_t seq = 0; seq < 10; ++seq) bench.receive(reply_frame(1, seq, seq == 9 ? flag::end : uint8_t{0}, large));
  CHECK(bench.counters.frames_overflowed == 10 - config::playback_bytes / 4000);
  CHECK(bench.buffer.size() == config::playback_bytes / 4000 * 4000);
  CHECK(bench.downlink.ended());
  CHECK(bench.downlink.tail_lost());
}

TEST_CASE("downlink: a reply whose last audio is missing is told from one with a hole") {
  const size_t tail = size_t{config::shortest_tail_ms} * config::reply_bitrate_kbps / 8;
  const auto audio = [&](uint16_t seq, uint8_t flags = 0) { return reply_frame(1, seq, flags, Bytes(tail, 1)); };
  const auto crumb = [&](uint16_t seq, uint8_t flags = 0) { return reply_frame(1, seq, flags, Bytes(tail - 1, 1)); };
  const Bytes end = reply_frame(1, 3, flag::end, {});
  struct Case {
    const char* name;
    std::vector<Bytes> came;
    uint16_t chunks;  // that `done` speaks of; 0: it does not come
    bool tail_lost;
  };
  const std::vector<Case> cases = {
      {"whole", {audio(0), audio(1), audio(2), end}, 0, false},
      {"whole, END with audio", {audio(0), audio(1), audio(2, flag::end)}, 0, false},
      {"empty", {reply_frame(1, 0, flag::start | flag::end, {})}, 0, false},
      {"a hole", {audio(0), audio(2), end}, 0, false},
      {"the first frame", {audio(1), audio(2), end}, 0, false},
      {"a hole and less than a tail", {audio(0), crumb(2), end}, 0, true},
      {"a hole and less than a tail, END with audio", {audio(0), crumb(2, flag::end)}, 0, true},
      {"a hole, and more of a tail in the next", {audio(0), crumb(2), crumb(3, flag::end)}, 0, false},
      {"the last before END", {audio(0), audio(1), end}, 0, true},
      {"all but END", {end}, 0, true},
      {"only END, which was empty", {audio(0), audio(1), audio(2)}, 3, false},
      {"the last, and END", {audio(0), audio(1)}, 3, true},
      {"a hole, the last, and END", {audio(1)}, 3, true},
      {"the end, of a reply whose length is not known", {audio(0)}, 0, false},
  };
  for (const Case& each : cases) {
    CAPTURE(each.name);
    Bench bench;
    bench.downlink.expect(1);
    for (const Bytes& frame : each.came) bench.receive(frame);
    if (each.chunks > 0) bench.downlink.done(each.chunks, bench.now);
    bench.pass(2 * config::reorder_wait_ms);
    CHECK(bench.downlink.tail_lost() == each.tail_lost);
    bench.downlink.close(bench.now);
    CHECK_FALSE(bench.downlink.tail_lost());
  }
}

TEST_CASE("downlink: what is no frame, or no frame of ours, is counted and nothing else") {
  Bench bench;
  bench.downlink.expect(1);
  CHECK(bench.receive({}) == Received::Nothing);
  CHECK(bench.receive({0xFF, 0xFB, 0x90, 0x00}) == Received::Nothing);  // bare MP3
  CHECK(bench.counters.messages_unframed == 2);
  CHECK(bench.receive(reply_frame(1, 0, flag::start, {1}, Codec::Adpcm)) == Received::Nothing);
  Bytes bad = reply_frame(1, 0, flag::start, {1});
  bad[3] = 0xF0;
  CHECK(bench.receive(bad) == Received::Nothing);
  CHECK(bench.counters.frames_bad == 2);
  Random random(13);
  for (int i = 0; i < 20000; ++i) {
    Bytes made = random.bytes(random.below(40));
    if (random.below(2) == 0 && made.size() >= 6) {
      made[0] = 0x56;
      made[1] = 0x47;
      made[2] = 1;
      made[5] = 0;
    }
    if (made.size() >= 8 && made[6] == 1 && made[7] == 0) continue;  // the turn that is open
    REQUIRE(bench.receive(made, false) == Received::Nothing);
  }
  CHECK(bench.buffer.size() == 0);
}
