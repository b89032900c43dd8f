#include "micro_mp3_decoder.h"

#include <Arduino.h>
#include <string.h>

#include "voice_core/config.h"

namespace shell {

static_assert(micro_mp3::MP3_MAX_SAMPLES_PER_FRAME <= voice::config::decoder_samples,
              "a frame of the decoder exceeds the port's buffer");

void MicroMp3Decoder::reset() {
  decoder_.reset();
  out_of_memory_ = false;
}

voice::Decoded MicroMp3Decoder::decode(const uint8_t* data, size_t size, int16_t* samples) {
  size_t consumed = 0;
  size_t decoded = 0;
  micro_mp3::Mp3Result result;
  do {
    size_t used = 0;
    result = decoder_.decode(data + consumed, size - consumed, reinterpret_cast<uint8_t*>(interleaved_),
                             sizeof(interleaved_), used, decoded);
    consumed += used;
    // The first frame's header is told before the frame itself is decoded.
  } while (result == micro_mp3::MP3_STREAM_INFO_READY);

  if (result == micro_mp3::MP3_ALLOCATION_FAILED) {
    if (!out_of_memory_)
      Serial.printf("mp3: no memory for the decoder (%u bytes free)\n", static_cast<unsigned>(ESP.getFreeHeap()));
    out_of_memory_ = true;
    return {size, 0, 0};  // the reply is lost, and its end must still be reached
  }
  if (decoder_.get_channels() == 2) {
    for (size_t i = 0; i < decoded; ++i) {
      samples[i] = static_cast<int16_t>((interleaved_[2 * i] + interleaved_[2 * i + 1]) / 2);
    }
  } else {
    memcpy(samples, interleaved_, decoded * sizeof(int16_t));
  }
  return {consumed, decoded, decoder_.get_sample_rate()};
}

}  // namespace shell
