#include "voice_core/frame.h"

namespace voice {
namespace {

constexpr uint8_t magic_first = 0x56;
constexpr uint8_t magic_second = 0x47;
constexpr uint8_t version = 1;
constexpr uint8_t last_version_of_the_magic = 15;
// Magic, version and reserved byte lie in the first 6 bytes: they alone make a payload a frame.
constexpr size_t told_by_bytes = 6;
constexpr uint8_t all_flags = flag::start | flag::end | flag::cancel;
constexpr uint16_t rates[] = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000};

uint16_t read_u16(const uint8_t* from) { return static_cast<uint16_t>(from[0] | from[1] << 8); }

void write_u16(uint8_t* to, uint16_t value) {
  to[0] = static_cast<uint8_t>(value & 0xFF);
  to[1] = static_cast<uint8_t>(value >> 8);
}

}  // namespace

bool valid_rate(uint32_t rate) {
  for (const uint16_t known : rates) {
    if (rate == known) return true;
  }
  return false;
}

Verdict decode_frame(const uint8_t* payload, size_t size, Frame& out) {
  if (size < told_by_bytes || payload[0] != magic_first || payload[1] != magic_second || payload[2] == 0 ||
      payload[2] > last_version_of_the_magic || payload[5] != 0) {
    return Verdict::NotAFrame;
  }
  if (size < frame_header_size || payload[2] != version || (payload[3] & ~all_flags) != 0 ||
      payload[4] > static_cast<uint8_t>(Codec::Mp3)) {
    return Verdict::BadFrame;
  }
  const uint16_t turn = read_u16(payload + 6);
  const uint16_t rate = read_u16(payload + 10);
  if (turn == 0 || !valid_rate(rate)) return Verdict::BadFrame;
  out.turn = turn;
  out.seq = read_u16(payload + 8);
  out.flags = payload[3];
  out.codec = static_cast<Codec>(payload[4]);
  out.rate = rate;
  out.audio = payload + frame_header_size;
  out.audio_size = size - frame_header_size;
  return Verdict::Frame;
}

size_t encode_header(const FrameHeader& header, uint8_t* out) {
  out[0] = magic_first;
  out[1] = magic_second;
  out[2] = version;
  out[3] = header.flags;
  out[4] = static_cast<uint8_t>(header.codec);
  out[5] = 0;
  write_u16(out + 6, header.turn);
  write_u16(out + 8, header.seq);
  write_u16(out + 10, header.rate);
  return frame_header_size;
}

bool is_newer(uint16_t now, uint16_t old) {
  constexpr uint32_t turns = last_device_turn;
  const uint32_t ahead = (now + turns - old) % turns;
  return ahead >= 1 && ahead <= 0x3FFF;
}

uint16_t next_turn(uint16_t turn) { return static_cast<uint16_t>(turn % last_device_turn + 1); }

}  // namespace voice
