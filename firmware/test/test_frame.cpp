#include <doctest/doctest.h>

#include <array>
#include <vector>

#include "random.h"
#include "voice_core/frame.h"

using namespace voice;

TEST_CASE("frame: what is encoded is decoded, whatever the fields") {
  Random random(1);
  constexpr uint16_t rates[] = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000};
  for (int i = 0; i < 20000; i++) {
    FrameHeader header;
    header.turn = static_cast<uint16_t>(1 + random.below(0xFFFF));
    header.seq = static_cast<uint16_t>(random.below(0x10000));
    header.flags = static_cast<uint8_t>(random.below(8));
    header.codec = static_cast<Codec>(random.below(4));
    header.rate = rates[random.below(9)];
    const std::vector<uint8_t> audio = random.bytes(random.below(40));
    std::vector<uint8_t> payload(frame_header_size);
    REQUIRE(encode_header(header, payload.data()) == frame_header_size);
    payload.insert(payload.end(), audio.begin(), audio.end());

    Frame frame;
    REQUIRE(decode_frame(payload.data(), payload.size(), frame) == Verdict::Frame);
    CHECK(frame.turn == header.turn);
    CHECK(frame.seq == header.seq);
    CHECK(frame.flags == header.flags);
    CHECK(frame.codec == header.codec);
    CHECK(frame.rate == header.rate);
    CHECK(std::vector<uint8_t>(frame.audio, frame.audio + frame.audio_size) == audio);
  }
}

TEST_CASE("frame: every header cut short is told from a whole one, and nothing is read beyond it") {
  std::array<uint8_t, frame_header_size> whole;
  FrameHeader header;
  header.turn = 7;
  header.rate = 16000;
  encode_header(header, whole.data());
  for (size_t size = 0; size < whole.size(); size++) {
    // A copy of exactly that size: the address sanitizer sees a read beyond it.
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    Frame frame;
    frame.turn = 99;
    CHECK(decode_frame(cut.data(), cut.size(), frame) == (size < 6 ? Verdict::NotAFrame : Verdict::BadFrame));
    CHECK(frame.turn == 99);
  }
}

TEST_CASE("frame: one changed bit of a header is either seen or shows in the fields") {
  std::array<uint8_t, frame_header_size> whole;
  FrameHeader header;
  header.turn = 0x1234;
  header.seq = 0x5678;
  header.flags = flag::start;
  header.codec = Codec::Mp3;
  header.rate = 24000;
  encode_header(header, whole.data());
  for (size_t bit = 0; bit < 8 * frame_header_size; bit++) {
    std::array<uint8_t, frame_header_size> changed = whole;
    changed[bit / 8] = static_cast<uint8_t>(changed[bit / 8] ^ 1 << bit % 8);
    Frame frame;
    if (decode_frame(changed.data(), changed.size(), frame) != Verdict::Frame) continue;
    std::array<uint8_t, frame_header_size> again;
    encode_header(frame, again.data());
    CHECK(again == changed);
  }
}

TEST_CASE("turns: after a turn comes one that is newer, round the end of the numbers") {
  uint16_t turn = 0;
  for (int i = 0; i < 70000; i++) {
    const uint16_t next = next_turn(turn);
    REQUIRE(next >= first_device_turn);
    REQUIRE(next <= last_device_turn);
    if (turn != 0) {
      REQUIRE(is_newer(next, turn));
      REQUIRE_FALSE(is_newer(turn, next));
    }
    turn = next;
  }
}

TEST_CASE("turns: of two different ones exactly one is newer") {
  Random random(2);
  for (int i = 0; i < 20000; i++) {
    const uint16_t a = static_cast<uint16_t>(1 + random.below(0x7FFF));
    const uint16_t b = static_cast<uint16_t>(1 + random.below(0x7FFF));
    CHECK_FALSE(is_newer(a, a));
    if (a != b) CHECK(is_newer(a, b) != is_newer(b, a));
  }
}

TEST_CASE("turns: the gateway's own are those with the highest bit") {
  CHECK_FALSE(is_gateway_turn(1));
  CHECK_FALSE(is_gateway_turn(0x7FFF));
  CHECK(is_gateway_turn(0x8000));
  CHECK(is_gateway_turn(0xFFFF));
}
