// Short tones that the device makes itself, for when the gateway cannot speak.
#ifndef VOICE_CORE_TONE_H
#define VOICE_CORE_TONE_H

#include <stddef.h>
#include <stdint.h>

namespace voice {

enum class ToneKind : uint8_t {
  Error,  // two falling notes
  Ready,  // two rising notes
};

// Makes one tone at a time, in pieces of any length.
class Tone {
 public:
  // Begins a tone at `rate` Hz, from its first sample.
  void start(ToneKind kind, uint32_t rate);

  // Writes up to `capacity` samples; returns how many, 0 when the tone is over.
  size_t read(int16_t* samples, size_t capacity);

  bool done() const { return position_ >= length_; }

  // No more of it.
  void stop() { length_ = 0; }

 private:
  ToneKind kind_ = ToneKind::Error;
  uint32_t rate_ = 0;
  uint32_t position_ = 0;  // samples
  uint32_t length_ = 0;    // samples
  uint32_t phase_ = 0;     // of the note: a whole turn is 2^32
};

}  // namespace voice

#endif
