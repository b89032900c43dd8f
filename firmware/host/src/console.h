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

  // Waits up to `us` for input and takes one line of it, or as many as have arrived since the last call; the program
  // sees what each line of the hardware does before the next is taken.
  void poll(uint64_t us);

  // Prints a line of the hardware.
  void report(const char* format, ...) __attribute__((format(printf, 2, 3)));

  // The serial console's side: what was typed, and what it prints. It is printed by whole lines, so that none of the
  // hardware's falls into the middle.
  std::deque<uint8_t>& serial_input() { return serial_input_; }
  void set_serial_buffer(size_t bytes) { serial_buffer_bytes_ = bytes; }
  void serial_output(const uint8_t* bytes, size_t size);
  void flush();

  // The input has ended, or somebody asked for the end.
  bool ended() const;
  void end() { ended_ = true; }

 private:
  // True: it was one of the hardware's.
  bool take_line();

  std::string line_;
  uint64_t polled_at_us_ = 0;
  // Of the real core: the receive buffer of HardwareSerial. What does not fit is lost.
  size_t serial_buffer_bytes_ = 256;
  std::deque<uint8_t> serial_input_;
  std::string serial_line_;
  bool ended_ = false;
};

Console& console();

}  // namespace host

#endif
