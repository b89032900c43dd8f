#include "voice_core/backoff.h"

namespace voice {

Backoff::Backoff(uint32_t min_ms, uint32_t max_ms, uint32_t seed)
    : min_ms_(min_ms), max_ms_(max_ms), step_ms_(min_ms), state_(seed) {}

uint32_t Backoff::next() {
  const uint32_t half = step_ms_ / 2;
  const uint32_t wait = half + random() % (step_ms_ - half + 1);
  step_ms_ = step_ms_ > max_ms_ / 2 ? max_ms_ : 2 * step_ms_;
  return wait;
}

// Marsaglia's counter-driven mix (a Weyl sequence through the finalizer of MurmurHash3): any seed will do, 0 too, and
// seeds that differ in one bit, as the MACs of one batch do, part at once.
uint32_t Backoff::random() {
  state_ += 0x9E3779B9U;
  uint32_t mixed = state_;
  mixed = (mixed ^ mixed >> 16) * 0x85EBCA6BU;
  mixed = (mixed ^ mixed >> 13) * 0xC2B2AE35U;
  return mixed ^ mixed >> 16;
}

}  // namespace voice
