// The decoder port on micro-mp3 (OpenCORE's fixed-point decoder).
#ifndef VOICE_SHELL_MICRO_MP3_DECODER_H
#define VOICE_SHELL_MICRO_MP3_DECODER_H

#include <micro_mp3/mp3_decoder.h>

#include "voice_core/ports.h"

namespace shell {

class MicroMp3Decoder final : public voice::Mp3Decoder {
 public:
  // The library gives its working memory back here and takes it again at the first frame of the next stream.
  void reset() override;
  voice::Decoded decode(const uint8_t* data, size_t size, int16_t* samples) override;

 private:
  micro_mp3::Mp3Decoder decoder_;
  bool out_of_memory_ = false;
  int16_t interleaved_[micro_mp3::MP3_MIN_OUTPUT_BUFFER_BYTES / sizeof(int16_t)];
};

}  // namespace shell

#endif
