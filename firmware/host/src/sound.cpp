#include "sound.h"

#include <algorithm>

#include "console.h"

namespace host {

namespace {

// Silence for so long is the end of a sound; a shorter one within it is a gap that should not be.
constexpr uint64_t end_ms = 500;

}  // namespace

void Loudspeaker::play(const std::vector<int16_t>& samples, uint32_t rate) {
  if (samples.empty()) return;
  const bool silent = std::all_of(samples.begin(), samples.end(), [](int16_t sample) { return sample == 0; });
  if (!playing_ && silent) return;
  if (!playing_) {
    console().report("speaker start rate=%u", rate);
    *this = Loudspeaker();
    playing_ = true;
  }
  if (gap_ > 0) {
    ++underruns_;
    ++sound_counters().underruns;
    underrun_samples_ += gap_;
    sound_counters().underrun_samples += gap_;
    speaker_file().write(std::vector<int16_t>(gap_, 0), rate);
    gap_ = 0;
  }
  played_ += samples.size();
  sound_counters().played += samples.size();
  speaker_file().write(samples, rate);
}

void Loudspeaker::silence(size_t count, uint32_t rate) {
  if (!playing_) return;
  gap_ += count;
  if (gap_ >= end_ms * rate / 1000) stop();
}

void Loudspeaker::stop() {
  if (!playing_) return;
  playing_ = false;
  speaker_file().flush();
  console().report("speaker stop samples=%llu underruns=%llu underrun_samples=%llu",
                   static_cast<unsigned long long>(played_), static_cast<unsigned long long>(underruns_),
                   static_cast<unsigned long long>(underrun_samples_));
}

SoundCounters& sound_counters() {
  static SoundCounters counters;
  return counters;
}

WavWriter& speaker_file() {
  static WavWriter file;
  return file;
}

}  // namespace host
