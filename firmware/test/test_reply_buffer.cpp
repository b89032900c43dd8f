#include <doctest/doctest.h>

#include "random.h"
#include "voice_core/reply_buffer.h"

using namespace voice;

TEST_CASE("reply buffer: a frame fits whole or not at all") {
  static ReplyBuffer buffer;
  buffer.clear();
  const std::vector<uint8_t> audio(config::playback_bytes - 10, 1);
  CHECK(buffer.append(0, audio.data(), audio.size()));
  CHECK_FALSE(buffer.append(1, audio.data(), 11));
  CHECK(buffer.size() == audio.size());
  CHECK(buffer.append(2, audio.data(), 10));
  CHECK(buffer.free() == 0);
}

TEST_CASE("reply buffer: a frame has been heard when the last sample made of it has") {
  static ReplyBuffer buffer;
  buffer.clear();
  const uint8_t audio[200] = {};
  buffer.append(7, audio, 100);
  buffer.append(8, audio, 100);
  buffer.heard(100000);
  CHECK_FALSE(buffer.any_heard());  // nothing has been decoded
  buffer.decoded(99, 500);
  buffer.decoded(100, 576);
  buffer.heard(575);
  CHECK_FALSE(buffer.any_heard());
  buffer.heard(576);
  REQUIRE(buffer.any_heard());
  CHECK(buffer.heard_seq() == 7);
  buffer.heard_all();
  CHECK(buffer.heard_seq() == 8);
}

TEST_CASE("reply buffer: with any number of frames nothing is told before it was heard, and all at the end") {
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    static ReplyBuffer buffer;
    buffer.clear();
    std::vector<uint32_t> ends;  // bytes; one sample a byte
    uint32_t total = 0;
    const uint16_t frames = static_cast<uint16_t>(1 + random.below(120));
    for (uint16_t seq = 0; seq < frames; ++seq) {
      const std::vector<uint8_t> audio(1 + random.below(100), 0);
      REQUIRE(buffer.append(seq, audio.data(), audio.size()));
      total += static_cast<uint32_t>(audio.size());
      ends.push_back(total);
    }
    uint32_t decoded = 0;
    uint32_t heard = 0;
    while (heard < total) {
      decoded = std::min(total, decoded + random.below(300));
      buffer.decoded(decoded, decoded);
      heard = std::min(decoded, heard + random.below(300));
      buffer.heard(heard);
      if (buffer.any_heard()) REQUIRE(ends[buffer.heard_seq()] <= heard);
    }
    CHECK(buffer.heard_seq() == frames - 1);
  }
}

TEST_CASE("reply buffer: of a reply that was cut off nothing counts as heard of the next") {
  static ReplyBuffer buffer;
  buffer.clear();
  const uint8_t audio[100] = {};
  buffer.append(0, audio, 100);
  buffer.append(1, audio, 100);
  buffer.decoded(200, 1000);
  buffer.clear();
  buffer.append(0, audio, 100);
  buffer.heard(1000);
  CHECK_FALSE(buffer.any_heard());
}
