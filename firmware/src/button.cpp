#include "button.h"

#include <Arduino.h>

#include "board.h"

namespace shell {
namespace {

// A change counts at once and further ones are ignored for so long: contacts bounce for a few milliseconds, and
// waiting for them first would cost the beginning of the question.
constexpr uint32_t settle_ms = 30;

}  // namespace

void Button::begin() { pinMode(board.button, INPUT_PULLUP); }

Edge Button::poll(uint32_t now_ms) {
  if (settling_ && now_ms - changed_at_ms_ < settle_ms) return Edge::None;
  settling_ = false;
  const bool down = digitalRead(board.button) == LOW;
  if (down == down_) return Edge::None;
  down_ = down;
  settling_ = true;
  changed_at_ms_ = now_ms;
  return down ? Edge::Pressed : Edge::Released;
}

}  // namespace shell
