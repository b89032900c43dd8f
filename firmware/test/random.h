// Made-up cases, the same on every run and every machine.
#ifndef VOICE_TEST_RANDOM_H
#define VOICE_TEST_RANDOM_H

#include <cstdint>
#include <random>
#include <vector>

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}

  // 0 to `limit` - 1.
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(engine_()) % limit; }

  // Of `from` to `to`, both included.
  int32_t between(int32_t from, int32_t to) {
    return from + static_cast<int32_t>(below(static_cast<uint32_t>(to - from) + 1));
  }

  std::vector<uint8_t> bytes(size_t count) {
    std::vector<uint8_t> made(count);
    for (uint8_t& byte : made) byte = static_cast<uint8_t>(below(256));
    return made;
  }

 private:
  // Its numbers are laid down by the standard; those of the standard distributions are not.
  std::mt19937 engine_;
};

#endif
