// The room around the microphone: silence, or the sound of a file, which passes whether the microphone runs or not.
#ifndef HOST_ROOM_H
#define HOST_ROOM_H

#include <stdint.h>

#include <functional>
#include <string>
#include <vector>

namespace host {

class Room {
 public:
  // The sound of a WAV file begins now, in place of one that still sounds; `ended` is called after it.
  void say(const std::string& path, std::function<void()> ended = nullptr);

  // What is to be heard from `at_us` on, `count` samples at `rate` Hz.
  void hear(uint64_t at_us, uint32_t rate, int16_t* samples, size_t count);

  // Tells when the sound has ended.
  void tick();

 private:
  std::string name_;
  std::vector<int16_t> sound_;
  uint64_t began_us_ = 0;
  uint64_t heard_ = 0;
  std::function<void()> ended_;
};

Room& room();

}  // namespace host

#endif
