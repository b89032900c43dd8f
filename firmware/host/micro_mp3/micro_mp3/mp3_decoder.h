// Stands in for the micro-mp3 library (0.2) where that is not at hand: the calls of its decoder that the firmware uses,
// on libmpg123. For test builds only: libmpg123 is no library for a board.
#ifndef HOST_MICRO_MP3_DECODER_H
#define HOST_MICRO_MP3_DECODER_H

#include <stddef.h>
#include <stdint.h>

#include <vector>

struct mpg123_handle_struct;

namespace micro_mp3 {

// Below 0: errors.
enum Mp3Result : int8_t {
  MP3_OK = 0,
  MP3_NEED_MORE_DATA = 1,
  MP3_STREAM_INFO_READY = 2,
  MP3_INPUT_INVALID = -1,
  MP3_ALLOCATION_FAILED = -2,
  MP3_OUTPUT_BUFFER_TOO_SMALL = -3,
  MP3_DECODE_ERROR = -4
};

static constexpr size_t MP3_MAX_SAMPLES_PER_FRAME = 1152;
static constexpr size_t MP3_MAX_OUTPUT_CHANNELS = 2;
static constexpr size_t MP3_MIN_OUTPUT_BUFFER_BYTES =
    MP3_MAX_SAMPLES_PER_FRAME * MP3_MAX_OUTPUT_CHANNELS * sizeof(int16_t);

class Mp3Decoder {
 public:
  Mp3Decoder() = default;
  ~Mp3Decoder();
  Mp3Decoder(const Mp3Decoder&) = delete;
  Mp3Decoder& operator=(const Mp3Decoder&) = delete;

  // Takes at most one frame from `input` and decodes it to interleaved 16-bit samples; `samples` counts them per
  // channel. The first frame of a stream is announced (MP3_STREAM_INFO_READY) before it is decoded.
  Mp3Result decode(const uint8_t* input, size_t input_size, uint8_t* output, size_t output_size, size_t& consumed,
                   size_t& samples);
  // Forgets the stream and frees all memory.
  void reset();

  uint32_t get_sample_rate() const { return sample_rate_; }
  uint8_t get_channels() const { return channels_; }
  uint32_t get_bitrate() const { return bitrate_; }

 private:
  bool collect(const uint8_t* input, size_t input_size, size_t& consumed);
  Mp3Result decode_frame(uint8_t* output, size_t output_size, size_t& samples);

  mpg123_handle_struct* decoder_ = nullptr;
  std::vector<uint8_t> frame_;
  size_t frame_size_ = 0;
  bool announced_ = false;
  uint32_t sample_rate_ = 0;
  uint8_t channels_ = 0;
  uint32_t bitrate_ = 0;
};

}  // namespace micro_mp3

#endif
