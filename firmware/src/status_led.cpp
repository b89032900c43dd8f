#include "status_led.h"

#include <Arduino.h>

#include "board.h"

namespace shell {
namespace {

// A plain light tells by its rhythm, an RGB one by its colour too. On first, then off, again and again.
struct Pattern {
  uint16_t on_ms;
  uint16_t off_ms;  // 0: always on
  uint8_t red, green, blue;
};

Pattern pattern_of(voice::Indication indication) {
  switch (indication) {
    case voice::Indication::Offline:
      return {100, 1900, 24, 0, 24};
    case voice::Indication::Idle:
      return {20, 4980, 0, 4, 0};
    case voice::Indication::Listening:
      return {1000, 0, 0, 0, 48};
    case voice::Indication::Waiting:
      return {250, 250, 32, 16, 0};
    case voice::Indication::Speaking:
      return {900, 100, 0, 32, 0};
    case voice::Indication::Failed:
      return {80, 80, 48, 0, 0};
  }
  return {0, 1000, 0, 0, 0};
}

}  // namespace

void StatusLed::begin() {
  if (board.led_kind != LedKind::Ws2812) pinMode(board.led, OUTPUT);
  write(false);
}

void StatusLed::show(voice::Indication indication, uint32_t now_ms) {
  if (indication != indication_) {
    indication_ = indication;
    since_ms_ = now_ms;
  }
  const Pattern pattern = pattern_of(indication);
  const uint32_t period_ms = static_cast<uint32_t>(pattern.on_ms) + pattern.off_ms;
  const bool on = (now_ms - since_ms_) % period_ms < pattern.on_ms;
  if (on != on_ || (on && indication_ != written_)) write(on);
}

void StatusLed::write(bool on) {
  on_ = on;
  written_ = indication_;
  const Pattern pattern = pattern_of(indication_);
  switch (board.led_kind) {
    case LedKind::Plain:
      digitalWrite(board.led, on ? HIGH : LOW);
      break;
    case LedKind::PlainActiveLow:
      digitalWrite(board.led, on ? LOW : HIGH);
      break;
    case LedKind::Ws2812:
      if (on) {
        rgbLedWrite(board.led, pattern.red, pattern.green, pattern.blue);
      } else {
        rgbLedWrite(board.led, 0, 0, 0);
      }
      break;
  }
}

}  // namespace shell
