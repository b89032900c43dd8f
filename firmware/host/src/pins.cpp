#include "pins.h"

#include "clock.h"
#include "console.h"

namespace host {

namespace {

// A switch's contacts bounce: for so long every second reading is wrong.
constexpr uint64_t bounce_us = 5'000;

}  // namespace

void Pins::set_output(uint8_t pin, uint8_t level) { set(pin, level); }

void Pins::set_colour(uint8_t pin, uint8_t red, uint8_t green, uint8_t blue) {
  set(pin, static_cast<uint32_t>(red) << 16 | static_cast<uint32_t>(green) << 8 | blue);
}

void Pins::set(uint8_t pin, uint32_t value) {
  const auto added = outputs_.insert({pin, {value, 0}});
  Output& output = added.first->second;
  if (output.value == value) return;
  output.value = value;
  ++output.changes;
}

void Pins::report() {
  for (const auto& entry : outputs_) {
    console().report("pin %u value=%06x changes=%u", entry.first, entry.second.value, entry.second.changes);
  }
}

uint8_t Pins::level(uint8_t pin) {
  if (buttons_.count(pin) == 0) {
    const auto output = outputs_.find(pin);
    return output == outputs_.end() || output->second.value == 0 ? 0 : 1;
  }
  bool closed = pressed_;
  if (pressed_at_us_ != 0 && clock().now_us() - pressed_at_us_ < bounce_us && ++reads_while_bouncing_ % 2 == 0) {
    closed = !closed;
  }
  return closed ? 0 : 1;
}

void Pins::press(bool pressed) {
  if (buttons_.empty()) {
    console().report("this program has no button: no pin is set to INPUT_PULLUP");
    return;
  }
  pressed_ = pressed;
  pressed_at_us_ = clock().now_us();
  reads_while_bouncing_ = 0;
}

Pins& pins() {
  static Pins the_pins;
  return the_pins;
}

}  // namespace host
