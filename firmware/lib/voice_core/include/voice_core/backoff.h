// How long to wait before trying again: twice as long each time, and never quite the same on two devices.
#ifndef VOICE_CORE_BACKOFF_H
#define VOICE_CORE_BACKOFF_H

#include <stdint.h>

namespace voice {

class Backoff {
 public:
  // Milliseconds, 0 < min_ms <= max_ms. `seed` differs from device to device (a hardware random number, the MAC):
  // after a power cut all boards of a house start at the same moment.
  Backoff(uint32_t min_ms, uint32_t max_ms, uint32_t seed);

  // Milliseconds to wait now: from half of the step to the whole of it; the step is min_ms at first, then doubles up
  // to max_ms.
  uint32_t next();

  // It worked: the next wait is a short one again.
  void reset() { step_ms_ = min_ms_; }

 private:
  uint32_t random();

  uint32_t min_ms_;
  uint32_t max_ms_;
  uint32_t step_ms_;
  uint32_t state_;
};

}  // namespace voice

#endif
