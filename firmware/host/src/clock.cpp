#include "clock.h"

#include <poll.h>
#include <time.h>

#include <algorithm>

namespace host {

namespace {

// Longest step between two looks at the clock that is taken for the board's own work.
constexpr uint64_t longest_step_us = 20'000;

uint64_t monotonic_us() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000 + static_cast<uint64_t>(time.tv_nsec) / 1000;
}

}  // namespace

void Clock::begin(uint32_t offset_ms) {
  offset_ms_ = offset_ms;
  last_us_ = monotonic_us();
}

uint64_t Clock::now_us() {
  const uint64_t now = monotonic_us();
  const uint64_t passed = now - last_us_;
  const uint64_t counted = std::min(passed, longest_step_us + allowed_us_);
  last_us_ = now;
  board_us_ += counted;
  stalled_us_ += passed - counted;
  allowed_us_ = 0;
  return board_us_;
}

uint32_t Clock::millis() { return static_cast<uint32_t>(now_us() / 1000) + offset_ms_; }

void Clock::wait(uint64_t us, int fd) {
  now_us();
  may_block(us);
  pollfd watched{fd, POLLIN, 0};
  timespec limit{static_cast<time_t>(us / 1'000'000), static_cast<long>(us % 1'000'000 * 1000)};
  ppoll(&watched, 1, &limit, nullptr);  // an early end by a signal is as good as the limit
  now_us();
}

Clock& clock() {
  // Never destroyed: the program's global connections end after it would be.
  static Clock* const the_clock = new Clock;
  return *the_clock;
}

}  // namespace host
