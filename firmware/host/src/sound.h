// What is heard of the board: the loudspeaker behind the I2S output, and the sound hardware's counters.
#ifndef HOST_SOUND_H
#define HOST_SOUND_H

#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "wav.h"

namespace host {

struct SoundCounters {
  uint64_t lost = 0;              // samples of the microphone overwritten before they were read, while somebody read
  uint64_t played = 0;            // samples that the speaker was given and played
  uint64_t underruns = 0;         // gaps within what it played
  uint64_t underrun_samples = 0;  // their length
};

SoundCounters& sound_counters();

// The file of --wav-out. It holds what was played, gaps included, but not the silence between two replies.
WavWriter& speaker_file();

// Lets the sound hardware do what it has done in the time that has passed.
void sound_tick();

// What comes out of the I2S output, in order: samples that were written to it, and silence where there were none. A
// sound begins with the first that is not zero.
class Loudspeaker {
 public:
  void play(const std::vector<int16_t>& samples, uint32_t rate);
  void silence(size_t count, uint32_t rate);
  // What is not heard to its end: the output was stopped.
  void stop();

 private:
  bool playing_ = false;
  uint64_t played_ = 0;
  uint64_t gap_ = 0;
  uint64_t underruns_ = 0;
  uint64_t underrun_samples_ = 0;
};

}  // namespace host

#endif
