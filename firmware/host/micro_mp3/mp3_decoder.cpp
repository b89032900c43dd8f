#include "micro_mp3/mp3_decoder.h"

#include <mpg123.h>
#include <string.h>

#include <algorithm>

namespace micro_mp3 {

namespace {

constexpr size_t header_size = 4;

struct Header {
  size_t frame_size;  // 0: no frame begins here
  uint32_t rate;
  uint8_t channels;
  uint32_t bitrate;
};

// Layer III of MPEG 1, 2 and 2.5. A free bit rate is refused, as in the real library.
Header parse(const uint8_t* bytes) {
  constexpr uint16_t mpeg1_kbps[] = {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0};
  constexpr uint16_t mpeg2_kbps[] = {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0};
  constexpr uint32_t mpeg1_rates[] = {44100, 48000, 32000, 0};
  const unsigned version = bytes[1] >> 3 & 3;  // 0: 2.5, 2: 2, 3: 1
  const bool sync = bytes[0] == 0xFF && (bytes[1] & 0xE6) == 0xE2 && version != 1;
  const uint32_t kbps = version == 3 ? mpeg1_kbps[bytes[2] >> 4] : mpeg2_kbps[bytes[2] >> 4];
  const uint32_t rate = mpeg1_rates[bytes[2] >> 2 & 3] / (version == 3 ? 1 : version == 2 ? 2 : 4);
  if (!sync || kbps == 0 || rate == 0) return {};
  const uint32_t size = (version == 3 ? 144000 : 72000) * kbps / rate + (bytes[2] >> 1 & 1);
  return {size, rate, static_cast<uint8_t>(bytes[3] >> 6 == 3 ? 1 : 2), kbps};
}

mpg123_handle* open_decoder() {
  static const bool initialised = mpg123_init() == MPG123_OK;
  mpg123_handle* const decoder = initialised ? mpg123_new(nullptr, nullptr) : nullptr;
  if (decoder == nullptr) return nullptr;
  // Frames come whole and one at a time, and each gives its samples at once, those of the encoder's delay included.
  mpg123_param(decoder, MPG123_ADD_FLAGS, MPG123_QUIET | MPG123_NO_READAHEAD | MPG123_IGNORE_INFOFRAME, 0);
  mpg123_param(decoder, MPG123_REMOVE_FLAGS, MPG123_GAPLESS, 0);
  mpg123_format_none(decoder);
  for (const long rate : {8000L, 11025L, 12000L, 16000L, 22050L, 24000L, 32000L, 44100L, 48000L}) {
    mpg123_format(decoder, rate, MPG123_MONO | MPG123_STEREO, MPG123_ENC_SIGNED_16);
  }
  mpg123_open_feed(decoder);
  return decoder;
}

}  // namespace

Mp3Decoder::~Mp3Decoder() { reset(); }

void Mp3Decoder::reset() {
  if (decoder_ != nullptr) mpg123_delete(decoder_);
  decoder_ = nullptr;
  frame_.clear();
  frame_size_ = 0;
  announced_ = false;
  sample_rate_ = 0;
  channels_ = 0;
  bitrate_ = 0;
}

Mp3Result Mp3Decoder::decode(const uint8_t* input, size_t input_size, uint8_t* output, size_t output_size,
                             size_t& consumed, size_t& samples) {
  consumed = 0;
  samples = 0;
  if (input == nullptr || output == nullptr) return MP3_INPUT_INVALID;
  if (decoder_ == nullptr) decoder_ = open_decoder();
  if (decoder_ == nullptr) return MP3_ALLOCATION_FAILED;
  if (!collect(input, input_size, consumed)) return MP3_NEED_MORE_DATA;
  if (!announced_) {
    announced_ = true;
    return MP3_STREAM_INFO_READY;
  }
  return decode_frame(output, output_size, samples);
}

// Takes bytes up to the end of a frame, skipping what is none. True: a whole frame is there.
bool Mp3Decoder::collect(const uint8_t* input, size_t input_size, size_t& consumed) {
  while (frame_size_ == 0) {
    while (frame_.size() < header_size && consumed < input_size) frame_.push_back(input[consumed++]);
    if (frame_.size() < header_size) return false;
    const Header header = parse(frame_.data());
    frame_size_ = header.frame_size;
    if (frame_size_ == 0) {
      frame_.erase(frame_.begin());
    } else {
      sample_rate_ = header.rate;
      channels_ = header.channels;
      bitrate_ = header.bitrate;
    }
  }
  const size_t part = std::min(frame_size_ - frame_.size(), input_size - consumed);
  frame_.insert(frame_.end(), input + consumed, input + consumed + part);
  consumed += part;
  return frame_.size() == frame_size_;
}

Mp3Result Mp3Decoder::decode_frame(uint8_t* output, size_t output_size, size_t& samples) {
  if (output_size < MP3_MIN_OUTPUT_BUFFER_BYTES) return MP3_OUTPUT_BUFFER_TOO_SMALL;
  mpg123_feed(decoder_, frame_.data(), frame_.size());
  frame_.clear();
  frame_size_ = 0;
  off_t number = 0;
  unsigned char* audio = nullptr;
  size_t bytes = 0;
  int result = MPG123_NEW_FORMAT;
  while (result == MPG123_NEW_FORMAT) result = mpg123_decode_frame(decoder_, &number, &audio, &bytes);
  if (result != MPG123_OK || bytes > output_size) return MP3_DECODE_ERROR;
  memcpy(output, audio, bytes);
  samples = bytes / sizeof(int16_t) / channels_;
  return MP3_OK;
}

}  // namespace micro_mp3
