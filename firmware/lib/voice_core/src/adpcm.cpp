// The arithmetic and both tables are those of the IMA Digital Audio Focus and Technical Working Groups, "Recommended
// Practices for Enhancing Digital Audio Compatibility in Multimedia Systems", revision 3.00 (1992).
#include "voice_core/adpcm.h"

namespace voice {
namespace {

constexpr int16_t steps[] = {7,     8,     9,     10,    11,    12,    13,    14,    16,    17,    19,   21,    23,
                             25,    28,    31,    34,    37,    41,    45,    50,    55,    60,    66,   73,    80,
                             88,    97,    107,   118,   130,   143,   157,   173,   190,   209,   230,  253,   279,
                             307,   337,   371,   408,   449,   494,   544,   598,   658,   724,   796,  876,   963,
                             1060,  1166,  1282,  1411,  1552,  1707,  1878,  2066,  2272,  2499,  2749, 3024,  3327,
                             3660,  4026,  4428,  4871,  5358,  5894,  6484,  7132,  7845,  8630,  9493, 10442, 11487,
                             12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767};
constexpr int last_index = sizeof(steps) / sizeof(steps[0]) - 1;
constexpr int index_moves[] = {-1, -1, -1, -1, 2, 4, 6, 8};

// What the decoder does with a nibble; the encoder does the same to stay in step with it.
void apply(int nibble, int& predictor, int& index) {
  const int step = steps[index];
  int difference = step >> 3;
  if (nibble & 4) difference += step;
  if (nibble & 2) difference += step >> 1;
  if (nibble & 1) difference += step >> 2;
  predictor += nibble & 8 ? -difference : difference;
  if (predictor > INT16_MAX) predictor = INT16_MAX;
  if (predictor < INT16_MIN) predictor = INT16_MIN;
  index += index_moves[nibble & 7];
  if (index < 0) index = 0;
  if (index > last_index) index = last_index;
}

}  // namespace

size_t AdpcmEncoder::encode(const int16_t* samples, size_t count, uint8_t* out) {
  const uint16_t predictor = static_cast<uint16_t>(predictor_);
  out[0] = static_cast<uint8_t>(predictor & 0xFF);
  out[1] = static_cast<uint8_t>(predictor >> 8);
  out[2] = index_;
  out[3] = 0;
  for (size_t i = 0; i < count; i += 2) {
    const int low = nibble(samples[i]);
    const int high = nibble(samples[i + 1 < count ? i + 1 : i]);
    out[adpcm_header_size + i / 2] = static_cast<uint8_t>(low | high << 4);
  }
  return adpcm_block_size(count);
}

uint8_t AdpcmEncoder::nibble(int16_t sample) {
  int rest = sample - predictor_;
  int nibble = 0;
  if (rest < 0) {
    nibble = 8;
    rest = -rest;
  }
  int step = steps[index_];
  for (int bit = 4; bit > 0; bit >>= 1) {
    if (rest >= step) {
      nibble |= bit;
      rest -= step;
    }
    step >>= 1;
  }
  int predictor = predictor_;
  int index = index_;
  apply(nibble, predictor, index);
  predictor_ = static_cast<int16_t>(predictor);
  index_ = static_cast<uint8_t>(index);
  return static_cast<uint8_t>(nibble);
}

bool adpcm_decode(const uint8_t* block, size_t size, int16_t* out, size_t capacity, size_t& samples) {
  if (size < adpcm_header_size || block[2] > last_index || block[3] != 0) return false;
  const size_t count = 2 * (size - adpcm_header_size);
  if (count > capacity) return false;
  int predictor = static_cast<int16_t>(static_cast<uint16_t>(block[0] | block[1] << 8));
  int index = block[2];
  for (size_t i = 0; i < count; i++) {
    const int byte = block[adpcm_header_size + i / 2];
    apply(i % 2 == 0 ? byte & 15 : byte >> 4, predictor, index);
    out[i] = static_cast<int16_t>(predictor);
  }
  samples = count;
  return true;
}

}  // namespace voice
