// Standard input and output of the virtual board: lines of the hardware begin with '!', all others are the serial
// console's.
#ifndef HOST_CONSOLE_H
#define HOST_CONSOLE_H

#include <stddef.h>
#include <stdint.h>

#include <deque>
#include <string>

namespace host {

class Console {
 public:
  void begin();

  // Waits up to `us` for input and takes at most one line of it.
  void poll(uint64_t us);

  // Prints a line of the hardware.
  void report(const char* format, ...) __attribute__((format(printf, 2, 3)));

  // The serial console's side: what was typed, and what it prints. It is printed by whole lines, so that none of the
  // hardware's falls into the middle.
  std::deque<uint8_t>& serial_input() { return serial_input_; }
  void serial_output(const uint8_t* bytes, size_t size);
  void flush();

  // The input has ended, or somebody asked for the end.
  bool ended() const;
  void end() { ended_ = true; }

 private:
  void take_line();

  std::string line_;
  std::deque<uint8_t> serial_input_;
  std::string serial_line_;
  bool ended_ = false;
};

Console& console();

}  // namespace host

#endif
