#include "voice_core/endpointer.h"

namespace voice {
namespace {

// A ratio of levels with 8 bits after the point. Worked out by the compiler: no floating point on the device.
constexpr uint32_t ratio_q8(uint32_t db) {
  uint64_t millionths = 1000000;
  for (uint32_t i = 0; i < db; i++) millionths = millionths * 1122018 / 1000000;  // 10^(1/20)
  return static_cast<uint32_t>(millionths * 256 / 1000000);
}

constexpr uint32_t start_ratio = ratio_q8(config::endpoint_start_db);
constexpr uint32_t stop_ratio = ratio_q8(config::endpoint_stop_db);
static_assert(stop_ratio < start_ratio, "VOICE_ENDPOINT_STOP_DB is below VOICE_ENDPOINT_START_DB");
// Levels have 16 bits, and the ratio's 8 bits after the point are shifted off: 16 remain before the point.
static_assert(start_ratio < 1U << 16, "VOICE_ENDPOINT_START_DB is beyond what 16-bit audio can show");

// The noise floor taken as the least that counts, so that the quietest sound in a silent room is not speech.
constexpr uint32_t least_noise = config::endpoint_min_level * 256 / start_ratio;

// A frame raises the floor by this part of it: 6 dB in 1.8 s, and in 7 s during speech.
constexpr uint32_t rise_shift = 7;
constexpr uint32_t rise_shift_in_speech = 9;

uint32_t mean_level(const int16_t* samples, size_t count) {
  int32_t sum = 0;
  for (size_t i = 0; i < count; i++) sum += samples[i];
  const int32_t offset = sum / static_cast<int32_t>(count);
  uint32_t total = 0;
  for (size_t i = 0; i < count; i++) {
    const int32_t sample = samples[i] - offset;
    total += static_cast<uint32_t>(sample < 0 ? -sample : sample);
  }
  return total / static_cast<uint32_t>(count);
}

}  // namespace

SpeechChange Endpointer::feed(const int16_t* samples, size_t count) {
  SpeechChange last = SpeechChange::None;
  for (size_t i = 0; i < count; i++) {
    frame_[filled_++] = samples[i];
    if (filled_ < frame_samples) continue;
    filled_ = 0;
    const SpeechChange change = judge(mean_level(frame_, frame_samples));
    if (change != SpeechChange::None) last = change;
  }
  return last;
}

SpeechChange Endpointer::judge(uint32_t level) {
  follow_noise(level);
  const uint32_t noise = noise_level() > least_noise ? noise_level() : least_noise;
  const bool loud = level >= noise * start_ratio >> 8;
  const bool quiet = level < noise * stop_ratio >> 8;
  if (!speaking_) {
    // A quiet frame takes back one loud one: syllables make speech, a click does not.
    loud_ms_ = loud ? loud_ms_ + frame_ms : loud_ms_ > frame_ms ? loud_ms_ - frame_ms : 0;
    if (loud_ms_ < config::endpoint_speech_ms) return SpeechChange::None;
    speaking_ = true;
    quiet_ms_ = 0;
    return SpeechChange::SpeechStarted;
  }
  quiet_ms_ = quiet ? quiet_ms_ + frame_ms : 0;
  if (quiet_ms_ < config::endpoint_silence_ms) return SpeechChange::None;
  speaking_ = false;
  loud_ms_ = 0;
  return SpeechChange::SpeechEnded;
}

void Endpointer::follow_noise(uint32_t level) {
  const uint32_t now = level << noise_shift;
  if (now <= noise_) {
    noise_ = now;
    return;
  }
  // Of a floor of 0 there is no part to rise by.
  noise_ += (noise_ >> (speaking_ ? rise_shift_in_speech : rise_shift)) + 1;
  if (noise_ > now) noise_ = now;
}

void Endpointer::restart() {
  filled_ = 0;
  loud_ms_ = 0;
  quiet_ms_ = 0;
  speaking_ = false;
}

}  // namespace voice
