// The board's clock. It is the host's monotonic clock less the time in which the host let this process wait: a busy
// build machine would otherwise look like a processor that stands still for 100 ms, which no board does.
#ifndef HOST_CLOCK_H
#define HOST_CLOCK_H

#include <stdint.h>

namespace host {

class Clock {
 public:
  // `offset_ms` is what millis() says at the start.
  void begin(uint32_t offset_ms);

  // Microseconds since begin().
  uint64_t now_us();

  // What millis() says: wraps at 32 bits.
  uint32_t millis();

  // Let time pass, until `us` are over or `fd` (none: -1) can be read. Such a wait counts as the board's own time.
  void wait(uint64_t us, int fd = -1);

  // Call before a system call that may block: up to `us` of it are the board's own time.
  void may_block(uint64_t us) { allowed_us_ += us; }

  // Time that the host took and the board did not see.
  uint64_t stalled_us() const { return stalled_us_; }

 private:
  uint32_t offset_ms_ = 0;
  uint64_t last_us_ = 0;
  uint64_t board_us_ = 0;
  uint64_t stalled_us_ = 0;
  uint64_t allowed_us_ = 0;
};

Clock& clock();

}  // namespace host

#endif
