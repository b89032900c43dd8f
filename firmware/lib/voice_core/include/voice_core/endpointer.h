// Finds where speech begins and ends by its loudness above the room's noise: for hands-free use.
#ifndef VOICE_CORE_ENDPOINTER_H
#define VOICE_CORE_ENDPOINTER_H

#include <stddef.h>
#include <stdint.h>

#include "voice_core/config.h"

namespace voice {

enum class SpeechChange : uint8_t { None, SpeechStarted, SpeechEnded };

// Judges frames of 20 ms by their mean level, the samples' average taken off (microphones have an offset). The
// noise floor falls at once and rises slowly, more slowly yet during speech, so that a steady noise that was taken for
// speech becomes the floor in the end. What begins speech, and the pause that ends it, are in config.h.
class Endpointer {
 public:
  static constexpr uint32_t frame_ms = 20;
  static constexpr size_t frame_samples = config::mic_rate * frame_ms / 1000;

  // Takes samples of any number and returns the last change that they made; cutting them otherwise changes nothing,
  // as long as one call brings less than config::endpoint_silence_ms.
  SpeechChange feed(const int16_t* samples, size_t count);

  bool speaking() const { return speaking_; }
  // Mean level of the room's noise, of 32767, which it is until a frame has been heard.
  uint32_t noise_level() const { return noise_ >> noise_shift; }

  // Forgets the speech under way and keeps the noise floor: the room is the same.
  void restart();

 private:
  static constexpr uint32_t noise_shift = 8;

  SpeechChange judge(uint32_t level);
  void follow_noise(uint32_t level);

  int16_t frame_[frame_samples];
  size_t filled_ = 0;
  uint32_t noise_ = 32767 << noise_shift;
  uint32_t loud_ms_ = 0;
  uint32_t quiet_ms_ = 0;
  bool speaking_ = false;
};

}  // namespace voice

#endif
