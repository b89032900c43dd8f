// The frame of docs/protocol.md: a 12-byte little-endian header, then audio. And the arithmetic of turn numbers.
#ifndef VOICE_CORE_FRAME_H
#define VOICE_CORE_FRAME_H

#include <stddef.h>
#include <stdint.h>

namespace voice {

constexpr size_t frame_header_size = 12;

constexpr uint16_t first_device_turn = 1;
constexpr uint16_t last_device_turn = 0x7FFF;
constexpr uint16_t first_gateway_turn = 0x8000;

enum class Codec : uint8_t { Pcm = 0, Adpcm = 1, Opus = 2, Mp3 = 3 };

// Bits of FrameHeader::flags.
namespace flag {
constexpr uint8_t start = 1;
constexpr uint8_t end = 2;
constexpr uint8_t cancel = 4;
}  // namespace flag

struct FrameHeader {
  uint16_t turn = 0;
  uint16_t seq = 0;
  uint8_t flags = 0;
  Codec codec = Codec::Pcm;
  uint16_t rate = 0;  // Hz

  bool has(uint8_t bit) const { return (flags & bit) != 0; }
};

// A frame in place: `audio` points into the payload that it was read from.
struct Frame : FrameHeader {
  const uint8_t* audio = nullptr;
  size_t audio_size = 0;
};

enum class Verdict : uint8_t {
  Frame,      // a frame, every field in its range
  NotAFrame,  // something else altogether
  BadFrame,   // a frame that cannot be used: cut short, of another version, or with a field out of its range
};

// Reads `payload`, of either direction; `out` is written only when the verdict is Frame.
Verdict decode_frame(const uint8_t* payload, size_t size, Frame& out);

// Writes frame_header_size bytes; returns how many that is, so that the audio can follow.
size_t encode_header(const FrameHeader& header, uint8_t* out);

// Whether the rate in Hz is one that a frame can say.
bool valid_rate(uint32_t rate);

// Whether the gateway chose the turn number itself (an announcement), not a device.
inline bool is_gateway_turn(uint16_t turn) { return turn >= first_gateway_turn; }

// Whether device turn `now` comes after `old`, round the end of the numbers. Of turns 1 to 0x7FFF only.
bool is_newer(uint16_t now, uint16_t old);

// The device turn that follows; 1 after 0, so that a device can begin with "none yet".
uint16_t next_turn(uint16_t turn);

}  // namespace voice

#endif
