// The pins: the button is whichever is set to INPUT_PULLUP. Outputs are lights, which blink: they are told when asked.
#ifndef HOST_PINS_H
#define HOST_PINS_H

#include <stdint.h>

#include <map>
#include <set>

namespace host {

class Pins {
 public:
  void set_button(uint8_t pin) { buttons_.insert(pin); }
  void set_output(uint8_t pin, uint8_t level);
  // Level of an output as last written; of the button low while it is pressed, else high.
  uint8_t level(uint8_t pin);
  void press(bool pressed);
  // The colour of an addressable LED.
  void set_colour(uint8_t pin, uint8_t red, uint8_t green, uint8_t blue);
  // Prints each output: its level or colour, and how often that has changed.
  void report();

 private:
  struct Output {
    uint32_t value;  // level, or colour as 0xRRGGBB
    uint32_t changes;
  };

  void set(uint8_t pin, uint32_t value);

  std::set<uint8_t> buttons_;
  std::map<uint8_t, Output> outputs_;
  bool pressed_ = false;
  uint64_t pressed_at_us_ = 0;
  uint32_t reads_while_bouncing_ = 0;
};

Pins& pins();

}  // namespace host

#endif
