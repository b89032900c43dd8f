#include "voice_core/tone.h"

#include "voice_core/config.h"

namespace voice {
namespace {

struct Note {
  uint16_t hz;
  uint16_t ms;
};

struct Notes {
  Note first;
  Note second;
};

constexpr Notes error_notes = {{440, 150}, {311, 250}};
constexpr Notes ready_notes = {{523, 80}, {784, 120}};

constexpr const Notes& notes_of(ToneKind kind) { return kind == ToneKind::Error ? error_notes : ready_notes; }

// Longer is heard as swelling, shorter as a click.
constexpr uint32_t fade_ms = 8;

// The first quarter of a sine, its end included.
constexpr int16_t quarter_sine[] = {0,     804,   1608,  2410,  3212,  4011,  4808,  5602,  6393,  7179,  7962,
                                    8739,  9512,  10278, 11039, 11793, 12539, 13279, 14010, 14732, 15446, 16151,
                                    16846, 17530, 18204, 18868, 19519, 20159, 20787, 21403, 22005, 22594, 23170,
                                    23731, 24279, 24811, 25329, 25832, 26319, 26790, 27245, 27683, 28105, 28510,
                                    28898, 29268, 29621, 29956, 30273, 30571, 30852, 31113, 31356, 31580, 31785,
                                    31971, 32137, 32285, 32412, 32521, 32609, 32678, 32728, 32757, 32767};
static_assert(sizeof(quarter_sine) / sizeof(quarter_sine[0]) == 65, "64 steps and the end");

// Of a phase whose whole turn is 2^32: -32767 to 32767, between the table's points by a straight line.
int32_t sine(uint32_t phase) {
  const bool negative = (phase & 0x80000000U) != 0;
  const bool falling = (phase & 0x40000000U) != 0;
  const uint32_t in_quarter = phase & 0x3FFFFFFFU;
  const uint32_t at = falling ? 0x40000000U - in_quarter : in_quarter;
  const uint32_t index = at >> 24;
  const int32_t fraction = static_cast<int32_t>(at >> 16 & 0xFF);
  int32_t value = quarter_sine[index];
  if (fraction > 0) value += (quarter_sine[index + 1] - value) * fraction / 256;
  return negative ? -value : value;
}

}  // namespace

void Tone::start(ToneKind kind, uint32_t rate) {
  const Notes& notes = notes_of(kind);
  kind_ = kind;
  rate_ = rate;
  position_ = 0;
  length_ = (notes.first.ms + notes.second.ms) * rate / 1000;
  phase_ = 0;
}

size_t Tone::read(int16_t* samples, size_t capacity) {
  const Notes& notes = notes_of(kind_);
  const uint32_t second_begins = notes.first.ms * rate_ / 1000;
  const uint32_t fade = fade_ms * rate_ / 1000;
  size_t count = 0;
  for (; count < capacity && !done(); count++, position_++) {
    const uint32_t from_end = length_ - 1 - position_;
    uint32_t near_edge = position_ < from_end ? position_ : from_end;
    if (near_edge > fade) near_edge = fade;
    const int32_t level =
        static_cast<int32_t>(config::tone_level) * static_cast<int32_t>(near_edge) / static_cast<int32_t>(fade);
    samples[count] = static_cast<int16_t>(sine(phase_) * level / 32767);
    // The phase goes on from note to note: no click between them.
    const uint32_t hz = position_ < second_begins ? notes.first.hz : notes.second.hz;
    phase_ += static_cast<uint32_t>((static_cast<uint64_t>(hz) << 32) / rate_);
  }
  return count;
}

}  // namespace voice
