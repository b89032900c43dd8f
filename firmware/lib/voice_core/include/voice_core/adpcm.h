// IMA ADPCM, 4 bits a sample, in blocks that each stand alone: predictor (s16 little-endian), step index, a zero byte,
// then the samples, low nibble first.
#ifndef VOICE_CORE_ADPCM_H
#define VOICE_CORE_ADPCM_H

#include <stddef.h>
#include <stdint.h>

namespace voice {

constexpr size_t adpcm_header_size = 4;

// Bytes of the block that holds `samples`.
constexpr size_t adpcm_block_size(size_t samples) { return adpcm_header_size + (samples + 1) / 2; }

// Makes the blocks of one signal: predictor and step go on from block to block.
class AdpcmEncoder {
 public:
  explicit AdpcmEncoder(int16_t predictor = 0, uint8_t index = 0) : predictor_(predictor), index_(index) {}

  // Another signal begins.
  void reset() {
    predictor_ = 0;
    index_ = 0;
  }

  // Writes the block of `count` samples, adpcm_block_size(count) bytes, and returns its size. A block holds whole
  // bytes of two samples: an odd last one is said twice.
  size_t encode(const int16_t* samples, size_t count, uint8_t* out);

  int16_t predictor() const { return predictor_; }
  uint8_t index() const { return index_; }

 private:
  uint8_t nibble(int16_t sample);

  int16_t predictor_;
  uint8_t index_;
};

// Decodes a block into at most `capacity` samples and says in `samples` how many there were. False: the block is cut
// short, its header is out of range, or it holds more than `capacity`; nothing has been written then.
bool adpcm_decode(const uint8_t* block, size_t size, int16_t* out, size_t capacity, size_t& samples);

}  // namespace voice

#endif
